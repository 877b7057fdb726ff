"""Reading shards: schemas, units, and files that are not what they should be."""

from __future__ import annotations

import os
import pickle
from decimal import Decimal
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal
from shardmaker import frame, write

from laion_probe import parquet
from laion_probe.errors import ConfigError, SchemaError, ShardError, UnknownName
from laion_probe.records import CANONICAL, guess_filters, map_columns, swapped_sizes
from laion_probe.shards import Unit, list_shards, list_units, read_unit


def test_units_are_row_groups_and_hold_every_row_once(tmp_path: Path) -> None:
    shards = list_shards([str(write(tmp_path, frame(40)))])
    units = list_units(shards)
    assert [s.n_rows for s in shards] == [20, 20]
    assert len(units) == 6
    assert len({u.id for u in units}) == 6
    frames = [read_unit(u) for u in units]
    assert [f["row"].to_list() for f in frames[:3]] == [
        list(range(7)),
        list(range(7, 14)),
        list(range(14, 20)),
    ]
    assert sum(len(f) for f in frames) == 40
    assert set(CANONICAL) < set(frames[0].columns)


def test_missing_columns_are_null_and_missing_captions_empty(tmp_path: Path) -> None:
    table = frame(3, TEXT=["a", None, "b"], similarity=None)
    shards = list_shards([str(write(tmp_path, table, 1))])
    rows = read_unit(list_units(shards)[0])
    assert rows["text"].to_list() == ["a", "", "b"]
    assert rows["similarity"].null_count() == 3


@pytest.mark.parametrize(
    ("columns", "text", "width"),
    [
        (["URL", "TEXT", "WIDTH"], "TEXT", "WIDTH"),
        (["url", "caption", "original_width", "width"], "caption", "width"),
        (["uid", "url", "text", "original_width"], "text", "original_width"),
        (["SAMPLE_ID", "URL", "TEXT", "HEIGHT", "WIDTH", "LICENSE", "NSFW"], "TEXT", "WIDTH"),
        (["image_path", "caption", "width"], "caption", "width"),
    ],
)
def test_schemas_in_the_wild(columns: list[str], text: str, width: str) -> None:
    source = map_columns(columns, "x").source
    assert (source["text"], source["width"]) == (text, width)


def test_the_filters_behind_a_schema_are_guessed_only_where_they_are_told_apart() -> None:
    assert guess_filters(["SAMPLE_ID", "URL", "TEXT", "LICENSE", "NSFW"]) == "laion400m"
    assert guess_filters(["URL", "TEXT", "hash", "punsafe", "pwatermark"]) == "laion5b-en"
    multi = ["URL", "TEXT", "hash", "punsafe", "pwatermark", "LANGUAGE"]
    assert guess_filters(multi) == "unknown"


def test_a_shard_listed_twice_is_read_once(tmp_path: Path) -> None:
    folder = write(tmp_path, frame(4), 1)
    file = str(folder / "part-00000.parquet")
    assert len(list_shards([file, str(folder), str(folder / "*.parquet")])) == 1


def test_no_shards_and_wrong_shards_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="no shards given: use --shards"):
        list_shards([])
    with pytest.raises(ShardError, match=r"no parquet shard at .*: give a \.parquet file"):
        list_shards([str(tmp_path)])
    wrong = tmp_path / "x.parquet"
    wrong.write_text("URL,TEXT\n")
    with pytest.raises(ShardError, match=r"x\.parquet: not a readable parquet file"):
        list_shards([str(wrong)])
    pl.DataFrame({"URL": ["a"], "size": [1]}).write_parquet(wrong)
    with pytest.raises(
        SchemaError, match=r"no column for text among URL, size; known names are text"
    ):
        list_shards([str(wrong)])


def test_a_row_group_that_cannot_be_read_names_its_unit(tmp_path: Path) -> None:
    folder = write(tmp_path, frame(40), 1)
    file = folder / "part-00000.parquet"
    data = bytearray(file.read_bytes())
    data[4:400] = b"\xff" * 396  # inside the first row group, footer intact
    file.write_bytes(bytes(data))
    unit = list_units(list_shards([str(file)]))[0]
    with pytest.raises(ShardError, match=r"part-00000\.parquet#0: cannot be read"):
        read_unit(unit)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"URL": ["a"], "TEXT": [["a", "b"]]}, "column TEXT is .*list.*, not text"),
        ({"URL": ["a"], "TEXT": [b"\xff\xfe"]}, "column TEXT is .*binary.*, not text"),
        ({"URL": ["a"], "TEXT": [{"a": 1}]}, "column TEXT is struct.*, not text"),
    ],
)
def test_a_caption_column_of_another_type_is_refused(tmp_path: Path, columns, message) -> None:
    pl.DataFrame(columns).write_parquet(tmp_path / "x.parquet")
    with pytest.raises(SchemaError, match=message):
        list_shards([str(tmp_path)])


