"""Shards that are not parquet: lines of TSV, CSV and JSON, gzipped or not, and WebDataset tars."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from servers import HttpServer, http_server  # noqa: F401

from laion_probe import formats
from laion_probe.errors import SchemaError, ShardError
from laion_probe.shards import Unit, list_shards, list_units, read_unit

URLS = [f"http://x.example/{i}.jpg" for i in range(30)]
CAPTIONS = [f'caption {i} of "many", 猫 {"long " * (i % 7)}' for i in range(30)]
BOTH = ["url", "text"]


def units_of(path: Path | str, **columns: str) -> tuple[Unit, ...]:
    return list_units(list_shards([str(path)], columns))


def rows_of(path: Path | str, columns: list[str] = BOTH) -> pl.DataFrame:
    return pl.concat([read_unit(u, columns) for u in units_of(path)]).drop("row")


EXPECTED = pl.DataFrame({"url": URLS, "text": CAPTIONS})


def pack(path: Path, text: str | bytes) -> Path:
    data = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("ending", ["tsv", "tsv.gz"])
@pytest.mark.parametrize("url_first", [True, False])
@pytest.mark.parametrize("eol", ["\n", "\r\n"])
def test_headerless_tsv_is_told_by_content(
    tmp_path: Path, ending: str, url_first: bool, eol: str
) -> None:
    pairs = zip(URLS, CAPTIONS, strict=True)
    lines = ["\t".join(p if url_first else p[::-1]) for p in pairs]
    path = pack(tmp_path / f"cc.{ending}", eol.join(lines) + eol)
    assert_frame_equal(rows_of(path), EXPECTED)
    (shard,) = list_shards([str(path)])
    assert shard.kind == "tsv"
    assert shard.names == ("column_1", "column_2")
    assert any("text is read from column_" in n for n in shard.columns.notes)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.csv.gz"])
def test_with_a_header_quotes_and_newlines_count(tmp_path: Path, name: str) -> None:
    table = EXPECTED.with_columns(
        pl.col("text").str.replace("of", "of\r\nall\t,"), WIDTH=pl.lit("640.0"), n=pl.lit("")
    ).rename({"url": "URL", "text": "TEXT"})
    text = table.write_csv(separator="\t" if "tsv" in name else ",")
    path = pack(tmp_path / name, "\ufeff" + text)
    rows = rows_of(path, ["url", "text", "width", "aesthetic"])
    assert rows["text"].to_list() == table["TEXT"].to_list()
    assert rows["url"].to_list() == URLS
    assert rows["width"].to_list() == [640] * 30
    assert rows["aesthetic"].null_count() == 30
    assert read_unit(units_of(path)[0], []).height == 30


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.jsonl.gz"])
def test_json_lines(tmp_path: Path, name: str) -> None:
    objects = [
        {"url": u, "caption": c, "width": w, "similarity": 0.1, "nsfw": None}
        for u, c, w in zip(URLS, CAPTIONS, [640, "480", None] * 10, strict=True)
    ]
    objects[4] = {"caption": None, "other": [1, {"a": 2}]}
    path = pack(tmp_path / name, "\n\n".join(json.dumps(o) for o in objects))
    rows = rows_of(path, ["url", "text", "width", "similarity", "nsfw"])
    assert rows["text"].to_list() == [*CAPTIONS[:4], "", *CAPTIONS[5:]]
    assert rows["url"].to_list() == [*URLS[:4], None, *URLS[5:]]
    assert rows["width"].to_list() == [640, 480, None, 640, None, None] + [640, 480, None] * 8
    assert rows["similarity"].to_list() == [0.1] * 4 + [None] + [0.1] * 25
    assert read_unit(units_of(path)[0], ["aesthetic"]).height == 30


@pytest.mark.parametrize("step", [*range(60, 90), 1, 7, 500, 10_000])
@pytest.mark.parametrize("kind", ["tsv", "jsonl"])
def test_a_line_belongs_to_the_range_it_starts_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, kind: str
) -> None:
    pairs = [(u, c) for u, c in zip(URLS[:12], CAPTIONS[:12], strict=True)]
    lines = [
        "\t".join(p) if kind == "tsv" else json.dumps({"url": p[0], "text": p[1]}) for p in pairs
    ]
    path = pack(tmp_path / f"a.{kind}", "\n".join(lines) + "\n" * (step % 2))
    monkeypatch.setattr(formats, "RANGE_BYTES", step)
    units = units_of(path)
    assert len(units) == -(-path.stat().st_size // step)
    assert sum(u.n_bytes for u in units) == path.stat().st_size
    assert_frame_equal(rows_of(path), EXPECTED[:12])


def test_ranges_are_read_the_same_over_http(
    http_server: HttpServer,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(formats, "RANGE_BYTES", 10_000)
    lines = [f"{u}\t{c}" for u, c in zip(URLS, CAPTIONS, strict=True)] * 40
    path = pack(http_server.folder / "cc.tsv", "\n".join(lines))
    near, far = units_of(path), units_of(f"{http_server.url}/cc.tsv")
    assert [u.id for u in near] == [u.id for u in far]
    assert len(near) > 5
    http_server.reset()
    assert_frame_equal(read_unit(far[2]), read_unit(near[2]))
    assert http_server.n_bytes < 10_000 + (1 << 20)


def webdataset(path: Path, *, with_json: bool = True, picture: int = 40_000) -> Path:
    with tarfile.open(path, "w") as tar:
        for i, (url, caption) in enumerate(zip(URLS, CAPTIONS, strict=True)):
            fields = {"url": url, "caption": caption, "key": f"{i:05d}", "original_width": 640 + i}
            members = {"jpg": b"\xff" * picture, "txt": caption.encode()}
            if with_json:
                members["json"] = json.dumps(fields).encode()
            for ending, data in members.items():
                info = tarfile.TarInfo(f"{i:05d}.{ending}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return path


def test_tars_pair_captions_by_key(tmp_path: Path) -> None:
    rows = rows_of(webdataset(tmp_path / "00000.tar"), ["url", "text", "width", "original_width"])
    assert_frame_equal(rows.select(BOTH), EXPECTED)
    assert rows["width"].to_list() == rows["original_width"].to_list() == list(range(640, 670))
    bare = rows_of(webdataset(tmp_path / "1.tar", with_json=False))
    assert bare["text"].to_list() == CAPTIONS
    assert bare["url"].null_count() == 30


def test_a_tar_without_a_member_for_a_key_keeps_the_row(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, data in {"a.txt": b"a cat", "b.jpg": b"\xff", "c.jpg": b"", "c.TXT": b""}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    assert rows_of(tmp_path / "a.tar")["text"].to_list() == ["a cat", "", ""]


def test_pictures_in_a_tar_are_not_fetched(http_server: HttpServer) -> None:  # noqa: F811
    path = webdataset(http_server.folder / "00000.tar", picture=200_000)
    (unit,) = units_of(f"{http_server.url}/00000.tar")
    http_server.reset()
    assert_frame_equal(read_unit(unit, BOTH).drop("row"), EXPECTED)
    assert http_server.n_bytes < path.stat().st_size / 10


def test_a_folder_of_img2dataset_is_read_from_its_metadata(tmp_path: Path) -> None:
    webdataset(tmp_path / "00000.tar")
    EXPECTED.rename({"text": "caption"}).write_parquet(tmp_path / "00000.parquet")
    (tmp_path / "00000_stats.json").write_text("{}")
    assert [s.name for s in list_shards([str(tmp_path)])] == ["00000.parquet"]
    assert [s.name for s in list_shards([str(tmp_path / "*.tar")])] == ["00000.tar"]


TWO = "http://a.example/1\ta red car\nhttp://a.example/2\ttwo dogs\n"


def test_a_stray_quote_in_a_csv_is_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('url,text\na,a 5" screen\nb,"two\nlines"')
    assert rows_of(tmp_path / "a.csv")["text"].to_list() == ['a 5" screen', "two\nlines"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", TWO + "http://a.example/3\tc\td\n", "line 3 has 3 cells"),
        ("a.tsv", TWO + "\nhttp://a.example/3\n", "line 4 has 1 cells"),
        ("a.tsv", TWO.encode() + b"http://a.example/3\t\xed\xa0\x80\n", "line 3 is not UTF-8"),
        ("a.csv", "url,text\na,b\nc,d,e\n", r"Row #3: Expected 2 columns, got 3"),
        ("a.csv", b"url,text\na,b\nc,\xed\xa0\x80\n", r"Row #3: .*[Uu][Tt][Ff]-?8"),
        ("a.csv", 'url,text\na,b\nc,"d\n', "row 3 opens a quote that is never"),
        ("a.jsonl", '{"text": "a b"}\n{"text": }\n', "line 2 is not JSON"),
        ("a.jsonl", '{"text": "a b"}\n["text"]\n', "line 2 is not a JSON object but a list"),
        ("a.jsonl", '{"text": "a b"}\n{"text": 5}\n', "line 2: column text is int, not text"),
        ("a.jsonl", '{"text": "a", "width": 1}\n{"width": [1]}\n', "column width is list, not a"),
        ("a.jsonl", '{"text": "a b"}\n{"text": "\\ud800"}\n', "line 2 holds an invalid surrogate"),
        ("a.jsonl", '{"text": "a b"}\n' + "[" * 100_000, "line 2 is not JSON"),
        ("a.csv.gz", gzip.compress(b"url,text\na,b\n" * 99_999)[:-30], "ended before"),
    ],
)
def test_a_line_that_does_not_parse_fails_its_unit(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    (unit,) = units_of(path)
    with pytest.raises(ShardError, match=rf"{name}#0: cannot be read: .*{message}"):
        read_unit(unit)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '[{"text": "a b"}]', "line 1 is not a JSON object but a list"),
        ("a.jsonl", '{"text": 5}\n{"text": 6}', "column text is int, not text"),
        ("a.jsonl", "", "is empty"),
        ("a.csv", "\n\n", "has no lines but empty ones"),
        ("a.csv", 'text,"url', "line 1 opens a quote"),
        ("a.csv", "text,text\na,b\n", "has 2 columns named text; keep one"),
        ("a.csv", "n,m\n1,2\n", "no column for text among n, m"),
        ("a.csv.gz", "text\nno gzip", "[Nn]ot a gzipped file"),
        ("a.tar", "x" * 2000, "a.tar: .*header"),
        ("a.tar", "", "is empty"),
    ],
)
def test_a_file_of_something_else_says_so(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises((ShardError, SchemaError), match=message):
        list_shards([str(tmp_path / name)])


@pytest.mark.parametrize("keep", [0.5, 0.97])
def test_a_tar_that_is_cut_off_fails_its_unit(tmp_path: Path, keep: float) -> None:
    whole = webdataset(tmp_path / "a.tar", picture=10_000).read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[: int(len(whole) * keep)])
    (unit,) = units_of(tmp_path / "a.tar")
    with pytest.raises(ShardError, match=r"a\.tar#0: cannot be read: (ends within|is broken)"):
        read_unit(unit)


def test_a_header_alone_and_an_empty_tar_have_no_rows(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("url,text\n")
    assert read_unit(units_of(tmp_path / "a.csv")[0]).height == 0
    tarfile.open(tmp_path / "b.tar", "w").close()
    assert read_unit(units_of(tmp_path / "b.tar")[0]).height == 0
