"""Reading shards: schemas, units, and files that are not what they should be."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from shardmaker import frame, write

from laion_probe.errors import SchemaError, ShardError
from laion_probe.records import CANONICAL, guess_filters, map_columns
from laion_probe.shards import list_shards, list_units, read_unit


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
    unit = list_units(list_shards([str(file)]))[0]
    data = bytearray(file.read_bytes())
    data[4:400] = b"\xff" * 396  # inside the first row group, footer intact
    file.write_bytes(bytes(data))
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
