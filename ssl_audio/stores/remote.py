"""Stores at URLs: a working copy in the user's cache folder, brought up to date both ways.

Object stores have no rename. Files are therefore written in an order in which a reader never sees
half a store: new parts, then the manifest that names them, and only then are the files removed that
it no longer names. What has not changed is not transferred.
"""

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ssl_audio.io.atomic import atomic_file, write_json
from ssl_audio.io.cache import cache_folder
from ssl_audio.io.console import warn
from ssl_audio.io.errors import SslAudioError, first_line, reason_of
from ssl_audio.io.files import file_sha256
from ssl_audio.io.json_file import read_json
from ssl_audio.io.lock import Busy, only_writer
from ssl_audio.io.remote import Url, download, remote_files, remove, upload
from ssl_audio.stores.failures import FAILURES, failures_table
from ssl_audio.stores.manifest import MANIFEST, RUN, read_manifest

BESIDE = (FAILURES, RUN)  # files of a store that are no parts, written before the manifest
PUSH_EVERY = 600.0  # seconds between two uploads while a run goes on
_TRIES = 3  # to read a store that is written meanwhile
Stamp = list[int]  # size and time of a remote file


@dataclass
class Copy:
    """The working copy of a store at a URL.

    Args:
        url: of the store, NAME.parquet, a folder or a file.
        use: "read" or "write": a reader does not disturb a run that writes.

    Attributes:
        path: the local store.
    """

    url: Url
    use: str
    path: Path = field(init=False)
    _state: Path = field(init=False)  # what was there after the last transfer
    _pushed: float = field(init=False, default_factory=time.monotonic)

    def __post_init__(self) -> None:
        if not self.url.name.endswith(".parquet"):
            raise SslAudioError(f"{self.url}: a feature store is named NAME.parquet")
        digest = hashlib.sha256(self.url.encode()).hexdigest()[:16]
        folder = cache_folder() / "remote" / digest / self.use
        self.path, self._state = folder / self.url.name, folder / "_remote.json"

    @contextmanager
    def locked(self, wait: bool) -> Iterator[None]:
        """Keep other processes from this copy; `wait` for them, or raise `Busy`."""
        while True:
            try:
                lock = only_writer(self._state.parent, "_lock", self.url)
                break
            except Busy:
                if not wait:
                    raise
                time.sleep(0.1)
        with lock:
            yield

    def pull(self) -> bool:
        """Bring the copy up to date; changes of an earlier run that were not uploaded stay if the
        store has not changed since.

        Returns:
            False if there is no store.
        """
        for _ in range(_TRIES):
            files, before = self._listed(), self._kept()["files"]
            if "" in files:
                if files[""] != before.get("") or not self.path.is_file():
                    self._pull_file(files[""])
                return True
            if MANIFEST not in files:
                if MANIFEST in before:  # it was removed
                    self._forget()
                return self.path.exists()
            if before.get(MANIFEST) == files[MANIFEST] and self.path.is_dir():
                return True
            try:
                self._pull_folder(files, before)
                return True
            except FileNotFoundError:  # a writer has just replaced parts
                continue
        raise SslAudioError(f"{self.url} is being changed: try again")

    def push(self) -> None:
        """Upload what has changed, if the copy is a whole store.

        Raises:
            SslAudioError: another process has changed the store since `pull`.
            OSError: it cannot be written.
        """
        self._pushed = time.monotonic()
        if not (self.path / MANIFEST).exists():
            return
        files, kept = self._listed(), self._kept()
        if kept["files"].get(MANIFEST) != files.get(MANIFEST):
            raise SslAudioError(f"{self.url} was changed by another process: run this again")
        parts = [part.name for part in read_manifest(self.path).parts]
        for name in parts:
            if name not in files or files[name] != kept["files"].get(name):
                upload(self.path / name, self.url.below(name))
        table = failures_table(self.path)
        others = {name: (self.path / name, self.url.below(name)) for name in (*BESIDE, MANIFEST)}
        others[table.name] = (table, self.url.beside(table.name))
        hashes = {name: _hash(path) for name, (path, _) in others.items()}
        for name, (path, url) in others.items():
            if kept["hashes"].get(name) != hashes[name]:
                _send(path, url)
        for name in files.keys() - {*parts, *others}:
            if name.startswith("part-"):
                remove(self.url.below(name))
        self._keep(parts, hashes, self._listed())

    def push_sometimes(self) -> None:
        """`push`, if the last one was some time ago; the end tries again if it fails."""
        if time.monotonic() - self._pushed > PUSH_EVERY:
            try:
                self.push()
            except OSError as error:
                warn(f"{self.url}: {error.strerror}; this is tried again")

    def _listed(self) -> dict[str, Stamp]:
        return {file.relative: [file.size, file.mtime_ns] for file in remote_files(self.url)}

    def _pull_file(self, stamp: Stamp) -> None:
        self._forget()
        with atomic_file(self.path) as temporary:
            download(self.url, Path(temporary))
        write_json(self._state, {"files": {"": stamp}, "hashes": {}})

    def _pull_folder(self, files: dict[str, Stamp], before: dict[str, Stamp]) -> None:
        """Copy what is new; the manifest is replaced last, as a writer does."""
        if self.path.is_file():
            self._forget()
        new = self._state.with_name("new")
        for folder in (self.path, new):
            folder.mkdir(parents=True, exist_ok=True)
        download(self.url.below(MANIFEST), new / MANIFEST)
        parts = {part.name for part in read_manifest(new).parts}
        for name in sorted(parts):
            same = name in files and files[name] == before.get(name)
            if not same or not (self.path / name).exists():
                self._fetch(name)
        for name in BESIDE:
            if name in files:
                self._fetch(name)
            else:
                (self.path / name).unlink(missing_ok=True)
        os.replace(new / MANIFEST, self.path / MANIFEST)
        for path in self.path.glob("part-*.parquet"):
            if path.name not in parts:
                path.unlink()
        self._keep(parts, {name: _hash(self.path / name) for name in (*BESIDE, MANIFEST)}, files)

    def _fetch(self, name: str) -> None:
        with atomic_file(self.path / name) as temporary:
            download(self.url.below(name), Path(temporary))

    def _forget(self) -> None:
        """Remove the copy."""
        self._state.unlink(missing_ok=True)
        if self.path.is_dir():
            shutil.rmtree(self.path)
        else:
            self.path.unlink(missing_ok=True)

    def _kept(self) -> dict[str, Any]:
        """Stamps of the remote files and hashes of the local ones after the last transfer."""
        with suppress(OSError, ValueError):
            return dict(read_json(self._state))
        return {"files": {}, "hashes": {}}

    def _keep(self, parts: Iterable[str], hashes: dict[str, str], files: dict[str, Stamp]) -> None:
        stamps = {name: files[name] for name in (*parts, *BESIDE, MANIFEST) if name in files}
        write_json(self._state, {"files": stamps, "hashes": hashes})


