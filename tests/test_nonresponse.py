"""Non-response end to end: planted loss is found, and shares say what they can."""

from __future__ import annotations

import contextlib
import json
import tarfile
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import AF_INET, SOCK_STREAM
from types import MappingProxyType
from typing import Any

import numpy as np
import polars as pl
import pytest
from fetch_server import picture

from laion_probe.config import FetchConfig, NonresponseConfig
from laion_probe.errors import LaionProbeError
from laion_probe.nonresponse_result import Composed, LossLevel, NonresponseResult
from laion_probe.questions.fetching import fetch
from laion_probe.questions.nonresponse import nonresponse
from laion_probe.questions.nonresponse_words import AT_RANDOM, IF_AT_RANDOM
from laion_probe.results import Estimate

#: Suffix of the address: part of the rows, share of women, share that is lost.
PLANTED = {"de": (0.6, 0.3, 0.12), "co.in": (0.4, 0.7, 0.36)}
CAPTIONS = ("a portrait", "a photograph of a person", "zu Hause", "people at work")


def planted(n: int, *, own: float = 1.0, seed: int = 0) -> pl.DataFrame:
    """Rows with what becomes of each: loss by region, and ``own`` times as often of women."""
    rng = np.random.default_rng(seed)
    suffix = rng.choice(list(PLANTED), n, p=[part for part, _, _ in PLANTED.values()])
    woman = rng.random(n) < np.array([PLANTED[s][1] for s in suffix])
    gone = np.array([PLANTED[s][2] for s in suffix]) * np.where(woman, own, 1.0)
    lost = rng.random(n) < gone
    site = rng.integers(0, n // 8, n)
    why = rng.choice(["HTTP Error 404: Not Found", "<urlopen error timed out>"], n)
    return pl.DataFrame(
        {
            "url": [
                f"http://img.site{s}.{x}/{i}.jpg"
                for i, (s, x) in enumerate(zip(site, suffix, strict=True))
            ],
            "caption": [CAPTIONS[i % len(CAPTIONS)] for i in range(n)],
            "key": [f"{i:09d}" for i in range(n)],
            "status": np.where(lost, "failed_to_download", "success"),
            "error_message": [w if x else None for w, x in zip(why, lost, strict=True)],
            "woman": woman,
        }
    )


def write_folder(root: Path, rows: pl.DataFrame, *, tars: bool = False, n_shards: int = 2) -> str:
    """The rows as img2dataset leaves them: tables, statistics and, if asked for, tars."""
    root.mkdir(parents=True)
    size = -(-len(rows) // n_shards)
    for shard in range(n_shards):
        part = rows.slice(shard * size, size)
        part.drop("woman", strict=False).write_parquet(root / f"{shard:05d}.parquet")
        stats = {"start_time": 1_700_000_000.0, "end_time": 1_700_000_000.0 + 86_400 * shard}
        (root / f"{shard:05d}_stats.json").write_text(json.dumps(stats))
        if tars:
            with tarfile.open(root / f"{shard:05d}.tar", "w") as tar:
                for key in part.filter(pl.col("status") == "success")["key"]:
                    path = root / f"{key}.png"
                    path.write_bytes(picture(int(key), "PNG"))
                    tar.add(path, path.name)
                    path.unlink()
    return str(root)


def write_scores(path: Path, images: str, rows: pl.DataFrame) -> str:
    """What a classifier without errors reads of the pictures that came."""
    woman = dict(rows.select("url", "woman").iter_rows())
    found = []
    for table in sorted(Path(images).glob("*.parquet")):
        came = pl.read_parquet(table).filter(pl.col("status") == "success")
        found += [
            {"id": f"{table.stem}/{key}", "level": "woman" if woman[url] else "man"}
            for key, url in came.select("key", "url").iter_rows()
        ]
    pl.DataFrame(found).write_csv(path)
    return f"gender_presentation={path}"


def run(images: str, *scores: str, **more: Any) -> NonresponseResult:
    options: dict[str, Any] = {
        "images": images,
        "scores": scores,
        "groups": ("region", "gender-words"),
        "response_by": ("region",),
        "attributes": ("gender_presentation",) if scores else (),
    }
    return nonresponse(NonresponseConfig(**{**options, **more}))


def covers(e: Estimate, truth: float) -> bool:
    assert e.low is not None
    assert e.high is not None
    return e.low <= truth <= e.high


def level(r: NonresponseResult, name: str, group: int = 0) -> LossLevel:
    return next(x for x in r.loss[group].levels if x.level == name)


def woman(r: NonresponseResult) -> Composed:
    (found,) = r.composed
    assert found.contrast_level == "woman"
    return found


@pytest.fixture(scope="module")
def at_random(tmp_path_factory: pytest.TempPathFactory) -> tuple[NonresponseResult, float]:
    root, rows = tmp_path_factory.mktemp("random"), planted(6000)
    images = write_folder(root / "images", rows)
    scores = write_scores(root / "gender.csv", images, rows)
    return run(images, scores, population=6000), float(rows["woman"].mean())  # type: ignore[arg-type]


def test_planted_loss_is_found_by_region_and_not_by_what_it_has_nothing_to_do_with(
    at_random: tuple[NonresponseResult, float],
) -> None:
    r, _ = at_random
    by_region, by_words = r.loss
    assert by_region.depends
    assert by_region.adjusted is not None
    assert by_region.adjusted < 1e-6
    assert not by_words.depends
    asia = level(r, "Southern Asia")
    assert covers(asia.lost, 0.36)
    assert covers(asia.difference, 0.24)
    assert covers(asia.ratio, 3.0)
    assert any("“Southern Asia” 3" in s and "more than of the rest" in s for s in r.finding)
    assert {x.reason for x in r.reasons} == {"HTTP 404", "timed out"}
    assert sum(x.n for x in r.reasons) == r.n_tried - r.n_came


def test_where_region_is_all_the_reweighted_share_covers_and_the_complete_cases_do_not(
    at_random: tuple[NonresponseResult, float],
) -> None:
    r, truth = at_random
    c = woman(r)
    assert not covers(c.complete, truth)
    assert covers(c.reweighted, truth)
    assert covers(c.limited, truth)
    assert covers(c.worst, truth)
    # a set that is all there has no sampling error but for who came
    assert (c.worst.low, c.worst.high) == (c.possible.low, c.possible.high)
    assert [x.odds for x in c.curve] == sorted(x.odds for x in c.curve)
    shares = [x.share.value or 0.0 for x in c.curve]
    assert shares == sorted(shares)
    assert AT_RANDOM in r.finding
    assert AT_RANDOM in r.cannot_say
    (sentence,) = (x for x in r.finding if "re-weighted for loss" in x)
    number, _, rest = sentence.partition("re-weighted for loss, ")[2].partition("], ")
    assert number[0].isdigit()
    assert rest.startswith(IF_AT_RANDOM), "beside the number"


def test_the_model_is_checked_on_domains_it_has_not_seen(
    at_random: tuple[NonresponseResult, float],
) -> None:
    w = at_random[0].weighting
    assert w is not None
    assert w.fit is not None
    assert covers(w.fit.slope, 1.0)
    assert covers(w.fit.intercept, 0.0)
    assert w.fit.auc.low is not None
    assert w.fit.auc.low > 0.55
    assert w.n_effects == 1
    assert w.heaviest == pytest.approx(1 / 0.64, rel=0.05)
    assert w.imbalance < 1e-6


def test_where_loss_depends_on_the_level_too_reweighting_misses_and_the_bounds_cover(
    tmp_path: Path,
) -> None:
    rows = planted(6000, own=1.5)
    images = write_folder(tmp_path / "images", rows)
    scores = write_scores(tmp_path / "gender.csv", images, rows)
    truth = sum(part * share for part, share, _ in PLANTED.values())
    r = run(images, scores)
    c = woman(r)
    assert not covers(c.reweighted, truth)
    assert covers(c.worst, truth)
    assert c.worst.low < c.possible.low  # type: ignore[operator]
    assert covers(c.limited, truth)
    # ... and nothing in the check on held-out rows gives it away
    assert r.weighting is not None
    assert r.weighting.fit is not None
    assert covers(r.weighting.fit.slope, 1.0)


def test_coverage_dates_and_columns_of_the_pool(tmp_path: Path) -> None:
    rows = planted(400).with_columns(pl.Series("crawled", ["2014-07-01", "2021-01-05"] * 200))
    images = write_folder(tmp_path / "images", rows.drop("caption"))
    pool = pl.DataFrame(
        {
            "URL": [*rows["url"], *(f"http://more{i}.com/a.jpg" for i in range(600))],
            "TEXT": [*rows["caption"], *["not tried"] * 600],
            "LANGUAGE": ["de", "en"] * 500,
        }
    )
    pool.write_parquet(tmp_path / "pool.parquet")
    r = run(
        images,
        shards=(str(tmp_path / "pool.parquet"),),
        groups=("domain", "crawled", "language-tag", "gender-words"),
        crawled="crawled",
        embeddings=None,
    )
    assert [(c.id, c.n, c.of) for c in r.coverage] == [
        ("tried", 400, 1000),
        ("came", r.n_came, 400),
    ]
    assert r.crawled == ("2014", "2021")
    assert r.fetched == ("2023-11-14", "2023-11-15")
    assert {x.level for x in r.loss[1].levels} == {"2014", "2021"}
    assert {x.level for x in r.loss[2].levels} == {"de", "en"}
    assert {x.level for x in r.loss[3].levels} == {"no person named", "person, gender not stated"}
    assert len(r.loss[0].levels) == 16
    assert "lost or kept as a whole" in r.loss[0].why_not
    told = run(images, fetched="2024-05-01", crawled="2014-07-01")
    assert (told.fetched, told.crawled) == (("2024-05-01",) * 2, ("2014-07-01",) * 2)
    assert any(
        "The verdict is of 2024-05-01, of a crawl of 2014-07-01" in x for x in told.cannot_say
    )


def test_a_model_reads_the_pictures_that_came(demo: Path, tmp_path: Path) -> None:
    rows = planted(40)
    images = write_folder(tmp_path / "images", rows, tars=True)
    seen: list[str] = []
    config = NonresponseConfig(
        images=images,
        model=f"local-dir:{demo / 'clip'}",
        groups=("region",),
        response_by=(),
        attributes=("gender_presentation",),
        cache=str(tmp_path / "cache"),
    )
    r = nonresponse(config, lambda what, done, of: seen.append(what))
    assert [(c.id, c.n) for c in r.coverage][:2] == [("came", r.n_came), ("embedding", r.n_came)]
    assert r.coverage[2].id == "label:gender_presentation"
    assert sum(woman(r).counts.values()) == r.n_came
    assert woman(r).labels == "uncorrected classifier labels"
    assert "embed pictures" in seen
    assert list((tmp_path / "cache").rglob("*.npy"))


def test_without_labels_loss_alone_is_told(tmp_path: Path) -> None:
    r = run(write_folder(tmp_path / "images", planted(300)))
    assert r.composed == ()
    assert AT_RANDOM not in r.finding
    assert any("--scores" in line for line in r.cannot_say)
    assert NonresponseResult.from_json(r.to_json()) == r
    assert "--groups" in r.provenance.command


def test_hardly_a_picture_leaves_no_weights_but_the_reasons(tmp_path: Path) -> None:
    rows = planted(300).with_columns(
        pl.when(pl.int_range(300) < 2)
        .then(pl.lit("success"))
        .otherwise(pl.lit("failed_to_resize"))
        .alias("status")
    )
    images = write_folder(tmp_path / "images", rows)
    r = run(images, write_scores(tmp_path / "s.csv", images, rows))
    assert r.weighting is None
    assert "2 of 300 pictures came" in r.why_not_weighted
    assert any("No share was re-weighted" in line for line in r.cannot_say)


def test_rows_drawn_by_strata_count_by_their_chance(tmp_path: Path) -> None:
    """Rows of Southern Asia were tried five times as often."""
    rows = planted(6000)
    truth = float(rows["woman"].mean())  # type: ignore[arg-type]
    asia = pl.col("url").str.contains(r"\.co\.in/")
    rows = rows.filter(asia | (pl.int_range(pl.len()) % 5 == 0)).with_columns(
        probability=pl.when(asia).then(1.0).otherwise(0.2), stratum=pl.lit("")
    )
    images = write_folder(tmp_path / "images", rows)
    scores = write_scores(tmp_path / "gender.csv", images, rows)
    r = run(images, scores)
    assert r.by_chance
    assert covers(r.lost, 0.6 * 0.12 + 0.4 * 0.36)
    assert covers(level(r, "Southern Asia").difference, 0.24)
    assert level(r, "Southern Asia").n == int(rows.select(asia).sum().item())
    assert r.lost.n == r.n_tried == len(rows)
    c = woman(r)
    assert covers(c.reweighted, truth)
    assert covers(c.worst, truth)
    assert not covers(c.complete, truth)
    assert "that were tried were drawn by strata" in r.finding[0]
    assert any("chances that differ" in line for line in r.cannot_say)
    with pytest.raises(LaionProbeError, match="leave it out"):
        run(images, population=10_000)
    # the wrong method: the same rows as if drawn alike
    bare = write_folder(tmp_path / "bare", rows.drop("stratum"))
    alike = run(bare, write_scores(tmp_path / "g.csv", bare, rows))
    assert not alike.by_chance
    assert not covers(woman(alike).reweighted, truth)
    assert not covers(alike.lost, 0.6 * 0.12 + 0.4 * 0.36)
    some = rows.with_columns(
        probability=pl.when(pl.int_range(pl.len()) > 9).then(pl.col("probability"))
    )
    with pytest.raises(LaionProbeError, match="some rows have no probability"):
        run(write_folder(tmp_path / "some", some))


def test_few_domains_are_said(tmp_path: Path) -> None:
    """Two thirds of the rows are of one domain."""
    one = pl.when(pl.int_range(600) < 400).then(pl.lit("http://big.de/a.jpg")).otherwise("url")
    rows = planted(600).with_columns(url=one)
    r = run(write_folder(tmp_path / "images", rows))
    (said,) = (line for line in r.cannot_say if "few domains" in line)
    assert "the largest holds 66.7 % of the rows" in said
    assert "are worth 2.2 of one size" in said
    assert "most rows are in a few of" in r.loss[0].why_not
    assert not any(
        "few domains" in x for x in run(write_folder(tmp_path / "many", planted(600))).cannot_say
    )


def test_unfinished_tars_and_fetches_are_said(tmp_path: Path) -> None:
    images = Path(write_folder(tmp_path / "images", planted(200)))
    (images / "00007.tar").touch()
    (images / "fetch.json").write_text(json.dumps({"rows": [100, 100, 50]}))
    said = " ".join(run(str(images)).cannot_say)
    assert "1 tars have no table" in said
    assert "50 of its 250 rows were not tried yet" in said


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": "nowhere"}, "does not exist"),
        ({"population": 10}, "--population 10 is less than the 40 rows tried"),
        ({"fetched": "May"}, "--fetched May is no date"),
        ({"crawled": "year"}, "no column of 00000.parquet"),
        ({"groups": ("crawled",)}, "name its column with --crawled"),
        ({"groups": ("tld", "tld")}, "--groups names a group twice"),
        ({"groups": ("regoin",)}, "region"),
        ({"embeddings": "somewhere"}, "name it with --model"),
        ({"column": ("text",), "shards": ("x",)}, "is not NAME=COLUMN"),
        ({"attributes": ("skin_tone", "skin_tone")}, "named twice"),
    ],
)
def test_what_cannot_be_used_is_said(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    images = write_folder(tmp_path / "images", planted(40))
    with pytest.raises(LaionProbeError, match=message):
        run(**{"images": images, **change})


def test_broken_tables_are_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(LaionProbeError, match=r"holds no \.parquet"):
        run(str(empty))
    (empty / "00000.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(LaionProbeError, match=r"00000\.parquet: cannot be read"):
        run(str(empty))
    pl.DataFrame({"url": ["a"]}).write_parquet(empty / "00000.parquet")
    with pytest.raises(LaionProbeError, match="no column 'key'"):
        run(str(empty))


# What fetch leaves


class _Web(BaseHTTPRequestHandler):
    """A picture by its number, 404, an opt-out or no picture: as ``fate`` says of each path."""

    fate: Mapping[str, str] = MappingProxyType({})

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        fate = self.fate.get(self.path, "")
        body = b"words" if fate == "words" else picture(int(self.path[1:-4]) % 50)
        self.send_response(404 if fate == "gone" else 200)
        if fate == "opt-out":
            self.send_header("X-Robots-Tag", "noai")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)


@contextlib.contextmanager
def the_web(fate: Mapping[str, str]) -> Iterator[int]:
    """A server for every host that is said to be on this machine; gives its port."""
    http = ThreadingHTTPServer(("127.0.0.1", 0), type("Web", (_Web,), {"fate": fate}))
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield http.server_address[1]
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


@pytest.mark.slow
def test_what_fetch_leaves_shows_the_planted_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """img2dataset behind the gate, of hosts whose names all lead to one server."""
    rows = planted(1000, seed=3)
    truth = float(rows["woman"].mean())  # type: ignore[arg-type]
    lost = rows.filter(pl.col("status") != "success")["key"].cast(pl.Int64).to_list()
    ways = ("gone", "gone", "opt-out", "words")
    with the_web({f"/{i}.jpg": ways[n % 4] for n, i in enumerate(lost)}) as port:
        monkeypatch.setattr(
            "socket.getaddrinfo",
            lambda host, port, *rest, **more: [(AF_INET, SOCK_STREAM, 6, "", ("127.0.0.1", port))],
        )
        hosts = rows["url"].str.extract("//([^/]+)/") + f":{port}"
        rows = rows.with_columns(url=pl.format("http://{}/{}.jpg", hosts, pl.int_range(1000)))
        tried = rows.select("url", text="caption")
        tried.write_parquet(tmp_path / "tried.parquet")
        others = pl.DataFrame({"url": ["http://x.de/a.jpg"] * 200, "text": ["not tried"] * 200})
        pl.concat([tried, others]).write_parquet(tmp_path / "pool.parquet")
        fetched = fetch(
            FetchConfig(
                source=(str(tmp_path / "tried.parquet"),),
                out=str(tmp_path / "images"),
                sample=1000,  # that is all, so that the port of the server changes nothing
                strata="tld",
                shard_rows=500,
                image_size=24,
                allow_private=tuple(hosts.unique()),
            )
        )
    images = str(tmp_path / "images")
    scores = write_scores(tmp_path / "gender.csv", images, rows)
    r = run(images, scores, shards=(str(tmp_path / "pool.parquet"),), population=1000)
    assert (r.n_tried, r.n_came) == (1000, fetched.statuses["success"])
    assert [(c.n, c.of) for c in r.coverage[:2]] == [(1000, 1200), (r.n_came, 1000)]
    assert {x.reason: x.status for x in r.reasons} == {
        "HTTP 404": "failed_to_download",
        "opted out": "failed_to_download",
        "not a readable picture": "failed_to_resize",
    }
    assert r.fetched is not None
    assert r.fetched[1] == fetched.finished[:10]
    assert r.loss[0].depends
    assert not r.loss[1].depends
    assert covers(level(r, "Southern Asia").ratio, 3.0)
    c = woman(r)
    assert not covers(c.complete, truth)
    assert covers(c.reweighted, truth)
    assert covers(c.worst, truth)
