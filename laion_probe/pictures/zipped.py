"""Entries of a zip from strangers, read where they lie: nothing is unpacked to disk.

The directory at the end of the file is believed for names and sizes alone. An entry is read by its
range of the file, and never gives more than it declared.
"""

from __future__ import annotations

import functools
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from laion_probe.errors import ConfigError

__all__ = ["ZipEntry", "safe_name", "zip_entries"]

#: Pictures are compressed already: an entry that shrinks more, and is large, was made to harm.
_MOST_RATIO = 200
_LARGE = 1 << 20
_METHODS = {zipfile.ZIP_STORED: "stored", zipfile.ZIP_DEFLATED: "deflated"}
_HEADER = struct.Struct("<4s22sHH")  # of an entry: mark, what the directory says too, two lengths


@dataclass(frozen=True)
class ZipEntry:
    """A file in a zip; ``size`` is what it unpacks to. ``unreadable`` says why it cannot be."""

    name: str
    size: int
    read: Callable[[], bytes]
    unreadable: str = ""


def safe_name(name: str, where: str | Path) -> str:
    r"""The name of an entry, with slashes. Raises `ConfigError` where it leads out of its folder.

    >>> safe_name("a\\b.png", "x.zip")
    'a/b.png'
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or PureWindowsPath(name).drive or "\0" in name:
        raise ConfigError(
            f"{where}: the name {name!r} leads out of it, which no honest writer makes; nothing of "
            "it was read"
        )
    return path.as_posix()


def zip_entries(path: Path) -> list[ZipEntry]:
    """The files in a zip, by name, without those that macOS adds.

    Raises `ConfigError` naming the entry that leads out of the zip, is a link, is there twice,
    is encrypted, or unpacks to far more than pictures do.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:
        raise ConfigError(f"{path}: not a readable zip ({error}); make it again") from None
    found: dict[str, ZipEntry] = {}
    for info in infos:
        name = safe_name(info.filename, path)
        if stat.S_ISLNK(info.external_attr >> 16):
            raise ConfigError(f"{path}: {name} is a link; zip the files themselves")
        if info.is_dir() or PurePosixPath(name).parts[:1] == ("__MACOSX",):
            continue
        if name in found:
            raise ConfigError(f"{path} holds {name} twice; zip each file once")
        if info.flag_bits & 1:
            raise ConfigError(f"{path}: {name} is encrypted; zip it without a password")
        if info.file_size > _LARGE and info.file_size > _MOST_RATIO * max(info.compress_size, 1):
            raise ConfigError(
                f"{path}: {name} unpacks {info.compress_size:,} bytes to {info.file_size:,}, as a "
                "zip bomb does; nothing of it was read"
            )
        unreadable = ""
        if info.compress_type not in _METHODS:
            unreadable = f"compressed by method {info.compress_type}, which is not read here"
        read = functools.partial(_read, path, info)
        found[name] = ZipEntry(name, info.file_size, read, unreadable)
    return [found[name] for name in sorted(found)]


def _read(path: Path, info: zipfile.ZipInfo) -> bytes:
    """An entry's bytes. Raises OSError, in words, where it is not what it declared."""
    with path.open("rb") as file:
        file.seek(info.header_offset)
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size or not header.startswith(b"PK\x03\x04"):
            raise OSError("the zip is damaged here")
        _, _, n_name, n_extra = _HEADER.unpack(header)
        file.seek(n_name + n_extra, 1)
        packed = file.read(info.compress_size)
    data = packed
    if info.compress_type == zipfile.ZIP_DEFLATED:
        try:
            data = zlib.decompressobj(-15).decompress(packed, info.file_size + 1)
        except zlib.error as error:
            raise OSError(f"the zip is damaged here ({error})") from None
    if len(data) != info.file_size or zlib.crc32(data) != info.CRC:
        raise OSError("the zip is damaged here (not what it declared)")
    return data
