"""Generated pictures as others keep them: folders, zips, metadata, tars; and hostile ones."""

from __future__ import annotations

import hashlib
import io
import json
import os
import resource
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from laion_probe.embed import decode
from laion_probe.errors import ConfigError, ShardError
from laion_probe.pictures import list_generated
from laion_probe.pictures.files import image_folder_metadata

ROWS = [
    {"file_name": "a/0.png", "prompt": "a doctor", "batch": 3, "generator": "m", "seed": 7},
    {"file_name": "a/1.jpg", "prompt": "", "batch": 4, "generator": "m", "blocked": True},
    {"file_name": "b.webp", "prompt": "une infirmière\u2028seule", "language": "fr", "group": "x"},
]
COLOURS = ("red", "green", "blue")


def encoded(name: str, colour: str, size: int = 8) -> bytes:
    buffer = io.BytesIO()
    kind = {".png": "PNG", ".jpg": "JPEG", ".webp": "WEBP"}[Path(name).suffix]
    Image.new("RGB", (size, size), colour).save(buffer, kind)
    return buffer.getvalue()


def files() -> dict[str, bytes]:
    """Three pictures of three formats and sizes."""
    named = zip(ROWS, COLOURS, (8, 12, 16), strict=True)
    return {str(r["file_name"]): encoded(str(r["file_name"]), c, n) for r, c, n in named}


def metadata(kind: str) -> bytes:
    frame = pl.DataFrame([{"prompt": None, **row} for row in ROWS], infer_schema_length=None)
    if kind == ".jsonl":
        return "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS).encode()
    out = io.BytesIO()
    (frame.write_csv if kind == ".csv" else frame.write_parquet)(out)
    return out.getvalue()


def in_folder(root: Path, kind: str = ".jsonl") -> Path:
    for name, data in {**files(), f"metadata{kind}": metadata(kind)}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def in_zip(root: Path, kind: str = ".jsonl") -> Path:
    root.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(root / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("a")
        for name, data in {**files(), f"metadata{kind}": metadata(kind)}.items():
            archive.writestr(name, data)
        archive.writestr("__MACOSX/._b.png", b"not a picture")
    return root / "x.zip"


def in_inner_folder(root: Path) -> Path:
    in_folder(root / "train")
    return root


def by_metadata(root: Path) -> Path:
    path = in_folder(root) / "mine.jsonl"
    (root / "metadata.jsonl").rename(path)
    (root / "unnamed.png").write_bytes(encoded("x.png", "black"))
    return path


def in_tar(root: Path) -> Path:
    """Members as WebDataset has them."""
    root.mkdir(parents=True, exist_ok=True)
    with tarfile.open(root / "00000.tar", "w") as tar:
        for (name, data), row in zip(files().items(), ROWS, strict=True):
            said = json.dumps({k: v for k, v in row.items() if k != "prompt"}).encode()
            text = str(row["prompt"]).encode()
            stem = name.rpartition(".")[0]
            for member, content in ((name, data), (stem + ".txt", text), (stem + ".json", said)):
                info = tarfile.TarInfo(member)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return root


def in_tar_with_table(root: Path) -> Path:
    in_tar(root)
    rows = [{"key": str(r["file_name"]).rpartition(".")[0], **r} for r in ROWS]
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(root / "00000.parquet")
    return root


LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "folder": in_folder,
    "csv": lambda root: in_folder(root, ".csv"),
    "parquet": lambda root: in_folder(root, ".parquet"),
    "inner folder": in_inner_folder,
    "metadata": by_metadata,
    "zip": in_zip,
    "zip with a table": lambda root: in_zip(root, ".parquet"),
    "tar": in_tar,
    "one tar": lambda root: in_tar(root) / "00000.tar",
    "tar with a table": in_tar_with_table,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same(layout: str, tmp_path: Path) -> None:
    found = list_generated(str(LAYOUTS[layout](tmp_path / "x")))
    rows = found.rows
    assert rows["prompt"].to_list() == [r["prompt"] for r in ROWS]
    assert rows["batch"].to_list() == ["3", "4", None]
    assert rows["generator"].to_list() == ["m", "m", ""]
    assert rows["seed"].to_list() == ["7", None, None]
    assert rows["blocked"].to_list() == [None, True, None]
    assert rows["language"].to_list() == [None, None, "fr"]
    assert rows["group"].to_list() == [None, None, "x"]
    read = [f for part in found.parts for f in part.files]
    assert [f.id for f in read] == rows["file_name"].to_list()
    assert [f.read() for f in read] == list(files().values())
    assert [decode(f.read()).size[0] for f in read] == [8, 12, 16]
    assert found.unreadable == ()


def test_what_is_hashed_of_a_plain_folder_stays(tmp_path: Path) -> None:
    """As before there were other layouts: embeddings in caches are found again."""
    root = in_folder(tmp_path)
    digest = hashlib.sha256()
    for name, data in sorted(files().items()):
        digest.update(f"{name}\0{hashlib.sha256(data).hexdigest()}\0".encode())
    (part,) = list_generated(str(root)).parts
    assert (part.name, part.sha256) == ("a/0.png", digest.hexdigest())


def test_a_prompt_may_be_called_caption_or_text(tmp_path: Path) -> None:
    in_folder(tmp_path)
    names = list(files())
    told = [{"text": "t"}, {"caption": "c", "text": "t"}, {"prompt": "", "text": "t"}]
    lines = (json.dumps({"file_name": n} | t) for n, t in zip(names, told, strict=True))
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))
    assert list_generated(str(tmp_path)).rows["prompt"].to_list() == ["t", "c", ""]


