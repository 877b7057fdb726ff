"""Read files that are not on this disk, by ranges: retried, counted, and with errors in words.

Everything goes through fsspec, which is loaded only when first needed. A failure that may pass
(503, reset, timeout) is tried again; what is left becomes a `ReadError` that says why and what to
do. Nothing is cached here: who reads a range twice fetches it twice.
"""

from __future__ import annotations

import io
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, BinaryIO, TypeVar, cast
from urllib.parse import urlsplit, urlunsplit

from laion_probe.errors import LaionProbeError, MissingExtra, ShardError

__all__ = [
    "ReadError",
    "count_fetched",
    "fetched_bytes",
    "filesystem",
    "forget_filesystems",
    "is_local",
    "open_local",
    "open_remote",
    "reason",
    "retried",
    "shown",
    "stat_remote",
    "version_of",
]

T = TypeVar("T")

#: How often a read is tried when the failure may pass, and the wait before the second try, which
#: doubles each time.
TRIES = 3
DELAY_S = 0.5
#: Seconds without a byte after which a server counts as silent.
TIMEOUT_S = 60.0

_MAY_PASS = {408, 425, 429, 500, 502, 503, 504}
_PASSING = re.compile("Timeout|Connection|Disconnected|Payload|Reset|IncompleteRead|Protocol")
_NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError"}
_fetched = 0
_fetched_lock = threading.Lock()


class ReadError(ShardError):
    """A file could not be read; the message is the reason alone, for the caller to name it."""


def fetched_bytes() -> int:
    """How many bytes of files this process has read so far."""
    return _fetched


def count_fetched(n_bytes: int) -> None:
    """Add bytes that were read past `open_file`, by a library that opens paths itself."""
    global _fetched
    with _fetched_lock:
        _fetched += n_bytes


def is_local(url: str) -> bool:
    """Whether a `File.url` is a plain path."""
    return "://" not in url


def shown(url: str) -> str:
    """A URL for messages: without user, password and query, which may hold a signature."""
    if is_local(url):
        return url
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def stat_remote(url: str) -> tuple[int | None, str]:
    """Size and version of a remote file, asked anew. Raises `ReadError`."""

    def ask() -> tuple[int | None, str]:
        protocol = url.partition("://")[0]
        fs = filesystem(protocol)
        if protocol in ("http", "https"):
            _, size, version = _http_get(fs, url, 0, 1)
            return size, version
        info = fs.info(url, **({"refresh": True} if protocol in ("hf", "s3", "s3a") else {}))
        if info.get("type") == "directory":
            raise ReadError("it is a folder, not a file")
        return info.get("size"), version_of(info)

    return retried(ask, url)


def version_of(info: dict[str, Any]) -> str:
    """What changes when a file is written anew, of what fsspec says about it."""
    for key in ("ETag", "etag", "blob_id", "LastModified", "updated", "mtime", "created"):
        if info.get(key):
            return str(info[key]).strip('"')
    return f"size {info.get('size')}"


def open_local(path: str) -> BinaryIO:
    """A file of this disk, its reads counted. Raises `ReadError`."""
    try:
        return cast(BinaryIO, _CountedFile(path))
    except OSError as error:
        raise ReadError(reason(error, path)) from error


def open_remote(url: str, size: int) -> BinaryIO:
    """A remote file, seekable: each read fetches its range and no more, and is not kept."""
    return cast(BinaryIO, _RangeFile(url, size))


class _CountedFile(io.FileIO):
    """A local file whose reads are counted."""

    def readinto(self, buffer: Any) -> int | None:
        n = super().readinto(buffer)
        count_fetched(n or 0)
        return n

    def readall(self) -> bytes:
        data = super().readall()
        count_fetched(len(data))
        return data

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0:
            return self.readall()
        data = super().read(size)
        count_fetched(len(data))
        return data


class _RangeFile(io.RawIOBase):
    """A remote file: each read is one range, tried again when the failure may pass."""

    def __init__(self, url: str, size: int) -> None:
        self._url, self._size, self._at = url, size, 0
        self._protocol = url.partition("://")[0]
        self._fs = filesystem(self._protocol)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = max(0, offset + (0, self._at, self._size)[whence])
        return self._at

    def readall(self) -> bytes:
        return self.read(max(0, self._size - self._at)) or b""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0:
            return self.readall()
        start, end = self._at, min(self._at + size, self._size)
        if start >= end:
            return b""
        data = retried(lambda: self._fetch(start, end), self._url)
        self._at = end
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _fetch(self, start: int, end: int) -> bytes:
        url = self._url
        if self._protocol in ("http", "https"):
            data, _, _ = _http_get(self._fs, url, start, end)
        elif self._fs.async_impl:
            data = self._fs.cat_file(url, start=start, end=end)
        else:
            with self._fs.open(url, "rb", cache_type="none") as handle:
                handle.seek(start)
                data = handle.read(end - start)
        count_fetched(len(data))
        if len(data) != end - start:
            raise ConnectionError(f"{len(data)} of {end - start} bytes came")
        return data


