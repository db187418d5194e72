"""A catalogue over many nights: whatever happens to files and runs, a new build gives the same.

A night changes files at random, and its runs are stopped at random operations of the file system,
as by kill -9 (nothing after it happens, no cleaning up either), Ctrl-C or a full disk, until one is
let through. `SSL_AUDIO_NIGHTS` sets the number of nights.
"""

import csv
import errno
import hashlib
import os
import random
import stat
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from ssl_audio.catalogue import changes as changes_module
from ssl_audio.catalogue import tracks as tracks_module
from ssl_audio.catalogue.changes import Changes
from ssl_audio.catalogue.tracks import Analysis, list_items, row_of
from ssl_audio.catalogue.update import update_store
from ssl_audio.io.errors import AudioError, SslAudioError
from ssl_audio.stores.columns import Row
from ssl_audio.stores.failures import failures_table, read_failures
from ssl_audio.stores.feature_store import read_store, read_tables
from ssl_audio.stores.manifest import MANIFEST
from ssl_audio.stores.writer import Store

NIGHTS = int(os.environ.get("SSL_AUDIO_NIGHTS", "200"))
NAMES = ["a", "b", "c", "d/e", "d/f", "g/h/i", "=1+1", "new\nline", 'quo"te', "Motörhead", "\udce9",
         "\\xe9", "x" * 200]  # fmt: skip
OPERATIONS = ("replace", "rename", "unlink", "fsync")


class Killed(BaseException):
    """The process is gone."""


class Machine:
    """The operations of the file system, which fail from a chosen one on."""

    def __init__(self, monkeypatch):
        self.left, self.error = None, None
        for name in OPERATIONS:
            real = getattr(os, name) if name != "fsync" else lambda descriptor: None
            monkeypatch.setattr(os, name, self._counted(name, real))

    def _counted(self, name, real):
        def operation(*arguments, **options):
            if self.left is not None:
                self.left -= 1
                full = isinstance(self.error, OSError)
                if self.left < 0 and not (full and name in ("unlink", "rename")):
                    raise self.error
            return real(*arguments, **options)

        return operation

    def fail(self, after, error):
        self.left, self.error = after, error

    def work(self):
        self.left = self.error = None


class Engine:
    """The first bytes of a content's hash as its vector."""

    runtime = ""

    def __init__(self, stop_at=None, error=None):
        self.computed, self.stop_at, self.error = [], stop_at, error

    def rows(self, items):
        for number, item in enumerate(items):
            if number == self.stop_at:
                raise self.error
            result = row_of(item, self.analyse)
            yield result

    def analyse(self, path):
        content = path.read_bytes()
        self.computed.append(hashlib.sha256(content).hexdigest())
        if content.startswith(b"bad"):
            raise AudioError(path, "unreadable", "it is damaged")
        vector = np.frombuffer(hashlib.sha256(content).digest()[:8], np.uint8).astype(np.float32)
        return Analysis(float(len(content)), vector, note="odd" if b"7" in content else "")