@pytest.mark.parametrize("name", ["../evil.png", "/etc/x.png", "a/../../x.png", "..\\x.png", "C:x"])
def test_names_that_lead_out_are_refused_by_name(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ok.png", encoded("ok.png", "red"))
        archive.writestr(zipfile.ZipInfo(name), b"x")
    with pytest.raises(ConfigError, match="leads out of it") as error:
        list_generated(str(path))
    assert repr(name) in str(error.value)
    tar = tmp_path / "x.tar"
    with tarfile.open(tar, "w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    with pytest.raises(ConfigError, match="leads out of it"):
        list_generated(str(tar))
    listed = tmp_path / "names.jsonl"
    listed.write_text(json.dumps({"file_name": name}))
    with pytest.raises(ConfigError, match="leads out of it"):
        list_generated(str(listed))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["names.jsonl", "x.tar", "x.zip"]


def _bomb(path: Path) -> str:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", b"\0" * (8 << 20))
    return r"bomb\.png unpacks 8,\d+ bytes to 8,388,608"


def _encrypted(path: Path) -> str:
    in_zip(path.parent)
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 1)  # the second: a/0.png
    data[at + 8] |= 1
    path.write_bytes(data)
    return r"a/0\.png is encrypted"


def _link(path: Path) -> str:
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("link.png")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    return r"link\.png is a link"


def _twice(path: Path) -> str:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("a.png", b"x")
        archive.writestr("a.png", b"y")
    return r"holds a\.png twice"


def _no_zip(path: Path) -> str:
    path.write_bytes(b"PK\x03\x04 cut off")
    return "not a readable zip"


def _no_picture(path: Path) -> str:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", b"x")
    return "holds no pictures"


@pytest.mark.parametrize("make", [_bomb, _encrypted, _link, _twice, _no_zip, _no_picture])
def test_zips_that_are_refused(make: Callable[[Path], str], tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    reason = make(path)
    with pytest.raises(ConfigError, match=reason):
        list_generated(str(path))


def _spoiled(tmp_path: Path, spoil: Callable[[bytearray, int, int], None]) -> Path:
    """A zip of a stored picture and a deflated one, of which one is changed at its header."""
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", encoded("a.png", "red", 64), zipfile.ZIP_DEFLATED)
        archive.writestr("b.png", encoded("b.png", "blue"), zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    spoil(data, data.index(b"PK\x03\x04"), data.index(b"PK\x01\x02"))
    path.write_bytes(data)
    return path


def _other_bytes(data: bytearray, local: int, directory: int) -> None:
    data[local + 40] ^= 255


def _other_size(data: bytearray, local: int, directory: int) -> None:
    struct.pack_into("<I", data, directory + 24, 10)  # it says that it unpacks to ten bytes


def _no_header(data: bytearray, local: int, directory: int) -> None:
    data[local] = 0


@pytest.mark.parametrize("spoil", [_other_bytes, _other_size, _no_header])
def test_a_damaged_entry_is_unreadable_and_the_others_are_read(
    spoil: Callable[[bytearray, int, int], None], tmp_path: Path
) -> None:
    found = list_generated(str(_spoiled(tmp_path, spoil)))
    first, second = found.parts[0].files
    with pytest.raises(OSError, match="the zip is damaged here"):
        first.read()
    assert decode(second.read()).size == (8, 8)


def test_an_unknown_compression_is_listed_as_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.png", encoded("a.png", "red"))
        archive.writestr("b.png", encoded("b.png", "red"), zipfile.ZIP_STORED)
    found = list_generated(str(path))
    assert found.unreadable == (("a.png", "compressed by method 14, which is not read here"),)
    with pytest.raises(OSError, match="method 14"):
        found.parts[0].files[0].read()


def test_a_file_of_two_gigabytes_is_listed_and_never_read(tmp_path: Path) -> None:
    in_folder(tmp_path)
    with (tmp_path / "huge.png").open("wb") as file:  # sparse: it takes no disk
        os.truncate(file.fileno(), 2 << 30)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = list_generated(str(tmp_path))
    assert found.unreadable == (("huge.png", "2,147 MB, over the limit of 200 MB"),)
    files = {f.id: f for f in found.parts[0].files}
    assert len(files) == found.rows.height == 4
    with pytest.raises(OSError, match="over the limit"):
        files["huge.png"].read()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB
    first = found.parts[0].sha256
    os.truncate(tmp_path / "huge.png", 1 << 30)
    assert list_generated(str(tmp_path)).parts[0].sha256 != first
    os.truncate(tmp_path / "metadata.jsonl", 2 << 30)
    with pytest.raises(ConfigError, match=r"metadata\.jsonl has 2,147 MB"):
        list_generated(str(tmp_path))


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        list_generated(str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="holds no pictures"):
        list_generated(str(tmp_path))
    in_zip(tmp_path)
    with pytest.raises(ConfigError, match=r"it holds x\.zip: give that"):
        list_generated(str(tmp_path))
    (tmp_path / "x.rar").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"neither a folder .* nor a file of metadata"):
        list_generated(str(tmp_path / "x.rar"))
    in_tar(tmp_path / "both")
    in_folder(tmp_path / "both")
    with pytest.raises(ConfigError, match=r"tars and loose pictures \(0\.png\)"):
        list_generated(str(tmp_path / "both"))
    in_tar(tmp_path / "bad")
    (tmp_path / "bad" / "00000.parquet").write_bytes(b"no parquet")
    with pytest.raises(ShardError, match="not a table with a key a picture"):
        list_generated(str(tmp_path / "bad"))
    (tmp_path / "alone.jsonl").write_text('{"file_name": "nowhere.png"}')
    with pytest.raises(ConfigError, match="names no picture that lies beside it"):
        list_generated(str(tmp_path / "alone.jsonl"))
    with tarfile.open(tmp_path / "empty.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("a.txt"))
    with pytest.raises(ConfigError, match=r"no picture in empty\.tar"):
        list_generated(str(tmp_path / "empty.tar"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metadata.jsonl", '{"prompt": "x"}'),
        ("metadata.jsonl", "[1]"),
        ("metadata.jsonl", "{"),
        ("metadata.csv", "prompt\nx\n"),
        ("metadata.parquet", "no parquet"),
    ],
)
def test_metadata_that_cannot_be_used(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded("a.png", "red"))
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=f"{name} is not ImageFolder metadata.*file_name"):
        list_generated(str(tmp_path))


def test_a_picture_that_metadata_name_and_nobody_has(tmp_path: Path) -> None:
    path = by_metadata(tmp_path)
    (tmp_path / "b.webp").unlink()
    (tmp_path / "notes.txt").write_text("x")
    path.write_text(path.read_text() + '\n{"file_name": "notes.txt"}')
    found = list_generated(str(path))
    assert [name for name, _ in found.unreadable] == ["b.webp", "notes.txt"]
    assert [why[:9] for _, why in found.unreadable] == ["not there", "not one o"]
    assert found.rows.height == 4


def test_metadata_are_read_alike_wherever_they_are_asked_for(tmp_path: Path) -> None:
    rows = [{"file_name": "a.png", "text": "one\u2028line", "face_bboxes": [[0.1, 0.1, 0.5, 0.5]]}]
    kinds = {
        ".jsonl": lambda to: to.write_text(json.dumps(rows[0], ensure_ascii=False), "utf-8-sig"),
        ".csv": lambda to: to.write_text("file_name,text\na.png,one\u2028line\n", "utf-8-sig"),
        ".parquet": lambda to: pl.DataFrame(rows).write_parquet(to),
    }
    for suffix, write in kinds.items():
        folder = tmp_path / suffix[1:]
        folder.mkdir()
        (folder / "a.png").write_bytes(encoded("a.png", "red"))
        write(folder / f"metadata{suffix}")
        found = image_folder_metadata(folder)
        assert found["a.png"]["text"] == "one\u2028line"
        assert list_generated(str(folder)).rows["prompt"].to_list() == ["one\u2028line"]
        if suffix != ".csv":
            assert found["a.png"]["face_bboxes"] == [[0.1, 0.1, 0.5, 0.5]]
    assert image_folder_metadata(tmp_path) == {}
    (tmp_path / "csv" / "metadata.csv").write_text("text\nx\n")
    with pytest.raises(ConfigError, match="not ImageFolder metadata with a file_name"):
        image_folder_metadata(tmp_path / "csv")