def _http_get(fs: Any, url: str, start: int, end: int) -> tuple[bytes, int, str]:
    """Bytes, full size and version by one ranged GET, which signed URLs allow and HEAD is not."""
    from fsspec.asyn import sync  # type: ignore[import-untyped]

    async def get() -> tuple[bytes, int, str]:
        session = await fs.set_session()
        headers = {"Range": f"bytes={start}-{end - 1}", "Accept-Encoding": "identity"}
        async with session.get(fs.encode_url(url), headers=headers) as answer:
            version = answer.headers.get("ETag") or answer.headers.get("Last-Modified", "")
            size = answer.headers.get("Content-Range", "").rpartition("/")[2]
            if answer.status == 416 and size == "0":
                return b"", 0, version.strip('"')
            answer.raise_for_status()
            if answer.status != 206 or not size.isdigit():
                answer.close()  # else the whole file would come
                raise ReadError(
                    "the server does not answer range requests; fetch the file and give that"
                )
            return await answer.read(), int(size), version.strip('"') or f"size {size}"

    result: tuple[bytes, int, str] = sync(fs.loop, get)
    return result


def filesystem(protocol: str) -> Any:
    """The fsspec file system of this process. Raises `MissingExtra`, or `ReadError`."""
    return _filesystem_of(protocol, os.getpid())


def forget_filesystems() -> None:
    """Make file systems anew when next needed, with the environment as it is then."""
    _filesystem_of.cache_clear()


@lru_cache(maxsize=32)
def _filesystem_of(protocol: str, pid: int) -> Any:  # its event loop does not survive a fork
    import fsspec  # type: ignore[import-untyped]

    extra = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}.get(protocol)
    options: dict[str, Any] = {"skip_instance_cache": True}
    if extra:
        options["use_listings_cache"] = False
    if extra == "s3" and os.environ.get("FSSPEC_S3_ANON", "").lower() in ("1", "true", "yes"):
        options["anon"] = True
    if protocol in ("http", "https"):
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT_S, sock_read=TIMEOUT_S)
        options["client_kwargs"] = {"timeout": timeout, "trust_env": True}
    try:
        return fsspec.get_filesystem_class(protocol)(**options)
    except ImportError as error:
        if extra:
            raise MissingExtra(
                f"{protocol}:// needs another package: pip install 'laion-probe[{extra}]'"
            ) from error
        raise ReadError(f"{protocol}:// needs another package ({error})") from error
    except ValueError as error:
        raise ReadError(f"{protocol}:// is not a protocol that is known here") from error


# -- what went wrong, and whether it may pass


def retried(work: Callable[[], T], url: str) -> T:
    """``work()``, tried again while its failure may pass; else `ReadError`."""
    for attempt in range(1, TRIES + 1):
        try:
            return work()
        except LaionProbeError:
            raise
        except Exception as error:
            if attempt == TRIES or not _may_pass(error):
                tried = f", {attempt} times" if attempt > 1 else ""
                raise ReadError(reason(error, url) + tried) from error
        time.sleep(DELAY_S * 2 ** (attempt - 1))
    raise AssertionError("unreachable")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(8):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def _status(error: BaseException) -> int | None:
    """The HTTP status behind an exception of aiohttp, botocore, gcsfs or huggingface_hub."""
    for e in _chain(error):
        if type(e).__module__ == "aiohttp.http_exceptions":
            continue  # a broken answer, to which aiohttp gives the code 400
        response = getattr(e, "response", None)
        if isinstance(response, dict):
            response = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        code = getattr(response, "status_code", response) or getattr(e, "status", None)
        code = code or getattr(e, "code", None)  # aiohttp warns of its own `code`
        if isinstance(code, int) and 400 <= code < 600:
            return code
    if isinstance(error, FileNotFoundError):
        return 404
    return 403 if isinstance(error, PermissionError) else None


def _may_pass(error: BaseException) -> bool:
    status = _status(error)
    if status is not None:
        return status in _MAY_PASS
    passing = re.compile("Timeout|Connection|Disconnected|Payload|Reset|IncompleteRead|Protocol")
    return any(
        isinstance(e, (TimeoutError, ConnectionError)) or passing.search(type(e).__name__)
        for e in _chain(error)
    )


def reason(error: BaseException, url: str) -> str:
    """What went wrong and what to do, in words, without secrets of the URL."""
    protocol = "" if is_local(url) else url.partition("://")[0]
    if any(type(e).__name__ in _NO_CREDENTIALS for e in _chain(error)):
        return _no_credentials(protocol)
    status = _status(error)
    by_status = {401: "permission is refused", 403: "permission is refused", 404: "is not there"}
    what = by_status.get(status or 0, f"the server answers with {status}")
    if not protocol and status:
        return {404: "there is no such file", 403: "permission is refused"}.get(status, what)
    if status in (401, 403):
        return f"{what} ({status}): {_no_credentials(protocol, refused=True)}"
    if status:
        return f"{what} ({status})" if status == 404 else what
    text = (str(error).splitlines() or [""])[0].replace(url, shown(url))
    return f"{type(error).__name__}{': ' if text else ''}{text}"


def _no_credentials(protocol: str, *, refused: bool = False) -> str:
    none = "" if refused else "no credentials: "
    if protocol == "hf":
        return f"{none}accept the data set's terms on its page and set HF_TOKEN"
    if protocol in ("s3", "s3a"):
        return (
            f"{none}set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE), "
            "or FSSPEC_S3_ANON=true for a public bucket"
        )
    if protocol in ("gs", "gcs"):
        return f"{none}run gcloud auth application-default login, or FSSPEC_GS_TOKEN=anon"
    return f"{none}check the address and who may read it"
