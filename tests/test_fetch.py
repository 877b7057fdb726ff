"""img2dataset behind the gate: one run with all that can go wrong, killed and gone on with."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from fetch_server import Pictures, picture, serving_pictures
from PIL import Image

from laion_probe.config import FetchConfig
from laion_probe.errors import ConfigError, LaionProbeError, SchemaError, ShardError
from laion_probe.fetching.answers import AGENT
from laion_probe.fetching.finishing import finish_shard
from laion_probe.pictures import list_downloads
from laion_probe.questions.fetch_rows import open_source, write_plan
from laion_probe.questions.fetching import Fetched, fetch

SHARD_ROWS = 20

#: What becomes of each kind of address: status, and why.
REFUSED = {
    "/redirect-private": "private address",
    "/forever": "too many bytes",
    "/too-large": "too many bytes",
    "/noai": "opted out (X-Robots-Tag: noai)",
    "/named": "opted out (X-Robots-Tag: noindex)",
}
UNREADABLE = {
    "/bomb.png": "refused: too many pixels",
    "/vector.svg": "refused: no raster picture",
    "/text.jpg": "refused: no raster picture",
    "/noisy.jpg": "Image decoding error",
}
NO_ANSWER = {"/slow": "timed out", "/trickle": "took too long", "/cut.jpg": "broken off"}
GOOD = ["/redirect", "/flaky", "/é a.jpg", "/other-bot", "/kind/PNG", "/kind/WEBP", "/kind/GIF"]


def addresses(server: Pictures) -> dict[str, str | None]:
    """Sixty addresses, and why each fails; None where it comes."""
    found: dict[str, str | None] = {server.url(p): f"refused: {why}" for p, why in REFUSED.items()}
    found |= {server.url(p): why for p, why in UNREADABLE.items()}
    found |= {server.url(p): f"no answer: {why}" for p, why in NO_ANSWER.items()}
    found |= {
        server.url("/nothing.jpg"): "HTTP Error 404: Not Found",
        server.url("/gone"): "HTTP Error 410: Gone",
        "http://localhost/a.jpg": "refused: name of a private address",
        "http://[::1]/a.jpg": "refused: private address",
        "file:///etc/passwd": "refused: no http or https address",
        "": "refused: no http or https address",
        server.url("/ok/100.jpg"): "refused: hash mismatch",
    }
    found |= {server.url(p): None for p in GOOD}
    n_plain = 60 - len(found)
    found |= {server.url(f"/ok/{i}.jpg"): None for i in range(n_plain)}
    # bad and good ones side by side in every shard, whatever the port; the slow ones in the last
    urls = sorted(found, key=lambda u: hashlib.md5(u.replace(server.host, "").encode()).digest())
    slow = [server.url("/slow"), server.url("/trickle")]
    urls = [u for u in urls if u not in slow]
    return {u: found[u] for u in [*urls[:45], *slow, *urls[45:]]}


@dataclass(frozen=True)
class Run:
    server: Pictures
    shards: Path
    folder: Path
    fetched: Fetched
    why: dict[str, str | None]
    seen: list[tuple[str, int, int]]
    asked: Counter[str]  # of the server, by this run

    @property
    def rows(self) -> pl.DataFrame:
        return pl.concat(pl.read_parquet(p) for p in sorted(self.folder.glob("*.parquet")))


def config(run_shards: Path, server: Pictures, out: Path, **more: Any) -> FetchConfig:
    options: dict[str, Any] = {
        "source": (str(run_shards),),
        "out": str(out),
        "shard_rows": SHARD_ROWS,
        "threads": 8,
        "image_size": 24,
        "timeout_s": 0.5,
        "max_time": 2,
        "max_bytes": 500_000,
        "max_pixels": 1_000_000,
        "allow_private": (server.host,),
    }
    return FetchConfig(**{**options, **more})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    root = tmp_path_factory.mktemp("fetch")
    with serving_pictures() as server, serving_pictures() as elsewhere:
        server.elsewhere = elsewhere.url("/ok/1.jpg")
        why = addresses(server)
        urls = list(why)
        hashes = {
            server.url("/ok/0.jpg"): hashlib.sha256(picture(0)).hexdigest(),
            server.url("/ok/100.jpg"): "0" * 64,
        }
        pl.DataFrame(
            {
                "URL": urls,
                "TEXT": [f"caption {i} é" if i % 9 else None for i in range(len(urls))],
                "sha256": [hashes.get(u) for u in urls],
            },
            schema_overrides={"TEXT": pl.String},
        ).write_parquet(root / "shard.parquet", row_group_size=25)
        seen: list[tuple[str, int, int]] = []
        fetched = fetch(
            config(root / "shard.parquet", server, root / "whole"),
            lambda what, done, of: seen.append((what, done, of)),
        )
        yield Run(
            server, root / "shard.parquet", root / "whole", fetched, why, seen, server.asked.copy()
        )
        assert not elsewhere.asked


def test_every_address_has_a_row_that_says_what_became_of_it(run: Run) -> None:
    rows = run.rows
    assert rows["url"].to_list() == list(run.why), "as given, and in the order of the source"
    assert dict(rows.select("url", "error_message").iter_rows()) == run.why
    came = rows["error_message"].is_null()
    assert (rows["status"] == "success").equals(came)
    unreadable = rows.filter(pl.col("error_message").is_in(list(UNREADABLE.values())))
    assert set(unreadable["status"]) == {"failed_to_resize"}
    assert rows["row"].to_list() == list(range(60))
    assert rows["unit"].n_unique() == 3
    assert rows["caption"][0] == ""
    assert rows["caption"][1] == "caption 1 é"
    keys = [f"{i // SHARD_ROWS * 100 + i % SHARD_ROWS:07d}" for i in range(60)]
    assert rows["key"].to_list() == keys


def test_nothing_was_asked_that_may_not_be_and_the_agent_is_named(run: Run) -> None:
    assert all(f"compatible; {AGENT};" in agent for agent in run.server.agents)
    assert run.asked["/flaky"] == 2
    assert run.asked["/nothing.jpg"] == 1


def test_pictures_are_small_and_their_bytes_known(run: Run) -> None:
    good = run.rows.filter(pl.col("url") == run.server.url("/ok/0.jpg")).row(0, named=True)
    assert good["sha256"] == hashlib.sha256(picture(0)).hexdigest()
    assert (good["original_width"], good["original_height"]) == (48, 32)
    assert (good["width"], good["height"]) == (24, 16)
    listed = list_downloads(str(run.folder))
    pictures = {file.url: file for part in listed.parts for file in part.files}
    assert {u for u, why in run.why.items() if why is None} == set(pictures)
    assert Image.open(io.BytesIO(pictures[good["url"]].read())).size == (24, 16)
    with tarfile.open(run.folder / "00000.tar") as tar:
        members = tar.getmembers()
        about = [
            json.loads(tar.extractfile(m).read())  # type: ignore[union-attr]
            for m in members
            if m.name.endswith(".json")
        ]
    assert {(m.mtime, m.uid, m.gid) for m in members} == {(0, 0, 0)}
    assert [m.name for m in members] == sorted(
        (m.name for m in members), key=lambda n: (n[:7], ".jpg.txt.json".index(n[7:]))
    )
    assert {a["url"] for a in about} < set(run.why), "not what img2dataset asked the gate for"
    assert not list(run.folder.glob(".*")), "nothing is left of the work"


def test_the_account_adds_up_and_says_when(run: Run) -> None:
    n_good = sum(why is None for why in run.why.values())
    assert run.fetched.n_rows == 60
    assert run.fetched.n_shards == 3
    assert run.fetched.statuses["success"] == n_good
    assert sum(run.fetched.statuses.values()) == 60
    assert sum(run.fetched.reasons.values()) == 60 - n_good
    assert run.fetched.lines[0].startswith(f"{n_good} of 60 pictures came (")
    about = json.loads((run.folder / "fetch.json").read_text())
    assert about["begun"] <= about["finished"] == run.fetched.finished
    assert about["asked"]["versions"]["img2dataset"]
    stats = json.loads((run.folder / "00001_stats.json").read_text())
    assert stats["count"] == 20
    assert stats["end_time"] > stats["start_time"] > 1.7e9
    assert ("row groups", 3, 3) in run.seen
    assert run.seen[-1] == ("pictures", 60, 60)


def test_what_is_finished_is_not_asked_for_again(run: Run) -> None:
    before = run.server.asked.total()
    again = fetch(config(run.shards, run.server, run.folder, threads=3))
    assert again == run.fetched
    assert run.server.asked.total() == before


@pytest.mark.parametrize(
    ("more", "said"),
    [({"image_size": 32}, "another image size"), ({"seed": 1}, "another seed")],
)
def test_a_folder_begun_with_other_options_is_refused(
    run: Run, more: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        fetch(config(run.shards, run.server, run.folder, **more))


def test_killed_and_gone_on_with_it_is_the_same_bytes(run: Run, tmp_path: Path) -> None:
    """kill -9 when the first shard is there; img2dataset ends too, and the rest is fetched."""
    out = tmp_path / "killed"
    options = config(run.shards, run.server, out)
    code = (
        "import sys; from laion_probe.config import FetchConfig; "
        "from laion_probe.questions.fetching import fetch; "
        "fetch(FetchConfig.model_validate_json(sys.argv[1]))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, options.model_dump_json()])
    try:
        _wait(lambda: (out / "00000_stats.json").exists())
        children = _children(process.pid)
        assert children, "img2dataset is at work"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (out / "00002_stats.json").exists(), "killed in the middle"
    _wait(lambda: not any(_alive(pid) for pid in children))
    assert list(out.glob(".img2dataset-*")), "what the kill left"
    first = (out / "00000.tar").stat().st_mtime_ns
    again = fetch(options)
    assert (out / "00000.tar").stat().st_mtime_ns == first
    assert again.reasons == run.fetched.reasons
    names = sorted(p.name for p in run.folder.iterdir())
    assert sorted(p.name for p in out.iterdir()) == names
    for name in names:
        if name.endswith((".tar", ".parquet")):
            assert (out / name).read_bytes() == (run.folder / name).read_bytes(), name


def _wait(until: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def _children(pid: int) -> list[int]:
    """All processes below that one."""
    out = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            out += [int(child), *_children(int(child))]
    return out


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def planned(options: FetchConfig, folder: Path) -> pl.DataFrame:
    """The rows that would be fetched."""
    folder.mkdir()
    write_plan(open_source(options), options, folder, lambda what, done, of: None)
    return pl.concat(pl.read_parquet(p) for p in sorted(folder.iterdir()))


def shard(path: Path, n: int, group: int = 50, **columns: Any) -> None:
    url = [f"http://s{i % 3}.{'de' if i % 10 else 'in'}/{i}.jpg" for i in range(n)]
    data = {"url": url, "text": [f"caption {i}" for i in range(n)], **columns}
    pl.DataFrame(data).write_parquet(path, row_group_size=group)


def test_a_sample_depends_on_seed_and_row_alone(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    for i in range(2):
        shard(tmp_path / "shards" / f"{i}.parquet", 100 + i)
    source = (str(tmp_path / "shards"),)
    base = {"source": source, "sample": 30, "shard_rows": 7}
    first = planned(FetchConfig(**base), tmp_path / "a")
    assert first.height == 30
    assert set(first["probability"]) == {30 / 201}
    assert first["url"].equals(planned(FetchConfig(**base), tmp_path / "b")["url"])
    other = planned(FetchConfig(**base, seed=1), tmp_path / "c")
    assert set(other["url"]) != set(first["url"])
    more = planned(FetchConfig(**{**base, "sample": 60}), tmp_path / "d")
    assert more["url"].head(30).equals(first["url"]), "a larger sample begins with the smaller"
    assert len(sorted((tmp_path / "a").iterdir())) == 5
    every = planned(FetchConfig(**{**base, "sample": 500}), tmp_path / "e")
    assert every.height == 201
    assert set(every["probability"]) == {1.0}


def test_each_row_has_the_same_chance(tmp_path: Path) -> None:
    """Of 200 samples of 10 of 40 rows, each row is in about 50 (sd 6.1)."""
    shard(tmp_path / "a.parquet", 40, group=13)
    counts = [0] * 40
    options = FetchConfig(source=(str(tmp_path / "a.parquet"),), sample=10)
    source = open_source(options)
    units = list(source.units())
    fixed = type(source)(source.fingerprint, source.n_units, lambda: iter(units))
    (tmp_path / "plan").mkdir()
    for seed in range(200):
        seeded = options.model_copy(update={"seed": seed})
        write_plan(fixed, seeded, tmp_path / "plan", lambda what, done, of: None)
        for row in pl.read_parquet(tmp_path / "plan" / "00000.parquet")["row"]:
            counts[row] += 1
    assert sum(counts) == 2000
    assert 30 < min(counts) <= max(counts) < 70


def test_a_sample_by_strata_restores_their_sizes(tmp_path: Path) -> None:
    shard(tmp_path / "a.parquet", 200)
    path = str(tmp_path / "a.parquet")
    rows = planned(FetchConfig(source=(path,), sample=20, strata="tld"), tmp_path / "p")
    by = rows.group_by("stratum").agg(n=pl.len(), total=(1 / pl.col("probability")).sum())
    assert dict(by.select("stratum", "n").iter_rows()) == {"de": 18, "in": 2}
    totals = dict(by.select("stratum", "total").iter_rows())
    assert totals == pytest.approx({"de": 180, "in": 20})


def test_the_neighbours_of_a_run_are_fetched_once_each(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    near = {"concept": ["a", "a", "b"], "row": [5, 9, 5], "near": [True, False, True]}
    urls = {"url": ["http://x.de/5", "http://x.de/9", "http://x.de/5"], "text": ["five", "", None]}
    pl.DataFrame({**near, **urls}).write_parquet(run / "neighbours.parquet")
    sample = {"concept": ["a"], "row": [7], "url": ["http://x.de/7"], "text": ["seven"]}
    pl.DataFrame(sample).write_parquet(run / "sample.parquet")
    rows = planned(FetchConfig(source=(str(run),)), tmp_path / "p")
    assert rows.select("row", "url", "text").rows() == [
        (5, "http://x.de/5", "five"),
        (9, "http://x.de/9", ""),
        (7, "http://x.de/7", "seven"),
    ]
    with pytest.raises(ConfigError, match="needs nsfw"):
        planned(FetchConfig(source=(str(run),), sample=1, strata="nsfw"), tmp_path / "q")


def test_hashes_that_are_none_are_passed_over(tmp_path: Path) -> None:
    values = ["A" * 32, "no hash", None]
    shard(tmp_path / "a.parquet", 3, MD5=values)
    rows = planned(FetchConfig(source=(str(tmp_path / "a.parquet"),)), tmp_path / "p")
    assert rows["hash"].to_list() == [f"md5:{'a' * 32}", None, None]
    options = FetchConfig(source=(str(tmp_path / "a.parquet"),), any_hash=True)
    assert planned(options, tmp_path / "q")["hash"].to_list() == [None] * 3


def bad(tmp_path: Path, name: str) -> dict[str, Any]:
    """Options that cannot be used."""
    shard(tmp_path / "good.parquet", 3)
    good = str(tmp_path / "good.parquet")
    if name == "no addresses":
        pl.DataFrame({"text": ["a caption"]}).write_parquet(tmp_path / "bad.parquet")
        return {"source": (str(tmp_path / "bad.parquet"),)}
    if name == "not there":
        return {"source": (str(tmp_path / "nowhere"),)}
    if name == "another run":
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "result.json").write_text("{}")
        return {"source": (str(tmp_path / "run"),)}
    if name == "someone else's folder":
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "thesis.txt").write_text("mine")
        return {"source": (good,), "out": str(tmp_path / "full")}
    if name == "broken plan":
        (tmp_path / "odd").mkdir()
        (tmp_path / "odd" / "fetch.json").write_text("[]")
        return {"source": (good,), "out": str(tmp_path / "odd")}
    if name == "a file":
        return {"source": (good,), "out": good}
    if name == "no host":
        return {"source": (good,), "allow_private": ("a b",)}
    return {"source": (good,), "strata": "tld"}


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("no addresses", SchemaError, "--column url=NAME"),
        ("not there", ShardError, "no parquet shard at"),
        ("another run", ConfigError, "is a run, but has no neighbours.parquet"),
        ("someone else's folder", ConfigError, "is not empty"),
        ("broken plan", ConfigError, "is not of `laion-probe fetch`"),
        ("a file", ConfigError, "cannot write to"),
        ("no host", ConfigError, "is no host"),
        ("strata without a sample", ConfigError, "give --sample too"),
    ],
)
def test_what_cannot_be_used_is_said_in_a_line(
    tmp_path: Path, name: str, kind: type[LaionProbeError], said: str
) -> None:
    options = {"out": str(tmp_path / "out"), **bad(tmp_path, name)}
    with pytest.raises(kind, match=said) as caught:
        fetch(FetchConfig(**options))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("out/*.tar"))


def test_a_row_that_the_gate_was_not_asked_for_is_not_lost(tmp_path: Path) -> None:
    """Where img2dataset could not reach the gate, the shard is no finished one."""
    shard(tmp_path / "a.parquet", 2)
    options = FetchConfig(source=(str(tmp_path / "a.parquet"),))
    (tmp_path / "out").mkdir()
    plan = planned(options, tmp_path / "out" / "plan")
    work = tmp_path / "work"
    work.mkdir()
    failed = {"status": "failed_to_download", "error_message": "<urlopen error timed out>"}
    plan.select(pl.col("ask").alias("url")).with_columns(
        **{name: pl.lit(value) for name, value in failed.items()}
    ).write_parquet(work / "00000.parquet")
    with pytest.raises(ShardError, match="2 rows did not get through"):
        finish_shard(work, tmp_path / "out", 0, options.shard_rows)
    assert not list((tmp_path / "out").glob("*.*"))


def test_a_row_that_img2dataset_lost_is_there(tmp_path: Path) -> None:
    shard(tmp_path / "a.parquet", 2)
    options = FetchConfig(source=(str(tmp_path / "a.parquet"),), shard_rows=50)
    (tmp_path / "out").mkdir()
    plan = planned(options, tmp_path / "out" / "plan")
    work = tmp_path / "work"
    work.mkdir()
    numbers = dict.fromkeys(("width", "height", "original_width", "original_height"), 0)
    plan.tail(1).select(
        pl.col("ask").alias("url"),
        key=pl.lit("0000001"),
        status=pl.lit("failed_to_download"),
        error_message=pl.lit("HTTP Error 404: Not Found"),
        sha256=pl.lit(None, pl.String),
        **{name: pl.lit(n, pl.Int32) for name, n in numbers.items()},
    ).write_parquet(work / "00000.parquet")
    tarfile.open(work / "00000.tar", "w").close()
    finish_shard(work, tmp_path / "out", 0, options.shard_rows)
    rows = pl.read_parquet(tmp_path / "out" / "00000.parquet")
    assert rows.select("key", "status", "error_message").rows() == [
        ("0000000", "failed_to_resize", "lost by img2dataset"),
        ("0000001", "failed_to_download", "HTTP Error 404: Not Found"),
    ]
    assert not list(work.glob("*.tar"))


def test_nothing_came_in_words() -> None:
    none = {"success": 0, "failed_to_download": 4, "failed_to_resize": 0}
    offline = {"no answer: the name does not resolve": 3, "no answer: no connection": 1}
    told = Fetched("images", 4, 1, none, offline, "then", "now")
    assert "is this machine online" in " ".join(told.lines)
    gone = Fetched("images", 4, 1, none, {"HTTP Error 404: Not Found": 4}, "then", "now")
    assert "answers no question" in " ".join(gone.lines)
