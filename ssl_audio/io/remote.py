"""Files at URLs (s3://, gs://, ...), through fsspec, which local paths do not import."""

from __future__ import annotations

import errno
import hashlib
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ssl_audio.io.errors import SslAudioError, first_line
from ssl_audio.io.files import AnyPath

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_TIMES = ("LastModified", "last_modified", "mtime", "updated", "created")  # keys of fsspec


class Url(str):
    """The URL of a file or a folder, without a slash at its end."""

    def __new__(cls, text: str) -> Url:
        return super().__new__(cls, text.rstrip("/"))

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.rpartition("/")[2]

    def below(self, relative: str) -> Url:
        """The URL of a file in this folder."""
        return Url(f"{self}/{relative}")

    def beside(self, name: str) -> Url:
        """The URL of another file in the folder of this one."""
        return Url(f"{self.rpartition('/')[0]}/{name}")


class RemoteFile(NamedTuple):
    """A file as its folder lists it."""

    url: Url
    relative: str  # its path below the folder; "" if the URL names this file itself
    size: int  # bytes
    mtime_ns: int  # of the last change: the second; its fraction is a hash of the ETag


def is_url(text: str) -> bool:
    """True for SCHEME://..."""
    return _URL.match(text) is not None


def location(text: str) -> Path | Url:
    """A URL, or the local path that a URL of the scheme file names.

    Raises:
        ValueError: neither.
    """
    if not is_url(text) or "\0" in text:
        raise ValueError
    parts = urlsplit(text)
    if parts.scheme.lower() != "file":
        return Url(text)
    if parts.netloc not in ("", "localhost") or not parts.path:
        raise ValueError
    return Path(url2pathname(parts.path))


def remote_files(url: Url) -> list[RemoteFile]:
    """All files below a URL, or the file that it names, in the order of their paths; [] without.

    Raises:
        OSError: it cannot be listed.
    """
    with _system(url) as (system, root):
        try:
            found = system.find(root, detail=True)
        except FileNotFoundError:
            return []
    files = []
    for key, details in sorted(found.items()):
        relative = key.removeprefix(root).lstrip("/")
        if details.get("type") == "file" and not key.endswith("/"):
            files.append(RemoteFile(url.below(relative), relative, *_stamp(details)))
    return files


def remote_stamp(url: Url) -> tuple[int, int]:
    """Size and time of a file, as in `RemoteFile`.

    Raises:
        OSError: it cannot be looked at; FileNotFoundError if there is none.
    """
    with _system(url) as (system, path):
        details = system.info(path)
        if details.get("type") != "file":
            raise FileNotFoundError("a folder, not a file")
        return _stamp(details)


def download(url: Url, path: Path) -> None:
    """Copy a file from a URL; OSError where that fails."""
    with _system(url) as (system, source):
        system.get_file(source, str(path))


def upload(path: Path, url: Url) -> None:
    """Copy a file to a URL, where it appears as a whole; OSError where that fails."""
    with _system(url) as (system, target):
        system.put_file(str(path), target)


def remove(url: Url) -> None:
    """Remove a file, if it is there; OSError where that fails."""
    with _system(url) as (system, path):
        if system.exists(path):
            system.rm_file(path)


@contextmanager
def local_copy(path: AnyPath) -> Iterator[Path]:
    """The path of a local file; a file at a URL is copied to a temporary one with its suffix.

    Raises:
        OSError: it cannot be read.
    """
    if not isinstance(path, Url):
        yield Path(path)
        return
    with tempfile.TemporaryDirectory(prefix="ssl_audio-") as folder:
        target = Path(folder, "file").with_suffix(Path(path.name).suffix)
        download(path, target)
        yield target


def _stamp(details: dict[str, Any]) -> tuple[int, int]:
    when = next((details[key] for key in _TIMES if details.get(key) is not None), 0)
    if isinstance(when, str):
        when = datetime.fromisoformat(when)
    seconds = when.timestamp() if isinstance(when, datetime) else float(when)
    if tag := details.get("ETag") or details.get("etag"):
        digest = hashlib.blake2b(str(tag).encode(), digest_size=8).digest()
        return int(details["size"]), int(seconds) * 10**9 + int.from_bytes(digest, "big") % 10**9
    return int(details["size"]), round(seconds * 10**9)


@contextmanager
def _system(url: Url) -> Iterator[tuple[Any, str]]:
    """The file system of a URL and the path in it; what goes wrong within is an OSError.

    Each has an `errno`: without one, code that reads local files takes it for a folder or a pipe.
    """
    system, path = _opened(url)
    try:
        yield system, path
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, "no such file", str(url)) from error
    except PermissionError as error:
        raise PermissionError(errno.EACCES, f"refused: {first_line(error)}", str(url)) from error
    except Exception as error:  # of the libraries of many services
        raise OSError(errno.EIO, first_line(error), str(url)) from error


def _opened(url: Url) -> tuple[Any, str]:
    scheme = url.partition("://")[0].lower()
    try:
        import fsspec

        system = fsspec.filesystem(scheme, use_listings_cache=False)
        return system, str(system._strip_protocol(str(url)))
    except ImportError as error:
        raise SslAudioError(
            f"{url}: pip install 'ssl_audio[cloud]' for s3://; for others: {first_line(error)}"
        ) from error
    except Exception as error:  # an unknown scheme, no credentials
        raise SslAudioError(f"{url}: {first_line(error)}") from error
