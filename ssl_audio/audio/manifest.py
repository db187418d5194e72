"""Find audio, measure it once, remember what was found, and say what had to be left out.

Files are examined in processes of their own: a decoder that dies of a damaged file, or that never
comes back from one, costs that file and not the run.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
import queue
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from ssl_audio.io.atomic import atomic_file
from ssl_audio.io.cache import cache_folder
from ssl_audio.io.errors import AudioError, SslAudioError
from ssl_audio.io.parallel import available_processors
from ssl_audio.io.progress import progress_bar

AnyPath = str | PathLike[str]

SUFFIXES = (
    ".aac .aif .aiff .caf .flac .m4a .m4b .mka .mp2 .mp3 .oga .ogg .opus .wav .wave .webm .wma"
).split()

_FILES_A_WORKER = 16  # a process takes 0.2 s to start, as long as a few dozen files take
_SAVE_EVERY = 60.0  # s between saves of an unfinished scan
_CACHE_VERSION = "1"
_JAMENDO_COLUMNS = 5  # TRACK_ID ARTIST_ID ALBUM_ID PATH DURATION, then tags
# Verdicts on a file's content last as long as the content; the rest may come out otherwise next
# time: something gets installed or mounted, a machine is less busy.
_LASTING = frozenset({"", "empty", "unreadable", "truncated", "silent"})


@dataclass(frozen=True)
class Source:
    """A file to look at: its path, and the tags that its list gives it."""

    path: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Track:
    """A usable file.

    Attributes:
        path: absolute.
        duration: measured, seconds.
        tags: sorted.
        size: bytes.
    """

    path: str
    duration: float
    tags: tuple[str, ...] = ()
    size: int = 0


@dataclass(frozen=True)
class Skipped:
    """A file left out: a short reason, by which they are counted, and what was seen."""

    path: str
    reason: str
    detail: str = ""


@dataclass
class Manifest:
    """What a scan found.

    Attributes:
        tracks: usable files, in the order of the sources.
        skipped: the others, in the order of the sources.
        duplicates: how many sources named a file again; their tags went to the first.
    """

    tracks: list[Track]
    skipped: list[Skipped]
    duplicates: int = 0

    @property
    def hash(self) -> str:
        """Identify the tracks: paths below their common folder, sizes, durations, order (hex)."""
        digest = hashlib.sha256()
        root = _common_folder([track.path for track in self.tracks])
        for track in self.tracks:
            name = os.path.relpath(track.path, root).replace(os.sep, "/")
            entry = f"{name}\0{track.size}\0{track.duration:.4f}\n"
            digest.update(entry.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def summary(self) -> str:
        """Say in one line how much is usable and how many files were left out, by reason."""
        hours = sum(track.duration for track in self.tracks) / 3600
        text = f"{len(self.tracks)} tracks, {hours:.2f} hours"
        if self.skipped:
            counts = Counter(skipped.reason for skipped in self.skipped)
            reasons = ", ".join(f"{count} {reason}" for reason, count in counts.most_common())
            text += f"; {len(self.skipped)} files skipped ({reasons})"
        if self.duplicates:
            text += f"; {self.duplicates} named more than once"
        return text

    def save_report(self, path: AnyPath) -> None:
        """Write the skipped files as CSV (path, reason, detail), whole or not at all."""
        with (
            atomic_file(path) as temporary,
            open(temporary, "w", newline="", encoding="utf-8", errors="surrogateescape") as file,
        ):
            writer = csv.writer(file)
            writer.writerow(["path", "reason", "detail"])
            writer.writerows([item.path, item.reason, item.detail] for item in self.skipped)


# --- what to look at -----------------------------------------------------------------------------


def find_audio(root: AnyPath) -> list[Source]:
    """List the audio files below a folder, by suffix, sorted; hidden ones are left out.

    Links to folders are followed, each folder once.

    Raises:
        SslAudioError: no such folder, or no audio in it.
    """
    if not os.path.isdir(root):
        raise SslAudioError(f"{os.fspath(root)!r} is no folder: give one that holds audio")
    found = sorted(_walk(os.path.abspath(root)))
    if not found:
        suffixes = " ".join(SUFFIXES)
        raise SslAudioError(f"no audio found in {os.fspath(root)!r}; looked for {suffixes}")
    return [Source(path) for path in found]


def _walk(root: str) -> Iterator[str]:
    seen = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link back up would lead round in a circle
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES:
                yield os.path.join(folder, name)


def read_list(path: AnyPath) -> list[Source]:
    """Read a text file with one path a line, relative to its own folder or absolute.

    Raises:
        SslAudioError: the list cannot be read, or is empty.
    """
    lines = (line.strip() for _, line in _lines(path))
    return _listed(path, [Source(_beside(path, line)) for line in lines if line])


def read_table(path: AnyPath) -> list[Source]:
    """Read a manifest: a CSV (.csv) or Parquet file with a column `path`.

    Paths are relative to the table's own folder, or absolute. A column `tags` may give a list of
    tags (Parquet), or text with semicolons between them. Durations are measured anew.

    Raises:
        SslAudioError: the table cannot be read, has no column `path`, or is empty; a row without a
            path is named by its number.
    """
    rows = _csv_rows(path) if Path(path).suffix.lower() == ".csv" else _parquet_rows(path)
    sources = []
    for number, row in rows:
        if not isinstance(row.get("path"), str) or not row["path"].strip():
            raise SslAudioError(f"{os.fspath(path)}: row {number} has no path")
        sources.append(Source(_beside(path, row["path"].strip()), _tags(row.get("tags"))))
    return _listed(path, sources)


def read_jamendo(tsv: AnyPath, root: AnyPath) -> list[Source]:
    """Read a TSV file of MTG-Jamendo.

    Its columns are TRACK_ID, ARTIST_ID, ALBUM_ID, PATH, DURATION and then one tag in each,
    `category---tag`. Where `48/948.mp3` is not there and `48/948.low.mp3` is, that is taken.

    Args:
        tsv: the file.
        root: the folder that its paths are relative to.

    Returns:
        One source a line, its tags sorted and each given once.

    Raises:
        SslAudioError: the file cannot be read, is empty, or has a malformed line, which is named.
    """
    sources = []
    for number, line in _lines(tsv):
        if not line.strip() or (number == 1 and line.startswith("TRACK_ID\t")):
            continue
        name, tags = _jamendo_line(f"{os.fspath(tsv)}, line {number}", line)
        sources.append(Source(_jamendo_path(os.path.abspath(root), name), tags))
    return _listed(tsv, sources)


def _jamendo_line(where: str, line: str) -> tuple[str, tuple[str, ...]]:
    cells = [cell.strip() for cell in line.split("\t")]
    if len(cells) < _JAMENDO_COLUMNS:
        needed = f"{len(cells)} columns of the {_JAMENDO_COLUMNS} that come before the tags"
        raise SslAudioError(f"{where}: {needed} (tabs between them)")
    name, duration, tags = cells[3], cells[4], [tag for tag in cells[5:] if tag]
    if not name:
        raise SslAudioError(f"{where}: no path in column 4")
    try:
        float(duration)
    except ValueError as error:
        raise SslAudioError(f"{where}: the duration {duration!r} is no number") from error
    for tag in tags:
        if "---" not in tag:
            raise SslAudioError(f"{where}: the tag {tag!r} is not of the form category---tag")
    return name, tuple(sorted(set(tags)))


def _jamendo_path(root: str, name: str) -> str:
    path = os.path.join(root, name)
    stem, suffix = os.path.splitext(path)
    low = f"{stem}.low{suffix}"
    return low if not os.path.exists(path) and os.path.exists(low) else path


def _lines(path: AnyPath) -> Iterator[tuple[int, str]]:
    try:
        # utf-8-sig: some editors begin a file with a byte-order mark
        with open(path, encoding="utf-8-sig", errors="surrogateescape") as file:
            for number, line in enumerate(file, 1):
                yield number, line.rstrip("\r\n")
    except OSError as error:
        raise SslAudioError(f"cannot read {os.fspath(path)}: {error.strerror}") from error


def _beside(table: AnyPath, name: str) -> str:
    return os.path.join(os.path.dirname(os.path.abspath(table)), name)


def _listed(path: AnyPath, sources: list[Source]) -> list[Source]:
    if not sources:
        raise SslAudioError(f"{os.fspath(path)} lists no audio")
    return sources


def _csv_rows(path: AnyPath) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.DictReader(line for _, line in _lines(path))
    if "path" not in (reader.fieldnames or ()):
        raise SslAudioError(f"{os.fspath(path)} has no column named path")
    yield from enumerate(reader, 1)


def _parquet_rows(path: AnyPath) -> Iterator[tuple[int, Mapping[str, Any]]]:
    table = _read_parquet(path)
    if "path" not in table.column_names:
        raise SslAudioError(f"{os.fspath(path)} has no column named path")
    wanted = [name for name in ("path", "tags") if name in table.column_names]
    yield from enumerate(table.select(wanted).to_pylist(), 1)


def _read_parquet(path: AnyPath) -> Any:
    import pyarrow
    import pyarrow.parquet

    try:
        return pyarrow.parquet.read_table(os.fspath(path))
    except (OSError, pyarrow.ArrowException) as error:
        first = str(error).splitlines()[0]
        raise SslAudioError(f"cannot read {os.fspath(path)} as Parquet: {first}") from error


def _tags(cell: Any) -> tuple[str, ...]:
    tags = cell.split(";") if isinstance(cell, str) else (cell or ())
    return tuple(sorted({str(tag).strip() for tag in tags} - {""}))


# --- looking at it -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Verdict:
    """What examining one version of a file gave; a reason of "" is a usable file."""

    size: int
    mtime_ns: int
    duration: float
    reason: str
    detail: str
    sound_checked: bool


def scan(
    sources: Iterable[Source],
    min_duration: float = 0.1,
    cache: AnyPath | None = None,
    workers: int | None = None,
    progress: bool = True,
    check_silence: bool = True,
    time_limit: float = 60.0,
) -> Manifest:
    """Measure files, in parallel, and remember it: the next scan reads only what has changed.

    Args:
        sources: what to look at; a path named again is dropped, its tags going to the first.
        min_duration: shorter files are skipped, seconds.
        cache: folder of the remembered scans, or a `.parquet` file; None is a folder
            `ssl_audio` in the user's cache folder. A damaged one is rebuilt, and one that cannot
            be written is done without.
        workers: processes; None is as many as there are processors, and fewer for few files.
        progress: show a bar on standard error.
        check_silence: skip files whose samples all lie below 1e-4 (-80 dB).
        time_limit: seconds for one file; what takes longer is skipped as unreadable.

    Returns:
        The tracks, and the files skipped with the reason: empty, unreadable, truncated, too short,
        silent, missing or unsupported. Each path is in one of the two.

    Raises:
        SslAudioError: the processes cannot be started.
    """
    wanted, duplicates = _unique(sources)
    stamps = {path: _stamp(path) for path in wanted}
    saver = _Saver(_cache_file(cache, wanted))
    verdicts = {
        path: verdict
        for path in wanted
        if (verdict := saver.recall(path, stamps[path], check_silence)) is not None
    }
    todo = [path for path in wanted if path not in verdicts]
    pool = _Pool(_worker_count(workers, len(todo)), check_silence, time_limit)
    if todo:
        try:
            with progress_bar("scanning audio", len(todo), "files", shown=progress) as step:
                for path, (duration, reason, detail) in pool.examine(todo):
                    seen = _Verdict(*stamps[path], duration, reason, detail, check_silence)
                    verdicts[path] = seen
                    saver.add(path, seen)
                    step()
        finally:
            saver.save()  # an interrupted scan goes on where it was
    return _manifest(wanted, verdicts, min_duration, duplicates)


def _unique(sources: Iterable[Source]) -> tuple[dict[str, tuple[str, ...]], int]:
    """Map absolute paths to tags, in order, and count what was named again."""
    wanted: dict[str, tuple[str, ...]] = {}
    duplicates = 0
    for source in sources:
        path = os.path.abspath(source.path)
        if path in wanted:
            duplicates += 1
            wanted[path] = tuple(sorted({*wanted[path], *source.tags}))
        else:
            wanted[path] = tuple(source.tags)
    return wanted, duplicates


def _stamp(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return -1, -1
    return status.st_size, status.st_mtime_ns


def _manifest(
    wanted: Mapping[str, tuple[str, ...]],
    verdicts: Mapping[str, _Verdict],
    min_duration: float,
    duplicates: int,
) -> Manifest:
    result = Manifest([], [], duplicates)
    for path, tags in wanted.items():
        verdict = verdicts[path]
        if verdict.reason:
            result.skipped.append(Skipped(path, verdict.reason, verdict.detail))
        elif verdict.duration < min_duration:
            detail = f"{verdict.duration:.4g} s of the {min_duration:g} s asked for"
            result.skipped.append(Skipped(path, "too short", detail))
        else:
            result.tracks.append(Track(path, verdict.duration, tags, verdict.size))
    return result


def _worker_count(workers: int | None, files: int) -> int:
    if workers is not None and workers < 1:
        raise SslAudioError(f"workers is {workers}: a scan takes at least 1 process")
    return max(1, min(workers or available_processors(), math.ceil(files / _FILES_A_WORKER)))


_Answer = tuple[float, str, str]  # duration, reason, detail


class _Pool:
    """Worker processes, each fed by a thread that notices when its process dies or hangs."""

    def __init__(self, workers: int, check_silence: bool, time_limit: float) -> None:
        self._workers, self._check_silence, self._time_limit = workers, check_silence, time_limit
        self._todo: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[str, _Answer] | BaseException] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._running: set[_Worker] = set()

    def examine(self, paths: Sequence[str]) -> Iterator[tuple[str, _Answer]]:
        """Yield each path with its answer, as they come."""
        for path in paths:
            self._todo.put(path)
        for _ in range(self._workers):
            self._todo.put(None)
        threads = [threading.Thread(target=self._feed, daemon=True) for _ in range(self._workers)]
        for thread in threads:
            thread.start()
        try:
            for _ in paths:
                item = self._done.get()
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            self._stopped.set()
            for worker in list(self._running):
                worker.kill()
            for thread in threads:
                thread.join()

    def _feed(self) -> None:
        worker: _Worker | None = None
        try:
            while (path := self._todo.get()) is not None and not self._stopped.is_set():
                if worker is None or not worker.alive:
                    worker = self._replace(worker)
                answer = worker.ask(path)
                if answer[2] == _CRASHED and not self._stopped.is_set():
                    # Once more: it may have been killed for another's want of memory.
                    worker = self._replace(worker)
                    answer = worker.ask(path)
                self._done.put((path, answer))
        except BaseException as error:  # handed to the thread that waits for the answers
            self._done.put(error)
        finally:
            if worker is not None:
                self._running.discard(worker)
                worker.kill()

    def _replace(self, worker: _Worker | None) -> _Worker:
        if worker is not None:
            self._running.discard(worker)
            worker.kill()
        worker = _Worker(self._check_silence, self._time_limit)
        self._running.add(worker)
        return worker


class _Worker:
    """One process that examines files: a line of JSON in, a line of JSON out.

    It is started afresh instead of forked: the parent may hold threads and a GPU, which a fork
    does not survive, and its main module need not be one that can be imported twice.
    """

    def __init__(self, check_silence: bool, time_limit: float) -> None:
        self._time_limit = time_limit
        self.alive = True
        code = f"import sys; sys.path[:] = {sys.path!r}; import {__name__} as m; m._serve()"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, json.dumps([check_silence, time_limit])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # decoders print a line for every damaged frame
            # a decoder for each processor is parallel enough
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        if self._answer() != "ready":
            self.kill()
            raise SslAudioError(
                f"a process to scan with ended with status {self._process.returncode} before it "
                f"was ready: is {sys.executable} the Python that ssl_audio is installed in?"
            )

    def ask(self, path: str) -> _Answer:
        """Examine one file; a worker that died or hung answers too, and is not alive any more."""
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self._process.kill()

        timer = threading.Timer(self._time_limit, give_up)
        timer.daemon = True
        timer.start()
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(path).encode() + b"\n")
            self._process.stdin.flush()
            answer = self._answer()
        except OSError:
            answer = None
        finally:
            timer.cancel()
        self.alive = answer is not None and not late.is_set()
        if answer is not None:
            return answer[0], answer[1], answer[2]
        if late.is_set():
            return 0.0, "unreadable", f"{_NO_ANSWER} in {self._time_limit:g} s"
        return 0.0, "unreadable", _CRASHED

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return json.loads(line) if line.endswith(b"\n") else None

    def kill(self) -> None:
        """End the process and give back its pipes."""
        self.alive = False
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            try:
                if pipe is not None:
                    pipe.close()
            except OSError:
                pass  # what was not flushed has nobody left to read it


_CRASHED = "decoder crashed"
_NO_ANSWER = "no answer"


def _serve() -> None:
    """Be a worker: examine what standard input names until it ends."""
    import signal

    check_silence, time_limit = json.loads(sys.argv[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers itself
    # Answers get a channel of their own: libraries in C print on standard output too.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from ssl_audio.audio import files

    answers.write('"ready"\n')
    answers.flush()
    for line in sys.stdin:
        if hasattr(signal, "alarm"):  # the parent may have been killed: nobody would end this one
            signal.alarm(math.ceil(time_limit) + 5)
        answers.write(json.dumps(_examine(json.loads(line), check_silence, files)) + "\n")
        answers.flush()
        if hasattr(signal, "alarm"):
            signal.alarm(0)


def _examine(path: str, check_silence: bool, files: Any) -> _Answer:
    try:
        return files.examine(path, check_silence).duration, "", ""
    except AudioError as error:
        return 0.0, error.reason, error.detail
    except Exception as error:  # one file must not end the scan of the others
        return 0.0, "unreadable", f"{type(error).__name__}: {error}"


# --- remembering it ------------------------------------------------------------------------------


def save_manifest(manifest: Manifest, path: AnyPath) -> None:
    """Write a manifest as Parquet, whole or not at all; `read_table` reads its tracks too."""
    tracks, skipped = manifest.tracks, manifest.skipped
    columns: dict[str, list[Any]] = {
        "path": [track.path for track in tracks] + [item.path for item in skipped],
        "duration": [track.duration for track in tracks] + [None] * len(skipped),
        "tags": [list(track.tags) for track in tracks] + [[] for _ in skipped],
        "size": [track.size for track in tracks] + [None] * len(skipped),
        "reason": [""] * len(tracks) + [item.reason for item in skipped],
        "detail": [""] * len(tracks) + [item.detail for item in skipped],
    }
    _write_parquet(path, columns, {"duplicates": str(manifest.duplicates)})


def load_manifest(path: AnyPath) -> Manifest:
    """Read what `save_manifest` wrote.

    Raises:
        SslAudioError: the file cannot be read, or is no manifest.
    """
    table = _read_parquet(path)
    missing = {"path", "duration", "tags", "size", "reason", "detail"} - set(table.column_names)
    if missing:
        raise SslAudioError(f"{os.fspath(path)} is no manifest: no column {sorted(missing)[0]}")
    result = Manifest([], [], int((table.schema.metadata or {}).get(b"duplicates", b"0")))
    for row in table.to_pylist():
        name = _decoded(row["path"])
        if row["reason"]:
            result.skipped.append(Skipped(name, row["reason"], row["detail"]))
        else:
            tags = tuple(row["tags"])
            result.tracks.append(Track(name, row["duration"], tags, row["size"]))
    return result


def _cache_file(cache: AnyPath | None, paths: Iterable[str]) -> Path:
    """Name the cache: one for each folder that holds all files of a scan."""
    if cache is None:
        cache = cache_folder()
    if Path(cache).suffix == ".parquet":
        return Path(cache)
    folder = _common_folder(list(paths)).encode("utf-8", "surrogateescape")
    return Path(cache) / f"scan-{hashlib.sha256(folder).hexdigest()[:16]}.parquet"


def _common_folder(paths: list[str]) -> str:
    try:
        return os.path.commonpath([os.path.dirname(path) for path in paths])
    except ValueError:  # none, or on several drives
        return os.path.abspath(os.sep)


def _load_cache(path: Path) -> dict[str, _Verdict]:
    if not path.is_file():
        return {}
    try:
        table = _read_parquet(path)
        if (table.schema.metadata or {}).get(b"version") != _CACHE_VERSION.encode():
            return {}
        rows = table.to_pylist()
        return {_decoded(row.pop("path")): _Verdict(**row) for row in rows}
    except (SslAudioError, TypeError, KeyError, AttributeError, ValueError):
        return {}  # a damaged cache is one that is not there yet


class _Saver:
    """The cache of a scan: recalls verdicts, and writes new ones now and then and at the end."""

    def __init__(self, path: Path) -> None:
        self._path, self._known = path, _load_cache(path)
        self._changed, self._saved = False, time.monotonic()

    def recall(self, path: str, stamp: tuple[int, int], check_silence: bool) -> _Verdict | None:
        """Return what is known of this version of a file, if it answers the question asked."""
        old = self._known.get(path)
        if old is None or (old.size, old.mtime_ns) != stamp:
            return None
        if check_silence != old.sound_checked and (check_silence or old.reason == "silent"):
            return None
        return old

    def add(self, path: str, verdict: _Verdict) -> None:
        if not _lasts(verdict):
            return
        self._known[path] = verdict
        self._changed = True
        if time.monotonic() - self._saved > _SAVE_EVERY:
            self.save()

    def save(self) -> None:
        self._saved = time.monotonic()
        if not self._changed:
            return
        self._changed = False
        columns: dict[str, list[Any]] = {"path": list(self._known)}
        for name in _Verdict.__dataclass_fields__:
            columns[name] = [getattr(verdict, name) for verdict in self._known.values()]
        try:
            _write_parquet(self._path, columns, {"version": _CACHE_VERSION})
        except OSError as error:
            warnings.warn(
                f"the scan is not remembered: cannot write {self._path} ({error.strerror})",
                stacklevel=2,
            )


def _lasts(verdict: _Verdict) -> bool:
    passing = verdict.size < 0 or verdict.detail.startswith((_CRASHED, _NO_ANSWER))
    return verdict.reason in _LASTING and not passing


def _write_parquet(path: AnyPath, columns: dict[str, list[Any]], note: dict[str, str]) -> None:
    import pyarrow
    import pyarrow.parquet

    # Parquet's text is UTF-8, and a path need not be: such a path is kept as bytes.
    columns = columns | {"path": [_encoded(name) for name in columns["path"]]}
    plain = all(_is_utf8(name) for name in columns["path"])
    kind = pyarrow.string() if plain else pyarrow.binary()
    arrays: dict[str, Any] = {"path": pyarrow.array(columns["path"], pyarrow.binary()).cast(kind)}
    text, real, whole = pyarrow.string(), pyarrow.float64(), pyarrow.int64()
    kinds = {"duration": real, "size": whole, "mtime_ns": whole, "reason": text, "detail": text}
    kinds |= {"tags": pyarrow.list_(text), "sound_checked": pyarrow.bool_()}
    for name in columns:
        if name != "path":
            cells = [_printable(cell) for cell in columns[name]]
            arrays[name] = pyarrow.array(cells, kinds[name])
    table = pyarrow.table(arrays).replace_schema_metadata(note)
    with atomic_file(path) as temporary:
        pyarrow.parquet.write_table(table, temporary)


def _printable(cell: Any) -> Any:
    return cell.encode("utf-8", "replace").decode() if isinstance(cell, str) else cell


def _encoded(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _decoded(name: str | bytes) -> str:
    return name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else name


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True