@pytest.mark.parametrize("unit_column", ["text", "url"])
def test_captions_may_be_dictionaries_and_all_null(tmp_path: Path, unit_column: str) -> None:
    other = "url" if unit_column == "text" else "text"
    table = pa.table(
        {
            unit_column: pa.array(["a b", None, "a b"]).dictionary_encode(),
            other: pa.nulls(3),
        }
    )
    pq.write_table(table, tmp_path / "x.parquet")
    rows = read_unit(list_units(list_shards([str(tmp_path)]))[0])
    # a missing caption is an empty one; a missing address is no address
    missing = {"text": "", "url": None}
    assert rows[unit_column].to_list() == ["a b", missing[unit_column], "a b"]
    assert rows[other].to_list() == [missing[other]] * 3


def test_a_size_that_is_no_number_fails_its_unit(tmp_path: Path) -> None:
    pl.DataFrame({"URL": ["a"], "TEXT": ["b"], "WIDTH": [[1, 2]]}).write_parquet(
        tmp_path / "x.parquet"
    )
    with pytest.raises(ShardError, match=r"x\.parquet#0: cannot be read"):
        read_unit(list_units(list_shards([str(tmp_path)]))[0])


def test_a_copy_of_a_shard_and_shards_without_rows_are_refused(tmp_path: Path) -> None:
    write(tmp_path, frame(4), 1)
    (tmp_path / "copy.parquet").write_bytes((tmp_path / "part-00000.parquet").read_bytes())
    with pytest.raises(ShardError, match="are the same, byte for byte"):
        list_shards([str(tmp_path)])
    write(tmp_path / "empty", frame(4).clear(), 1)
    with pytest.raises(ShardError, match="no rows in part-00000"):
        list_shards([str(tmp_path / "empty")])


def units_of(*sources: Path | str, **columns: str) -> tuple[Unit, ...]:
    return list_units(list_shards([str(s) for s in sources], columns))


def test_two_readers_give_equal_frames_for_every_type(tmp_path: Path, shared_types) -> None:
    for name, table in shared_types.items():
        path = tmp_path / f"{name}.parquet"
        pq.write_table(table, path, row_group_size=3)
        units = units_of(path)
        assert len(units) == 2, name
        for unit in units:
            names = sorted(set(unit.shard.columns.source.values()))
            before = 3 * unit.row_group
            fast = parquet._by_polars(str(path), before, unit.n_rows or 0, names)
            slow = parquet._by_pyarrow(
                unit.shard.file, parquet.footer_of(unit.shard.file), unit.row_group, names
            )
            assert fast is not None, name
            frames = [read_unit(unit)]
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(parquet, "_by_polars", lambda *_: None)
                frames.append(read_unit(unit))
            assert_frame_equal(*frames)
            assert slow.height == fast.height == unit.n_rows


@pytest.fixture
def shared_types() -> dict[str, pa.Table]:
    captions = pa.array(["a b", None, "", "猫 🐈", "x" * 10_000])
    sizes = [640, None, 0, -1, 2**31 - 1]
    floats = [0.25, None, float("nan"), float("inf"), -0.0]
    strings = pa.array(["640", "480.0", None, "wide", ""])
    odd = {
        "plain": (captions, pa.array(sizes), pa.array(floats)),
        "narrow": (captions, pa.array(sizes, pa.int32()), pa.array(floats, pa.float32())),
        "large": (captions.cast(pa.large_string()), strings, strings),
        "view": (captions.cast(pa.string_view()), pa.array(floats), pa.array(sizes)),
        "coded": (captions.dictionary_encode(), strings.dictionary_encode(), pa.nulls(5)),
        "decimal": (
            captions,
            pa.array([Decimal("640"), None, Decimal("1.50"), Decimal(0), Decimal(-3)]),
            pa.array([Decimal("0.25"), None, Decimal("1.50"), Decimal(0), Decimal(-3)]),
        ),
        "half": (captions, pa.array(floats, pa.float16()), pa.array(floats, pa.float16())),
        "small": (captions, pa.array([1, None, 3, 4, 5], pa.uint8()), pa.array(sizes)),
        "large coded": (
            captions.cast(pa.large_string()).dictionary_encode(),
            pa.array([1, None, 3, 4, 2**63], pa.uint64()),
            pa.array([True, None, False, True, True]),
        ),
    }
    return {
        name: pa.table({"TEXT": text, "WIDTH": width, "similarity": similarity, "NSFW": captions})
        for name, (text, width, similarity) in odd.items()
    }