class Working(NamedTuple):
    """Where a run writes a store, or a file."""

    path: Path  # a local one
    url: Url | None = None  # of which it is a copy
    save: Callable[[], None] = lambda: None  # uploads what is finished; called now and then

    @property
    def name(self) -> str:
        """Where its user finds it."""
        return str(self.url or self.path)

    @property
    def failures(self) -> str:
        """Where its user finds the table of failures."""
        table = failures_table(self.path)
        return str(self.url.beside(table.name) if self.url else table)


def fetched(store: Path | Url) -> Path:
    """The local path of a store that is read; one at a URL is copied, if it has changed.

    Raises:
        SslAudioError: there is none at the URL, or it cannot be read.
    """
    if isinstance(store, Path):
        return store
    copy = Copy(store, "read")
    with _named(), copy.locked(wait=True):
        if not copy.pull():
            raise SslAudioError(f"{store}: no such store")
    return copy.path


@contextmanager
def published(output: Path | Url) -> Iterator[Working]:
    """Within it, a store is written; one at a URL is copied first, and uploaded on leaving.

    What is finished is also uploaded on an error or an interrupt.

    Raises:
        SslAudioError: another process is writing the store, or it cannot be read or written.
    """
    if isinstance(output, Path):
        yield Working(output)
        return
    copy = Copy(output, "write")
    with copy.locked(wait=False):
        with _named():
            copy.pull()
        if copy.path.is_file():
            raise SslAudioError(f"{output} is a store of one file: give another output=")
        try:
            yield Working(copy.path, output, copy.push_sometimes)
        except BaseException:
            try:
                copy.push()
            except (OSError, SslAudioError) as error:
                warn(f"{output} was not written: {first_line(error)}")
            raise
        with _named():
            copy.push()


@contextmanager
def published_file(output: Path | Url) -> Iterator[Working]:
    """The same for a file that is written in one step, with its table of failures."""
    if isinstance(output, Path):
        yield Working(output)
        return
    copy = Copy(output, "write")
    with copy.locked(wait=False), _named():
        copy.pull()
        yield Working(copy.path, output)
        for path in (failures_table(copy.path), copy.path):
            _send(path, output.beside(path.name))


def model_beside(store: Path | Url) -> Path | Url:
    """The folder of the model that made a store: NAME-model beside NAME.parquet."""
    name = f"{Path(store.name).stem}-model"
    return store.beside(name) if isinstance(store, Url) else store.with_name(name)


@contextmanager
def local_folder(folder: Path | Url) -> Iterator[Path]:
    """The path of a flat folder; one at a URL is copied to a temporary path, which has no folder
    if the URL has no files. A folder that is new on leaving is uploaded.

    Raises:
        SslAudioError: it cannot be read or written.
    """
    if isinstance(folder, Path):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="ssl_audio-") as temporary:
        path = Path(temporary, folder.name)
        with _named():
            found = [file for file in remote_files(folder) if "/" not in file.relative]
            for file in found:
                path.mkdir(exist_ok=True)
                download(file.url, path / file.relative)
        try:
            yield path
        except SslAudioError as error:
            raise type(error)(str(error).replace(str(path), folder)) from error
        with _named():
            if not found and path.is_dir():
                for one in sorted(path.iterdir(), reverse=True):  # config.json, checked, comes last
                    upload(one, folder.below(one.name))


@contextmanager
def _named() -> Iterator[None]:
    """Errors of a URL become SslAudioErrors that name it."""
    try:
        yield
    except OSError as error:
        raise SslAudioError(f"{error.filename}: {reason_of(error)}") from error


def _send(path: Path, url: Url) -> None:
    upload(path, url) if path.exists() else remove(url)


def _hash(path: Path) -> str:
    return file_sha256(path) if path.exists() else ""