class Catalogue:
    """A folder of files that changes, and the runs that keep a store of it."""

    def __init__(self, folder, seed, deleted, machine, monkeypatch):
        self.music, self.store = folder / "music", folder / "f.parquet"
        self.random, self.deleted, self.machine = random.Random(seed), deleted, machine
        self.clock, self.locked = 10**18, set()
        self.music.mkdir()
        self.write(self.music / "first.wav")
        real = tracks_module.fingerprint

        def fingerprint(path):  # a process of root can read whatever its permissions are
            if os.fspath(path) in self.locked and os.path.exists(path):
                raise PermissionError(errno.EACCES, "Permission denied")
            return real(path)

        monkeypatch.setattr(tracks_module, "fingerprint", fingerprint)
        monkeypatch.setattr(changes_module, "fingerprint", fingerprint)

    # --- changes of files

    def write(self, path, content=None):
        path.parent.mkdir(parents=True, exist_ok=True)
        content = content or b"%s %d" % (self.random.choice([b"good", b"fine", b"bad"]),
                                         self.random.randrange(1000))  # fmt: skip
        with open(path, "wb") as file:
            file.write(content)
        self.touch(path)

    def touch(self, path):
        self.clock += 1_000_000
        os.utime(path, ns=(self.clock, self.clock))

    def free(self):
        name = f"{self.random.choice(NAMES)}{self.random.randrange(30)}.wav"
        return self.music / name

    def files(self):
        found = [path for path in self.music.rglob("*.wav") if stat.S_ISREG(os.lstat(path).st_mode)]
        return sorted(found, key=os.fsencode)

    def any(self):
        return self.random.choice(self.files())

    def change_something(self):
        kind = self.random.choice(
            ["add", "add", "add", "change", "touch", "move", "delete", "damage", "swap", "copy",
             "lock", "unlock", "loop", "pipe", "move folder", "sweep"]
        )  # fmt: skip
        with suppress(FileExistsError, IsADirectoryError, OSError):
            if kind == "add":
                self.write(self.free())
            elif kind == "change":
                self.write(self.any())
            elif kind == "touch":
                self.touch(self.any())
            elif kind == "move":
                os.replace(self.any(), self.free())
            elif kind == "delete" and len(self.files()) > 1:
                os.remove(self.any())
            elif kind == "damage":
                self.write(self.any(), b"bad %d" % self.random.randrange(9))
            elif kind == "swap":
                one, other = self.any(), self.any()
                os.replace(one, self.music / "aside")
                os.replace(other if other != one else self.music / "aside", one)
                if other != one:
                    os.replace(self.music / "aside", other)
            elif kind == "copy":
                self.write(self.free(), self.any().read_bytes())
            elif kind == "lock":
                self.locked.add(os.fspath(self.any()))
            elif kind == "unlock":
                self.locked.clear()
            elif kind == "loop":
                self.random.choice([
                    lambda: (self.music / "loop.wav").symlink_to("loop.wav"),
                    lambda: (self.music / "d" / "up").symlink_to(self.music),
                ])()  # fmt: skip
            elif kind == "pipe":
                os.mkfifo(self.music / "pipe.wav")
            elif kind == "move folder":
                os.replace(self.music / "d", self.music / f"d{self.random.randrange(99)}")
            elif kind == "sweep":
                for name in ("loop.wav", "pipe.wav"):
                    (self.music / name).unlink(missing_ok=True)

    # --- runs

    def run(self, engine):
        items = list_items(self.music)
        if self.random.random() < 0.3:  # a stream
            items = iter(items)
        with Store(self.store, {"model": "hash"}, group=3) as store:
            changes = Changes(store, self.deleted, workers=1)
            return update_store(store, changes, items, lambda tracks: engine, "night")

    def night(self):
        for _ in range(self.random.randrange(5)):
            self.change_something()
        for _ in range(self.random.randrange(3)):
            self.stopped_run()
        known = set()
        if (self.store / MANIFEST).exists():
            tables = read_tables(self.store, ["id", "sha256"])
            known = {digest for table in tables for digest in table["sha256"].to_pylist()}
        engine = Engine()
        try:
            self.run(engine)
        except SslAudioError as error:
            assert "none of the files" in str(error)
        assert not known & set(engine.computed), "content that is known was computed again"
        self.check()

    def stopped_run(self):
        error = self.random.choice(
            [Killed(), Killed(), KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")]
        )
        if isinstance(error, KeyboardInterrupt):
            engine = Engine(self.random.randrange(6), error)
        else:
            engine = Engine()
            self.machine.fail(self.random.randrange(25), error)
        try:
            self.run(engine)
        except (Killed, KeyboardInterrupt):
            pass
        except SslAudioError as failed:
            assert "make room" in str(failed) or "none of the files" in str(failed)
        finally:
            self.machine.work()
            del error, engine  # their traceback holds the store, and so its lock

    # --- what must hold

    def check(self):
        results = list(Engine().rows(list_items(self.music)))
        expected = {row.id: row for row in results if isinstance(row, Row)}
        failed = {failure.id for failure in results if not isinstance(failure, Row)}
        table = pq.read_table(self.store).to_pydict()
        stored = read_store(self.store)
        assert table["id"] == stored.ids and len(set(stored.ids)) == len(stored.ids)
        rows = {track: place for place, track in enumerate(stored.ids)}
        states = dict(zip(table["id"], table["state"], strict=True))
        assert {track for track, state in states.items() if not state} == set(expected)
        for track, row in expected.items():
            place = rows[track]
            for name in ("path", "sha256", "size", "mtime_ns", "note", "duration"):
                assert table[name][place] == getattr(row, name), (track, name)
            np.testing.assert_array_equal(stored.vectors[place], row.vector)
        assert set(states.values()) - {""} <= ({"unreadable"} if self.deleted == "drop" else
                          {"unreadable", "deleted", "damaged"})  # fmt: skip
        failures = read_failures(self.store)
        assert set(failures) == failed and all(f.reason and f.tries for f in failures.values())
        if failures:
            with failures_table(self.store).open(newline="", encoding="utf-8") as file:
                assert len(list(csv.DictReader(file))) == len(failures)
        assert not list(self.store.glob(".*")) and not list(self.store.parent.glob(".*"))
        self.check_that_nothing_is_touched()

    def check_that_nothing_is_touched(self):
        files = [self.store, *self.store.iterdir()]
        before = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in files}
        engine = Engine()
        with suppress(SslAudioError):
            assert not self.run(engine).changed
        files = [self.store, *self.store.iterdir()]
        assert {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in files} == before
        assert not engine.computed


@pytest.mark.skipif(os.name != "posix", reason="links, pipes, and names of any bytes")
@pytest.mark.parametrize(("seed", "deleted"), [(1, "drop"), (2, "keep")])
def test_every_night_ends_as_a_new_build(tmp_path, monkeypatch, seed, deleted):
    monkeypatch.setattr("ssl_audio.stores.writer.MAX_SMALL", 4)
    for room in ("writer", "parts"):
        monkeypatch.setattr(f"ssl_audio.stores.{room}.LARGE_ROWS", 9)
    monkeypatch.setattr("ssl_audio.catalogue.update.with_progress", lambda items, *_: items)
    machine = Machine(monkeypatch)
    catalogue = Catalogue(Path(tmp_path), seed, deleted, machine, monkeypatch)
    for night in range(NIGHTS // 2):
        print(f"seed {seed}, night {night}")
        catalogue.night()