def test_only_asked_columns_come_and_a_missing_url_column_is_null(tmp_path: Path) -> None:
    units = units_of(write(tmp_path, frame(8, URL=None), 1))
    rows = read_unit(units[1], ["text", "url"])
    assert rows.columns == ["row", "text", "url"]
    assert rows.schema == {"row": pl.Int64, "text": pl.String, "url": pl.String}
    assert rows["row"].to_list() == [7]
    assert rows["url"].to_list() == [None]
    assert read_unit(units[0], ["punsafe", "aesthetic"])["aesthetic"].null_count() == 7
    assert read_unit(units[0], ["aesthetic"]).height == 7
    assert read_unit(units[0], []).columns == ["row"]
    with pytest.raises(UnknownName, match="unknown column 'txet': did you mean text"):
        read_unit(units[0], ["txet"])


def test_a_unit_travels_light_and_reads_the_same(tmp_path: Path) -> None:
    table = pl.concat([frame(1000)] * 100)
    unit = units_of(write(tmp_path, table, 1, group=1000))[42]
    wire = pickle.dumps(unit)
    assert len(wire) < 8_000
    again = pickle.loads(wire)
    assert again == unit
    assert hash(again.shard) == hash(unit.shard)
    assert_frame_equal(read_unit(again), read_unit(unit))
    assert read_unit(again)["row"][0] == 42_000


def test_bytes_of_columns_add_up(tmp_path: Path) -> None:
    unit = units_of(write(tmp_path, frame(40)))[0]
    meta = pq.read_metadata(tmp_path / "part-00000.parquet").row_group(0)
    sizes = {
        meta.column(i).path_in_schema: meta.column(i).total_compressed_size
        for i in range(meta.num_columns)
    }
    assert unit.bytes_of(["text", "punsafe"]) == sizes["TEXT"] + sizes["punsafe"]
    assert unit.bytes_of(["original_width"]) == 0
    assert unit.n_bytes == sum(sizes.values())


class TestWhichColumnIsWhich:
    captions = ("a red car", "two dogs on a beach", "猫の写真")
    links = ("http://a.example/1.jpg", "https://b.example/2.png", "http://c.example/x?y=1")

    def columns(self, tmp_path: Path, override: dict[str, str], **data) -> dict[str, str]:
        pl.DataFrame(data).write_parquet(tmp_path / "x.parquet")
        (shard,) = list_shards([str(tmp_path)], override)
        return dict(shard.columns.source)

    def test_by_content_where_names_are_unknown(self, tmp_path: Path) -> None:
        found = self.columns(tmp_path, {}, a=self.links, b=self.captions, c=["x", "y", "z"])
        assert found == {"url": "a", "text": "b"}

    def test_a_text_column_of_urls_gives_way_and_that_is_noted(self, tmp_path: Path) -> None:
        found = self.columns(tmp_path, {}, TEXT=self.links, ALT=self.captions)
        assert found == {"text": "ALT", "url": "TEXT"}
        swapped = self.columns(tmp_path, {}, TEXT=self.links, URL=self.captions)
        assert swapped == {"text": "URL", "url": "TEXT"}
        (shard,) = list_shards([str(tmp_path)])
        assert shard.columns.notes == (
            "text is read from URL by its content: TEXT holds mostly URLs",
            "url is read from TEXT by its content: URL holds captions",
        )

    def test_two_candidates_are_an_error_that_says_how_to_choose(self, tmp_path: Path) -> None:
        data = {"a": self.captions, "b": [c + " here" for c in self.captions], "n": [1, 2, 3]}
        with pytest.raises(
            SchemaError, match=r"text could be a or b, by their content; .* --column text=NAME"
        ):
            self.columns(tmp_path, {}, **data)
        assert self.columns(tmp_path, {"text": "b"}, **data)["text"] == "b"

    def test_an_override_is_not_corrected(self, tmp_path: Path) -> None:
        data = {"TEXT": self.captions, "URL": self.links, "n": [1, 2, 3]}
        found = self.columns(tmp_path, {"text": "url", "width": "N"}, **data)
        assert (found["text"], found["width"]) == ("URL", "n")

    def test_an_override_of_nothing_says_what_is_known(self, tmp_path: Path) -> None:
        data = {"TEXT": self.captions}
        with pytest.raises(ConfigError, match="unknown column 'txt': known: url, text, width"):
            self.columns(tmp_path, {"txt": "TEXT"}, **data)
        with pytest.raises(SchemaError, match=r"no column ALT \(--column text=ALT\) among TEXT"):
            self.columns(tmp_path, {"text": "ALT"}, **data)

    def test_mostly_empty_messages_and_exif_are_no_captions(self) -> None:
        samples = {
            "note": ["HTTP Error 404: Not Found", None, None],
            "exif": ['{"Image Make": "a camera"}'] * 3,
            "what": self.captions,
        }
        found = map_columns([*samples, "url"], "x", samples=samples)
        assert found.source["text"] == "what"

    def test_width_and_original_width(self) -> None:
        both = map_columns(["text", "width", "original_width"], "x").source
        assert (both["width"], both["original_width"]) == ("width", "original_width")
        one = map_columns(["text", "original_width"], "x").source
        assert (one["width"], one["original_width"]) == ("original_width", "original_width")


