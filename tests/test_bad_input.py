"""Input that is not what it should be: each kind is injected, and fails its unit in words."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from servers import Fault, HttpServer, S3Server, _moto, http_server, s3_server  # noqa: F401
from shardmaker import frame, write

from laion_probe import parquet, remote
from laion_probe.errors import LaionProbeError, SchemaError, ShardError
from laion_probe.shards import Unit, list_shards, list_units, read_unit


@pytest.fixture
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(parquet, "LOCAL_BY_POLARS", request.param == "polars")
    return str(request.param)


BOTH = pytest.mark.parametrize("reader", ["polars", "pyarrow"], indirect=True)


def units_of(*sources: Path | str) -> tuple[Unit, ...]:
    return list_units(list_shards([str(s) for s in sources]))


def fails(unit: Unit) -> str:
    """The message with which a unit fails, after its label."""
    with pytest.raises(ShardError) as caught:
        read_unit(unit)
    message = str(caught.value)
    assert message.startswith(f"{unit.label}: ")
    assert "\n" not in message
    return message.removeprefix(f"{unit.label}: ")


def good_and(tmp_path: Path, name: str, data: bytes) -> tuple[Unit, Unit]:
    """A sound unit, which must stay readable, and the one of a file of these bytes."""
    write(tmp_path, frame(5), 1)
    (tmp_path / name).write_bytes(data)
    units = {u.shard.name: u for u in units_of(tmp_path)}
    good = units["part-00000.parquet"]
    assert read_unit(good).height == 5
    return good, units[name]


class TestBrokenFiles:
    @pytest.mark.parametrize("keep", [0, 3, 11, 500, -1, -5, -300])
    def test_a_truncated_file(self, tmp_path: Path, keep: int) -> None:
        whole = (write(tmp_path / "w", frame(40), 1) / "part-00000.parquet").read_bytes()
        _, bad = good_and(tmp_path, "x.parquet", whole[:keep])
        assert fails(bad).startswith("cannot be read: not a readable parquet file (")

    def test_a_wrong_magic(self, tmp_path: Path) -> None:
        whole = (write(tmp_path / "w", frame(40), 1) / "part-00000.parquet").read_bytes()
        for i, end in enumerate((b"PARE", b"PK\x03\x04")):
            _, bad = good_and(tmp_path / str(i), "x.parquet", whole[:-4] + end)
            assert "does not end as one" in fails(bad)

    @pytest.mark.parametrize("length", [0, 1, 200, 2**31 - 1, 2**32 - 1])
    def test_a_footer_of_another_length(self, tmp_path: Path, length: int) -> None:
        whole = (write(tmp_path / "w", frame(40), 1) / "part-00000.parquet").read_bytes()
        data = whole[:-8] + length.to_bytes(4, "little") + whole[-4:]
        _, bad = good_and(tmp_path, "x.parquet", data)
        assert "not a readable parquet file (" in fails(bad)

    def test_a_folder_of_something_else(self, tmp_path: Path) -> None:
        for i in range(3):
            (tmp_path / f"{i}.jpg").write_bytes(b"\xff\xd8\xff")
        with pytest.raises(
            ShardError, match=r"no parquet shard at .*a folder of 3 other files, such as 0\.jpg"
        ):
            list_shards([str(tmp_path)])
        with pytest.raises(ShardError, match=r"0\.jpg: not a readable parquet file"):
            list_shards([str(tmp_path / "0.jpg")])

    def test_an_empty_listing(self, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        for source in ("empty", "empty/*.parquet", "gone.parquet", "gone", ""):
            with pytest.raises(ShardError, match=r"no parquet shard at .*: give a \.parquet file"):
                list_shards([str(tmp_path / source) if source else ""])
        with pytest.raises(ShardError, match="no shards given"):
            list_shards([])


def varint(n: int) -> bytes:
    """A number as the footer holds it (zigzag)."""
    n, out = n * 2, bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out) + bytes([n])


def lying(data: bytes, truth: int, lie: int, which: slice = slice(None)) -> bytes:
    """The file with a number of its footer replaced, where ``which`` of its places says."""
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    footer, old, new = data[start:], varint(truth), varint(lie)
    assert len(old) == len(new)
    assert old in footer
    places = [i for i in range(len(footer)) if footer.startswith(old, i)][which]
    for i in places:
        footer = footer[:i] + new + footer[i + len(old) :]
    return data[:start] + footer


@BOTH
class TestALyingFooter:
    @pytest.fixture
    def sound(self, tmp_path: Path) -> tuple[bytes, pq.FileMetaData]:
        (tmp_path / "w").mkdir()
        path = tmp_path / "w" / "a.parquet"
        table = pl.DataFrame(
            {"URL": [f"u{i}" for i in range(12_345)], "TEXT": [f"t {i}" for i in range(12_345)]}
        )
        table.write_parquet(path, use_pyarrow=True, statistics=False)
        return path.read_bytes(), pq.read_metadata(path)

    @pytest.mark.parametrize("lie", [12_346, 16_000, 1_000_000])
    def test_about_rows_everywhere(self, tmp_path: Path, reader: str, sound, lie: int) -> None:
        _, bad = good_and(tmp_path, "x.parquet", lying(sound[0], 12_345, lie))
        assert fails(bad).startswith("cannot be read: ")

    def test_about_rows_of_a_group(self, tmp_path: Path, reader: str, sound) -> None:
        data = sound[0]
        for i, which in enumerate((slice(0, 2), slice(1, 2), slice(-1, None))):
            _, bad = good_and(tmp_path / str(i), "x.parquet", lying(data, 12_345, 9_999, which))
            if bad.n_rows == 12_345 and i == 1:
                assert "has 9999 values in 12345 rows" in fails(bad)
            else:
                assert fails(bad).startswith("cannot be read: ")

    def test_about_negative_rows(self, tmp_path: Path, reader: str, sound) -> None:
        data, minus = sound[0], 12_345
        start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
        odd = bytes([varint(minus)[0] | 1]) + varint(minus)[1:]  # zigzag: odd is negative
        footer = data[start:].replace(varint(minus), odd)
        _, bad = good_and(tmp_path, "x.parquet", data[:start] + footer)
        assert "says impossible sizes for row group 0" in fails(bad)

    @pytest.mark.parametrize("what", ["total_compressed_size", "data_page_offset"])
    def test_about_where_a_column_lies(self, tmp_path: Path, reader: str, sound, what: str) -> None:
        truth = getattr(sound[1].row_group(0).column(1), what)
        lie = 2 ** (7 * len(varint(truth)) - 1) - 1  # the largest of that many bytes
        _, bad = good_and(tmp_path, "x.parquet", lying(sound[0], truth, lie))
        assert fails(bad).startswith("cannot be read: ")
        if truth + lie > len(sound[0]):
            assert "column TEXT lies beyond the end of the file" in fails(bad)


class TestColumns:
    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            ({"URL": ["a"]}, "no column for text among URL"),
            ({"TEXT": [1]}, "column TEXT is int64, not text"),
            ({"TEXT": ["a"], "URL": [[1]]}, "column URL is .*list.*, not text"),
        ],
    )
    def test_missing_or_of_another_type(self, tmp_path: Path, columns, message: str) -> None:
        pl.DataFrame(columns).write_parquet(tmp_path / "x.parquet")
        _, bad = good_and(tmp_path, "x.parquet", (tmp_path / "x.parquet").read_bytes())
        with pytest.raises(ShardError, match=message):
            read_unit(bad)
        with pytest.raises(SchemaError, match=message):
            list_shards([str(tmp_path / "x.parquet")])

    def test_two_of_one_name(self, tmp_path: Path) -> None:
        two = pa.table([pa.array(["a"]), pa.array(["b"])], names=["TEXT", "TEXT"])
        pq.write_table(two, tmp_path / "x.parquet")
        with pytest.raises(SchemaError, match="has 2 columns named TEXT; keep one"):
            list_shards([str(tmp_path)])

    @BOTH
    def test_null_and_empty_captions_are_rows(self, tmp_path: Path, reader: str) -> None:
        captions = [None, "", " ", "a", None]
        write(tmp_path, frame(5, TEXT=captions, URL=[None] * 5), 1)
        rows = read_unit(units_of(tmp_path)[0])
        assert rows["text"].to_list() == ["", "", " ", "a", ""]
        assert rows["url"].to_list() == [None] * 5

    @BOTH
    def test_half_of_a_surrogate_pair(self, tmp_path: Path, reader: str) -> None:
        raw = pa.array([b"fine", b"\xed\xa0\x80", b"fine"])
        text = pa.StringArray.from_buffers(3, *raw.buffers()[1:])
        pq.write_table(pa.table({"TEXT": text, "n": [1, 2, 3]}), tmp_path / "x.parquet")
        (unit,) = units_of(tmp_path)
        assert "Invalid UTF8" in fails(unit)

    @BOTH
    def test_a_caption_of_fifty_megabytes(self, tmp_path: Path, reader: str) -> None:
        long = "word " * 10_000_000
        write(tmp_path, frame(3, TEXT=["a", long, "b"]), 1)
        rows = read_unit(units_of(tmp_path)[0], ["text"])
        assert rows["text"].str.len_bytes().to_list() == [1, 50_000_000, 1]

    @pytest.mark.parametrize("name", ["x.tsv", "x.csv", "x.jsonl"])
    def test_a_caption_of_fifty_megabytes_in_a_line(self, tmp_path: Path, name: str) -> None:
        long, u = "word " * 10_000_000, "http://a.example/"
        lines = {
            "x.tsv": f"{u}1\ta b\n{u}2\t{long}\n{u}3\ta b\n",
            "x.csv": f'url,text\n{u}1,a b\n{u}2,"{long}"\n{u}3,a b\n',
            "x.jsonl": "".join(f'{{"url": "{u}", "text": "{t}"}}\n' for t in ("a b", long, "a b")),
        }
        (tmp_path / name).write_text(lines[name])
        units = units_of(tmp_path)
        sizes = pl.concat([read_unit(u, ["text"]) for u in units])["text"].str.len_bytes()
        assert sizes.to_list() == [3, 50_000_000, 3]

    @BOTH
    def test_row_groups_without_rows_are_units_without_rows(
        self, tmp_path: Path, reader: str
    ) -> None:
        table = frame(4).to_arrow()
        with pq.ParquetWriter(tmp_path / "x.parquet", table.schema) as writer:
            for piece in (table.slice(0, 0), table, table.slice(0, 0), table.slice(0, 2)):
                writer.write_table(piece)
        units = units_of(tmp_path)
        heights = [read_unit(u).height for u in units]
        assert heights == [u.n_rows for u in units]
        assert 0 in heights
        assert read_unit(units[-1])["row"].to_list() == [4, 5]

    def test_the_same_shard_listed_twice_or_copied(self, tmp_path: Path) -> None:
        write(tmp_path, frame(4), 1)
        path = tmp_path / "part-00000.parquet"
        assert len(units_of(path, tmp_path, f"file://{path}")) == 1
        (tmp_path / "copy.parquet").write_bytes(path.read_bytes())
        with pytest.raises(
            ShardError,
            match=r"part-00000\.parquet and .*copy\.parquet are the sa"
            r"|copy\.parquet and .*part-00000\.parquet are the same",
        ):
            list_shards([str(tmp_path)])


class TestServersThatFail:
    """Of two files on a server one is sound; the other is not, in the ways of servers."""

    @pytest.fixture
    def server(self, http_server: HttpServer) -> HttpServer:  # noqa: F811
        write(http_server.folder, frame(40))
        return http_server

    BAD = "/part-00001.parquet"

    def units(self, server: HttpServer) -> tuple[Unit, ...]:
        return units_of(f"{server.url}/part-{{00000..00001}}.parquet")

    @pytest.mark.parametrize(
        ("fault", "reason", "n_tries"),
        [
            (Fault(status=404), r"is not there \(404\)", 1),
            (Fault(status=403), r"permission is refused \(403\): check the address", 1),
            (Fault(status=401), r"permission is refused \(401\)", 1),
            (Fault(status=503), r"the server answers with 503, 3 times", 3),
            (Fault(reset_after=0), r"\w+Error.*, 3 times", 3),
            (Fault(no_ranges=True), "does not answer range requests; fetch the file", 1),
        ],
    )
    def test_at_listing_one_unit_fails(
        self, server: HttpServer, fault: Fault, reason: str, n_tries: int
    ) -> None:
        server.faults[self.BAD] = fault
        units = self.units(server)
        assert [u.shard.name for u in units] == ["part-00000.parquet"] * 3 + ["part-00001.parquet"]
        assert read_unit(units[0]).height == 7
        with pytest.raises(ShardError, match=reason):
            read_unit(units[3])
        assert sum(path == self.BAD for path, _ in server.requests) == n_tries

    @pytest.mark.parametrize(
        ("fault", "reason"),
        [
            (Fault(status=404), r"\(404\)"),
            (Fault(status=403), r"\(403\)"),
            (Fault(status=503), "503, 3 times"),
            (Fault(reset_after=100), "3 times"),
        ],
    )
    def test_at_reading_that_unit_fails(
        self, server: HttpServer, fault: Fault, reason: str
    ) -> None:
        units = self.units(server)
        server.faults[self.BAD] = fault
        with pytest.raises(ShardError, match=rf"part-00001\.parquet#0: .*{reason}"):
            read_unit(units[3])
        assert read_unit(units[0]).height == 7

    @pytest.mark.parametrize("fault", ["503", "reset", "reset in the footer"])
    def test_what_passes_is_tried_again(self, server: HttpServer, fault: str) -> None:
        whole = read_unit(self.units(server)[3])
        if fault == "reset in the footer":
            parquet._footer_of.cache_clear()
            server.faults[self.BAD] = Fault(reset_after=200, times=2, after=1)
            (unit, *_) = self.units(server)[3:]
        else:
            (unit, *_) = self.units(server)[3:]
            kind = {"status": 503} if fault == "503" else {"reset_after": 50}
            server.faults[self.BAD] = Fault(times=2, **kind)
        assert read_unit(unit).equals(whole)
        assert server.faults[self.BAD].times < 0

    def test_a_silent_server(self, server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(remote, "TIMEOUT_S", 0.1)
        remote.forget_filesystems()
        server.faults[self.BAD] = Fault(slow_s=0.4)
        bad = self.units(server)[3]
        with pytest.raises(ShardError, match=r"Timeout.*, 3 times"):
            read_unit(bad)

    @pytest.mark.parametrize("n_before", [0, 1])
    def test_a_file_written_anew_between_requests(self, server: HttpServer, n_before: int) -> None:
        unit = self.units(server)[3]
        path = server.folder / "part-00001.parquet"
        data = path.read_bytes()

        def write_anew() -> None:
            path.write_bytes(data.replace(b"hospital", b"canteens"))

        server.faults[self.BAD] = Fault(before=write_anew, after=n_before)
        message = fails(unit)
        assert message == (
            "changed while it was read: it was written anew after it was listed; run again"
        )

    def test_all_of_them_is_an_error_at_once(self, server: HttpServer) -> None:
        with pytest.raises(ShardError, match=r"gone\.parquet: is not there \(404\)$"):
            list_shards([f"{server.url}/gone.parquet"])
        with pytest.raises(ShardError, match=r"\(404\) \(and 2 more that cannot be used\)$"):
            list_shards([f"{server.url}/gone-{{0..2}}.parquet"])

    def test_no_server(self, http_server: HttpServer) -> None:  # noqa: F811
        with pytest.raises(ShardError, match=r"a\.parquet: ClientConnector.*, 3 times"):
            list_shards(["http://127.0.0.1:9/a.parquet"])


class TestBucketsThatFail:
    def test_no_credentials(
        self,
        s3_server: S3Server,  # noqa: F811
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        for source in ("a.parquet", "*.parquet", "folder"):
            remote.forget_filesystems()
            with pytest.raises(ShardError, match=r"set AWS_ACCESS_KEY_ID .*FSSPEC_S3_ANON=true"):
                list_shards([f"{s3_server.url}/{source}"])

    def test_no_such_key_bucket_or_match(self, s3_server: S3Server) -> None:  # noqa: F811
        with pytest.raises(ShardError, match=r"a\.parquet: is not there \(404\)"):
            list_shards([f"{s3_server.url}/a.parquet"])
        with pytest.raises(ShardError, match=r"is not there \(404\)"):
            list_shards(["s3://no-such-bucket-here/a.parquet"])
        with pytest.raises(ShardError, match=r"no parquet shard at 's3://.*/\*\.parquet'"):
            list_shards([f"{s3_server.url}/*.parquet"])

    def test_an_object_that_is_replaced_fails_its_unit(
        self,
        s3_server: S3Server,  # noqa: F811
        tmp_path: Path,
    ) -> None:
        data = (write(tmp_path, frame(14), 1) / "part-00000.parquet").read_bytes()
        s3_server.put("a.parquet", data)
        units = units_of(f"{s3_server.url}/a.parquet")
        assert read_unit(units[0]).height == 7
        s3_server.put("a.parquet", data[:-1] + b"2")
        assert fails(units[1]).startswith("changed while it was read: ")


@BOTH
def test_any_byte_of_a_footer_may_be_wrong(tmp_path: Path, reader: str) -> None:
    """Whatever a byte of the footer says: an error of ours, or rows; never a crash."""
    import random

    data = (write(tmp_path, frame(20), 1) / "part-00000.parquet").read_bytes()
    path = tmp_path / "part-00000.parquet"
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    draw = random.Random(7)
    outcomes = {"refused": 0, "read": 0}
    for _ in range(200):
        at = draw.randrange(start, len(data))
        path.write_bytes(data[:at] + bytes([draw.randrange(256)]) + data[at + 1 :])
        try:
            for unit in units_of(path):
                read_unit(unit)
            outcomes["read"] += 1
        except LaionProbeError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 0
