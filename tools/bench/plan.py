"""What is measured, on which files: a list of approaches."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tools.bench.measure import our_command, peer_command

#: For what is slow, whose rate per row is compared.
SLOW_ROWS = 200_000
SMALL_ROWS = 1_000_000
_DETECTOR_ROWS = {"langdetect": 300}


@dataclass(frozen=True)
class Files:
    """The files, each the beginning of the next; ``rows`` has the rows of each."""

    rows: dict[Path, int]
    main: Path
    large: Path  # the main one where there is no large one
    small: Path
    slow: Path
    tiny: Path

    @classmethod
    def of(cls, folder: Path, rows: int, large_rows: int) -> Files:
        """Where they will be."""
        sizes = {
            "tiny": min(SLOW_ROWS, rows) // 4,
            "slow": min(SLOW_ROWS, rows),
            "small": min(SMALL_ROWS, max(1, rows // 5)),
            "main": rows,
        }
        if large_rows:
            sizes["large"] = large_rows
        paths = {name: folder / f"{name}.parquet" for name in sizes}
        return cls(
            rows={paths[name]: n for name, n in sizes.items()},
            main=paths["main"],
            large=paths.get("large", paths["main"]),
            small=paths["small"],
            slow=paths["slow"],
            tiny=paths["tiny"],
        )

    @property
    def pair(self) -> tuple[Path, Path]:
        """Two files, the smaller first: what a row costs is the slope between them."""
        return (self.small, self.main) if self.large == self.main else (self.main, self.large)


@dataclass(frozen=True)
class Approach:
    """Something to measure: ``kind`` says for which table. Its ``command`` takes a file.

    ``kept_from`` is a command that says what the measured one kept, where it does not itself.
    """

    name: str
    kind: str  # bare, scan, cli, stream, recipe, detector, memory
    files: tuple[Path, ...]
    command: Callable[[Path], list[str]]
    memory: bool = False
    kept_from: list[str] | None = None


RUNNERS = {
    "scan, one process": ("serial", "1"),
    "scan, pool of 1": ("processes", "1"),
    "scan, pool of 2": ("processes", "2"),
    "scan, Ray with 2 CPUs": ("ray", "2"),
}


def approaches(files: Files, scratch: Path, peers: Path | None) -> list[Approach]:
    """Everything whose time is measured; without ``peers`` only what runs in this environment."""
    out: list[Approach] = []
    if peers is not None:
        for name, task in (
            ("polars, streaming engine", "polars"),
            ("DuckDB", "duckdb"),
            ("pyarrow, batches", "pyarrow"),
        ):
            out.append(Approach(name, "bare", files.pair, _peer(peers, task)))
    for name, (runner, workers) in RUNNERS.items():
        out.append(Approach(name, "scan", files.pair, _scan(scratch, runner, workers)))
    out.append(_cli(files, scratch))
    if peers is not None:
        for name, task, read in (
            ("datasets, Arrow batches", "datasets-batches", (files.small, files.main)),
            ("datasets, rows", "datasets-rows", (files.tiny, files.slow)),
            ("datatrove", "datatrove", (files.tiny, files.slow)),
        ):
            out.append(Approach(name, "stream", read, _peer(peers, task)))
        # what these must have kept
        out.append(
            Approach(
                "polars, as a check",
                "check",
                (files.tiny, files.slow, files.small),
                _peer(peers, "polars"),
            )
        )
    return out + _recipes(files, scratch) + _detectors(files)


def memory_approaches(files: Files, scratch: Path) -> list[Approach]:
    """Scans whose memory is watched; they are not timed, since watching costs time."""
    wanted = ("scan, one process", "scan, pool of 2")
    two = tuple(dict.fromkeys((files.small, files.large)))
    return [
        Approach(f"memory of {n}", "memory", two, _scan(scratch, *RUNNERS[n]), memory=True)
        for n in wanted
    ]


def _peer(python: Path, task: str) -> Callable[[Path], list[str]]:
    return lambda path: peer_command(python, task, str(path))


def _scan(scratch: Path, runner: str, workers: str) -> Callable[[Path], list[str]]:
    recipe, cache = str(scratch / "bench.toml"), str(scratch / "cache")
    return lambda path: our_command("scan", str(path), recipe, runner, workers, cache)


def _cli(files: Files, scratch: Path) -> Approach:
    program = Path(sys.executable).with_name("laion-probe")
    out = scratch / "out"
    options = ["--recipe", str(scratch / "bench.toml"), "--by", "nsfw", "--quiet"]
    options += ["--cache", str(scratch / "cache"), "--out", str(out)]
    options += ["--runner", "processes", "--workers", "2"]
    return Approach(
        "laion-probe scan, pool of 2, with its report",
        "cli",
        (files.main,),
        lambda path: [str(program), "scan", str(path), *options],
        kept_from=our_command("kept", str(out / "result.json")),
    )


def _recipes(files: Files, scratch: Path) -> list[Approach]:
    def of(name: str) -> Callable[[Path], list[str]]:
        return lambda path: our_command("recipe", str(path), name, str(scratch / "cache"))

    return [
        Approach(f"recipe {name}", "recipe", (files.slow,), of(name))
        for name in ("none", "laion400m", "laion5b-en")
    ]


def _detectors(files: Files) -> list[Approach]:
    from laion_probe.language import DETECTORS

    def of(name: str) -> Callable[[Path], list[str]]:
        n = _DETECTOR_ROWS.get(name, 20_000)
        return lambda path: our_command("detector", str(path), name, str(n))

    return [Approach(f"detector {name}", "detector", (files.slow,), of(name)) for name in DETECTORS]