def test_swapped_sizes_are_counted_without_squares_and_nulls() -> None:
    width = pl.Series([640, 480, 5, None, 7, 300])
    height = pl.Series([480, 640, 5, 4, 9, 200])
    original_width = pl.Series([640, 640, 5, 4, 7, 1])
    original_height = pl.Series([480, 480, 5, 4, None, 2])
    assert swapped_sizes(width, height, original_width, original_height) == (1, 1)
    empty = pl.Series([], dtype=pl.Int64)
    assert swapped_sizes(empty, empty, empty, empty) == (0, 0)


def test_shards_of_equal_footers_are_told_apart_by_their_content(tmp_path: Path) -> None:
    plain = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    pq.write_table(pa.table({"TEXT": ["one cat", "two"]}), tmp_path / "a.parquet", **plain)
    data = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "b.parquet").write_bytes(data.replace(b"one cat", b"one dog"))
    alone = [units_of(tmp_path / n)[0].id for n in ("a.parquet", "b.parquet")]
    assert alone[0] == alone[1]
    units = units_of(tmp_path)
    assert len({u.id for u in units}) == 2
    assert [read_unit(u)["text"][0] for u in units] == ["one cat", "one dog"]


def test_a_fingerprint_is_the_content_not_the_place(tmp_path: Path) -> None:
    file = write(tmp_path / "a", frame(4), 1) / "part-00000.parquet"
    moved = tmp_path / "b.parquet"
    moved.write_bytes(file.read_bytes())
    assert [u.id for u in units_of(file)] == [u.id for u in units_of(moved)]


@pytest.mark.parametrize("same_size", [True, False])
def test_a_file_written_anew_fails_its_unit(tmp_path: Path, same_size: bool) -> None:
    file = write(tmp_path, frame(4), 1) / "part-00000.parquet"
    (unit,) = units_of(file)
    if same_size:
        os.utime(file, ns=(1, 1))
    else:
        frame(5).write_parquet(file)
    with pytest.raises(ShardError, match=r"part-00000\.parquet#0: changed while it was read: "):
        read_unit(unit)


def test_one_bad_shard_is_one_failed_unit_and_only_bad_ones_an_error(tmp_path: Path) -> None:
    write(tmp_path, frame(14), 1)
    (tmp_path / "bad.parquet").write_bytes(b"no parquet at all")
    pl.DataFrame({"n": [1]}).write_parquet(tmp_path / "worse.parquet")
    shards = list_shards([str(tmp_path)])
    assert [(s.name, bool(s.error), len(s.parts)) for s in shards] == [
        ("bad.parquet", True, 1),
        ("part-00000.parquet", False, 2),
        ("worse.parquet", True, 1),
    ]
    bad, good, _, worse = list_units(shards)
    assert (bad.n_rows, bad.n_bytes) == (None, 17)
    assert read_unit(good).height == 7
    with pytest.raises(ShardError, match=r"bad\.parquet#0: cannot be read: not a readable"):
        read_unit(bad)
    with pytest.raises(ShardError, match=r"worse\.parquet#0: cannot be read: no column for text"):
        read_unit(worse)
    assert pickle.loads(pickle.dumps(bad)) == bad
    with pytest.raises(ShardError, match=r"bad\.parquet: not a .* \(and 1 more that cannot"):
        list_shards([str(tmp_path / "bad.parquet"), str(tmp_path / "worse.parquet")])
