"""Where shards lie: folders, globs, lists, HTTP, S3, a hub; and how little of them is fetched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from servers import Fault, HttpServer, S3Server, _moto, http_server, hub, s3_server  # noqa: F401
from shardmaker import frame, write

from laion_probe import remote, sources
from laion_probe.errors import MissingExtra, ShardError
from laion_probe.shards import list_shards, list_units, read_unit
from laion_probe.sources import current_version, fetched_bytes, list_files, open_file


def names_of(*given: Path | str) -> list[str]:
    return [f.name for f in list_files([str(g) for g in given])]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "set", frame(40))


PARTS = ["part-00000.parquet", "part-00001.parquet"]


class TestLocal:
    def test_folders_globs_braces_and_urls_of_files(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (folder / "notes.md").write_text("not a shard")
        (folder / "._part-00000.parquet").write_text("left by a Mac")
        monkeypatch.chdir(folder)
        assert names_of(folder) == PARTS
        assert names_of(folder / "*.parquet") == PARTS
        assert names_of(folder / "part-{00000..00001}.parquet") == PARTS
        assert names_of(f"file://{folder}/part-00000.parquet") == PARTS[:1]
        assert names_of(folder / "part-{00000..00001}*") == PARTS
        assert names_of("part-00001.parquet", f"./{PARTS[1]}", folder / PARTS[1]) == PARTS[1:]
        (folder.parent / "link.parquet").symlink_to(folder / PARTS[0])
        assert len(names_of(folder, folder.parent / "link.parquet")) == 2

    def test_a_name_with_braces_is_a_name(self, folder: Path) -> None:
        (folder / PARTS[0]).rename(folder / "a{0..1}.parquet")
        assert names_of(folder / "a{0..1}.parquet") == ["a{0..1}.parquet"]

    def test_a_gap_in_a_brace_range_is_a_file_with_an_error(self, folder: Path) -> None:
        files = list_files([str(folder / "part-{00000..00002}.parquet")])
        assert [f.error for f in files] == ["", "", "there is no such file"]
        with pytest.raises(ShardError, match="no parquet shard at"):
            list_files([str(folder / "gone-{0..2}.parquet")])

    def test_a_list_of_sources(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (folder.parent / "list.txt").write_text(
            f"# two ways to the same\n\n{folder}/part-00000.parquet\n set/*.parquet \n"
        )
        assert names_of(folder.parent / "list.txt") == PARTS
        monkeypatch.chdir(folder)
        (folder.parent / "here.txt").write_text("part-00001.parquet\n")
        assert names_of("../here.txt") == PARTS[1:]
        (folder.parent / "again.txt").write_text("list.txt")
        with pytest.raises(ShardError, match=r"list\.txt: a list of sources inside a list"):
            list_files([str(folder.parent / "again.txt")])
        (folder.parent / "none.txt").write_text("# nothing\n")
        with pytest.raises(ShardError, match=r"no parquet shard at .*none\.txt"):
            list_files([str(folder.parent / "none.txt")])

    def test_names_take_as_many_folders_as_tell_them_apart(self, tmp_path: Path) -> None:
        for place in ("a/x", "b/x", "c"):
            write(tmp_path / place, frame(4), 1)
        assert names_of(tmp_path / "**/*.parquet") == [
            "a/x/part-00000.parquet",
            "b/x/part-00000.parquet",
            "c/part-00000.parquet",
        ]

    def test_a_version_changes_with_the_file_and_reads_are_counted(self, folder: Path) -> None:
        file = list_files([str(folder)])[0]
        assert current_version(file) == file.version
        before = fetched_bytes()
        with open_file(file) as handle:
            handle.seek(-4, os.SEEK_END)
            assert handle.read() == b"PAR1"
        assert fetched_bytes() - before == 4
        os.utime(file.url, ns=(1, 1))
        assert current_version(file) != file.version
        os.remove(file.url)
        with pytest.raises(ShardError, match="there is no such file"):
            current_version(file)


def wide(path: Path) -> pl.DataFrame:
    """A file of eight columns that do not compress, in three row groups."""
    rng = np.random.default_rng(1)
    n = 30_000
    table = pl.DataFrame(
        {
            "URL": [f"http://x.example/{i}.jpg" for i in rng.integers(0, 10**12, n)],
            "TEXT": [f"a picture of {i} and {j}" for i, j in rng.integers(0, 10**9, (n, 2))],
            **{
                name: rng.random(n)
                for name in ("similarity", "punsafe", "pwatermark", "x", "y", "z")
            },
        }
    )
    table.write_parquet(path, row_group_size=10_000, use_pyarrow=True)
    return table


class TestHttp:
    def test_the_same_rows_and_ids_from_disk_http_and_s3(
        self,
        http_server: HttpServer,  # noqa: F811
        s3_server: S3Server,  # noqa: F811
    ) -> None:
        folder = write(http_server.folder, frame(40))
        for path in folder.iterdir():
            s3_server.put(f"set/{path.name}", path.read_bytes())
        near = list_units(list_shards([str(folder)]))
        assert len(near) == 6
        for place in (
            f"{http_server.url}/part-{{00000..00001}}.parquet",
            f"{http_server.url}/*.parquet",
            f"{http_server.url}/",
            f"{s3_server.url}/set/*.parquet",
            f"{s3_server.url}/set",
            f"{s3_server.url}/set/part-{{00000..00001}}.parquet",
        ):
            far = list_units(list_shards([place]))
            assert [(u.id, u.label) for u in far] == [(u.id, u.label) for u in near], place
            for one, other in zip(near, far, strict=True):
                assert_frame_equal(read_unit(other), read_unit(one))

    def test_little_more_than_the_needed_columns_is_fetched(
        self,
        http_server: HttpServer,  # noqa: F811
    ) -> None:
        path = http_server.folder / "wide.parquet"
        table = wide(path)
        size = path.stat().st_size
        units = list_units(list_shards([f"{http_server.url}/wide.parquet"]))
        assert http_server.n_bytes <= 1 + (1 << 16)  # size and version, then the footer
        http_server.reset()
        before = fetched_bytes()
        rows = read_unit(units[1], ["text", "punsafe"])
        needed = units[1].bytes_of(["text", "punsafe"])
        assert needed < size / 5
        assert fetched_bytes() - before == needed
        assert needed <= http_server.n_bytes <= needed + 100
        assert len(http_server.requests) == 3  # two columns apart, then the version
        assert rows["text"].to_list() == table["TEXT"][10_000:20_000].to_list()
        http_server.reset()
        for unit in units:
            read_unit(unit, ["text"])
        assert http_server.n_bytes < 0.35 * size

    def test_values_are_fetched_only_where_names_do_not_settle(
        self,
        http_server: HttpServer,  # noqa: F811
    ) -> None:
        wide(http_server.folder / "named.parquet")
        list_shards([f"{http_server.url}/named.parquet"])
        assert len(http_server.requests) == 2
        table = pl.read_parquet(http_server.folder / "named.parquet")
        table = table.rename({"TEXT": "words", "URL": "where"})
        table.write_parquet(http_server.folder / "odd.parquet", use_pyarrow=True)
        http_server.reset()
        (shard,) = list_shards([f"{http_server.url}/odd.parquet"])
        assert dict(shard.columns.source)["text"] == "words"
        assert dict(shard.columns.source)["url"] == "where"
        assert len(http_server.requests) > 2

    def test_a_signed_url_keeps_its_secret(self, http_server: HttpServer) -> None:  # noqa: F811
        write(http_server.folder, frame(4), 1)
        signed = f"{http_server.url}/part-00000.parquet?Signature=secret"
        (unit,) = list_units(list_shards([signed]))
        assert unit.label == "part-00000.parquet#0"
        assert read_unit(unit).height == 4
        http_server.faults["/part-00000.parquet"] = Fault(status=403)
        for ask in (lambda: read_unit(unit), lambda: list_shards([signed])):
            with pytest.raises(ShardError) as caught:
                ask()
            assert "(403)" in str(caught.value)
            assert "secret" not in str(caught.value)
        with_user = signed.replace("//", "//user:secret@")
        assert "secret" not in remote.shown(with_user)

    def test_a_redirect_is_followed(self, http_server: HttpServer) -> None:  # noqa: F811
        write(http_server.folder, frame(4), 1)
        http_server.faults["/latest.parquet"] = Fault(status=302, location="/part-00000.parquet")
        (unit,) = list_units(list_shards([f"{http_server.url}/latest.parquet"]))
        assert read_unit(unit).height == 4

    def test_a_list_on_a_server(self, http_server: HttpServer) -> None:  # noqa: F811
        write(http_server.folder, frame(4), 1)
        text = f"{http_server.url}/part-00000.parquet\n"
        (http_server.folder / "all.txt").write_text(text)
        assert names_of(f"{http_server.url}/all.txt") == ["part-00000.parquet"]


class TestS3:
    def test_a_version_is_the_etag_and_is_asked_anew(
        self,
        s3_server: S3Server,  # noqa: F811
    ) -> None:
        s3_server.put("a.parquet", b"one")
        (file,) = list_files([f"{s3_server.url}/*.parquet"])
        assert (file.url, file.size) == (f"{s3_server.url}/a.parquet", 3)
        assert current_version(file) == file.version
        s3_server.put("a.parquet", b"two")
        assert current_version(file) != file.version

    def test_ranges_are_what_is_counted(
        self,
        s3_server: S3Server,  # noqa: F811
        tmp_path: Path,
    ) -> None:
        wide(tmp_path / "wide.parquet")
        s3_server.put("wide.parquet", (tmp_path / "wide.parquet").read_bytes())
        units = list_units(list_shards([f"{s3_server.url}/wide.parquet"]))
        before = fetched_bytes()
        read_unit(units[2], ["text", "pwatermark"])
        needed = units[2].bytes_of(["text", "pwatermark"])
        assert fetched_bytes() - before == needed < units[2].n_bytes / 2

    def test_public_buckets_need_no_credentials(
        self,
        s3_server: S3Server,  # noqa: F811
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        s3_server.put("a.parquet", b"one", acl="public-read")
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        monkeypatch.setenv("FSSPEC_S3_ANON", "true")
        remote.forget_filesystems()
        (file,) = list_files([f"{s3_server.url}/a.parquet"])
        assert (file.size, file.error) == (3, "")
        with open_file(file) as handle:
            assert handle.read() == b"one"

    @pytest.mark.parametrize(("protocol", "extra"), [("s3", "s3"), ("gs", "gcs")])
    def test_without_the_extra_it_is_named(
        self, monkeypatch: pytest.MonkeyPatch, protocol: str, extra: str
    ) -> None:
        for module in ("s3fs", "gcsfs"):
            monkeypatch.setitem(sys.modules, module, None)
        known = sys.modules["fsspec.registry"]._registry
        monkeypatch.delitem(known, protocol, raising=False)
        remote.forget_filesystems()
        with pytest.raises(MissingExtra, match=rf"pip install 'laion-probe\[{extra}\]'"):
            list_shards([f"{protocol}://bucket/a.parquet"])


class TestHub:
    """In a process of its own: huggingface_hub knows its endpoint from when it is imported."""

    def ask(self, endpoint: str, source: str, **environment: str) -> dict[str, object]:
        code = (
            "import json, sys\n"
            "from laion_probe import remote\n"
            "from laion_probe.errors import LaionProbeError\n"
            "from laion_probe.shards import *\n"
            "remote.DELAY_S = 0.01\n"
            "try:\n"
            f"    units = list_units(list_shards(['{source}']))\n"
            "    rows = [read_unit(u)['text'].to_list() for u in units]\n"
            "    said = {'ids': [u.id for u in units], 'rows': rows}\n"
            "except LaionProbeError as error:\n"
            "    said = {'error': str(error)}\n"
            "said['fetched'] = remote.fetched_bytes()\n"
            "print(json.dumps(said))"
        )
        clean = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
        clean |= {"HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_TELEMETRY": "1", **environment}
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=clean
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    @pytest.mark.parametrize("what", ["*.parquet", "part-{00000..00001}.parquet"])
    def test_the_same_rows_and_ids_as_from_disk(
        self, folder: Path, tmp_path: Path, what: str
    ) -> None:
        near = list_units(list_shards([str(folder)]))
        with hub(folder) as endpoint:
            said = self.ask(endpoint, f"hf://datasets/ns/set/{what}", HF_HOME=str(tmp_path / "hf"))
        assert said.get("error") is None
        assert said["ids"] == [u.id for u in near]
        assert said["rows"] == [read_unit(u)["text"].to_list() for u in near]

    def test_a_gated_set_says_what_to_do(self, folder: Path, tmp_path: Path) -> None:
        with hub(folder, gated=True) as endpoint:
            for what in ("*.parquet", "part-00000.parquet"):
                said = self.ask(endpoint, f"hf://datasets/ns/set/{what}", HF_HOME=str(tmp_path))
                assert "accept the data set's terms on its page and set HF_TOKEN" in said["error"]
            said = self.ask(endpoint, "hf://datasets/ns/set", HF_HOME=str(tmp_path), HF_TOKEN="t")
        assert said.get("error") is None
        assert len(said["ids"]) == 6


def test_an_unknown_protocol_says_so() -> None:
    with pytest.raises(ShardError, match="nowhere:// is not a protocol that is known here"):
        list_shards(["nowhere://a/b.parquet"])


def test_reading_local_shards_loads_no_network_library(folder: Path) -> None:
    code = (
        "import sys; from laion_probe.shards import *\n"
        f"[read_unit(u) for u in list_units(list_shards(['{folder}']))]\n"
        "print([m for m in ('aiohttp', 's3fs', 'gcsfs', 'huggingface_hub', 'fsspec.asyn', 'torch')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert done.stderr == ""


def test_many_files_are_listed_in_the_order_of_their_urls(
    http_server: HttpServer,  # noqa: F811
) -> None:
    for i in range(40):
        write(http_server.folder / str(i), frame(3, punsafe=[0.1 * i] * 3), 1)
        http_server.faults[f"/{i}/part-00000.parquet"] = Fault(slow_s=0.002 * (40 - i))
    braces = f"{http_server.url}/{{0..39}}/part-00000.parquet"
    shards = list_shards([braces])
    assert [s.file.url for s in shards] == sorted(s.file.url for s in shards)
    assert len({s.name for s in shards}) == 40
    assert sources.THREADS < 40
