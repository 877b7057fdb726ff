"""Fetch the pictures of rows, and keep what became of every address."""

from __future__ import annotations

import datetime
import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from laion_probe import __version__
from laion_probe.config import FetchConfig
from laion_probe.errors import ConfigError, ShardError
from laion_probe.fetching.addresses import Allowed
from laion_probe.fetching.driving import Job, download
from laion_probe.fetching.finishing import is_finished, read_stats, shard_name
from laion_probe.fetching.gate import Limits
from laion_probe.notes import pass_on
from laion_probe.questions.fetch_rows import open_source, write_plan
from laion_probe.store import atomic_file

__all__ = ["Fetched", "fetch"]

Progress = Callable[[str, int, int], None]

#: Who fetches, and where to: nothing that changes what is fetched.
_FREE = ("out", "source", "processes", "threads")
_SHOWN = 5
_ABOUT = "fetch.json"


@dataclass(frozen=True)
class Fetched:
    """What became of the rows of a folder.

    ``statuses`` counts rows by img2dataset's status (success, failed_to_download,
    failed_to_resize), ``reasons`` those that failed by why; ``begun`` and ``finished`` are UTC.
    """

    folder: str
    n_rows: int
    n_shards: int
    statuses: dict[str, int]
    reasons: dict[str, int]
    begun: str
    finished: str

    @property
    def lines(self) -> tuple[str, ...]:
        """Sentences for people."""
        n = self.statuses.get("success", 0)
        said = [
            f"{n} of {self.n_rows} pictures came ({n / self.n_rows:.1%}), in {self.n_shards} "
            f"{'shard' if self.n_shards == 1 else 'shards'} in {self.folder}."
        ]
        most = Counter(self.reasons).most_common(_SHOWN)
        if most:
            more = len(self.reasons) - len(most)
            listed = "; ".join(f"{why} ({count})" for why, count in most)
            said.append(f"Why not: {listed}{f'; and {more} more reasons' if more > 0 else ''}.")
        if n == 0:
            local = sum(c for why, c in self.reasons.items() if why in _OFFLINE)
            said.append(
                "Nothing came, and no server was reached: is this machine online, and does it "
                "resolve names? Remove the folder and run again when it does."
                if 2 * local > self.n_rows
                else "Nothing came: a folder without pictures answers no question about them."
            )
        said.append(
            f"Fetched until {self.finished}: what failed by then may come again, and what came may "
            "be gone."
        )
        return tuple(said)


_OFFLINE = frozenset({"no answer: the name does not resolve", "no answer: no connection"})


def fetch(config: FetchConfig, progress: Progress = lambda what, done, of: None) -> Fetched:
    """Fetch pictures by img2dataset into WebDataset shards, ``00000.tar`` beside ``00000.parquet``.

    Killed at any time, the same call goes on, and in the end the tars and tables are the same
    bytes as of a run that was not (where servers answer the same). ``plan/`` in the folder holds
    the rows that were drawn with their inclusion probabilities, ``fetch.json`` how and when.
    Raises `ConfigError` for a folder that was begun with other options or another source.

    >>> from laion_probe.config import FetchConfig
    >>> fetch(FetchConfig(source=("shards/",), out="images")).lines  # doctest: +SKIP
    """
    allowed = Allowed.of(config.allow_private, config.ports)
    source = open_source(config)
    folder = Path(config.out)
    asked = {
        "source": source.fingerprint,
        **{k: v for k, v in config.model_dump(mode="json").items() if k not in _FREE},
        "versions": _versions(),
    }
    about = _begin(folder, asked)
    pass_on(config.source, folder)
    plan = folder / "plan"
    if not plan.is_dir():
        scratch = folder / ".plan"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        about["rows"] = write_plan(source, config, scratch, progress)
        _keep(folder, about)
        scratch.rename(plan)
    rows: list[int] = about["rows"]
    download(_job(config, folder, rows, allowed), progress)
    return _account(folder, about)


def _job(config: FetchConfig, folder: Path, rows: list[int], allowed: Allowed) -> Job:
    return Job(
        folder=folder,
        rows=tuple(rows),
        shard_rows=config.shard_rows,
        image_size=config.image_size,
        resize_mode=config.resize_mode,
        processes=config.processes,
        threads=config.threads,
        limits=Limits(
            timeout_s=config.timeout_s,
            max_seconds=config.max_time,
            max_bytes=int(config.max_bytes),
            max_pixels=config.max_pixels,
            retries=config.retries,
        ),
        allowed=allowed,
    )


def _versions() -> dict[str, str]:
    """Of what makes the bytes of a picture."""
    found = {"laion-probe": __version__}
    for name in ("img2dataset", "opencv-python-headless"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            raise ConfigError(f"{name} is not installed: pip install img2dataset") from None
    return found


def _begin(folder: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """What the folder says of itself: begun now, or with the same options before."""
    path = folder / _ABOUT
    try:
        if not path.exists():
            if folder.exists() and any(folder.iterdir()):
                raise ConfigError(
                    f"{folder} is not empty, and no folder of `laion-probe fetch`: give another "
                    "--out"
                )
            folder.mkdir(parents=True, exist_ok=True)
            about: dict[str, Any] = {"asked": asked, "begun": _now(), "finished": None}
            _keep(folder, about)
            return about
        about = json.loads(path.read_text(encoding="utf-8"))
        before = about["asked"]
    except OSError as error:
        raise ConfigError(
            f"cannot write to {folder}: {error.strerror or error}; give another --out"
        ) from error
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"{path} is not of `laion-probe fetch`: give another --out") from None
    for key in sorted({*asked, *before}):
        if asked.get(key) != before.get(key):
            raise ConfigError(
                f"{folder} was begun with another {key.replace('_', ' ')} "
                f"({_short(before.get(key))}, now {_short(asked.get(key))}): give the same, or "
                "another --out"
            )
    return about


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 90 else f"{text[:89]}…"


def _keep(folder: Path, about: dict[str, Any]) -> None:
    with atomic_file(folder / _ABOUT) as scratch:
        scratch.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _account(folder: Path, about: dict[str, Any]) -> Fetched:
    """Add the shards up, and say so in the folder the first time."""
    names = [shard_name(i) for i in range(len(about["rows"]))]
    statuses: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for name in names:
        stats = read_stats(folder / f"{name}_stats.json")
        if stats is None or not is_finished(folder, name):
            raise ShardError(f"{folder / name}_stats.json cannot be read; remove it and run again")
        statuses["success"] += stats["successes"]
        for status in ("failed_to_download", "failed_to_resize"):
            statuses[status] += stats[status]
        reasons.update({k: v for k, v in stats["status_dict"].items() if k != "success"})
    if about["finished"] is None:
        about |= {"finished": _now(), "statuses": dict(statuses), "reasons": dict(reasons)}
        _keep(folder, about)
    return Fetched(
        folder=str(folder),
        n_rows=sum(about["rows"]),
        n_shards=len(names),
        statuses=dict(statuses),
        reasons=dict(reasons.most_common()),
        begun=about["begun"],
        finished=about["finished"],
    )
