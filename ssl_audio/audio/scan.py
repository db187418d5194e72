"""Measure audio files in parallel, cache the results, and report the files that were skipped."""

import hashlib
import math
import os
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from ssl_audio.audio import isolated
from ssl_audio.audio.sources import Source, read_parquet
from ssl_audio.io import log
from ssl_audio.io.atomic import atomic_file
from ssl_audio.io.cache import cache_folder
from ssl_audio.io.csv_file import CsvWriter
from ssl_audio.io.errors import AudioError, SslAudioError
from ssl_audio.io.files import AnyPath, printable
from ssl_audio.io.parallel import available_processors, in_order
from ssl_audio.io.progress import with_progress

MIN_DURATION = 0.1  # s; shorter files are skipped
_FILES_PER_WORKER = 16  # a process takes 0.2 s to start, as long as a few dozen files take
_SAVE_EVERY = 60.0  # s between saves of an unfinished scan
_CACHE_VERSION = "3"
DAMAGED = "used in part"  # the reason of a track in the report of skipped files
_LOOKAHEAD = 1 << 10  # files of a process that others may be ahead of a slow one
# Verdicts that follow from a file's content are kept; others may change: a decoder gets installed,
# a disk mounted, a machine less busy.
_LASTING = frozenset({"", "empty", "unreadable", "truncated", "silent"})


@dataclass(frozen=True)
class Track:
    """A usable file."""

    path: str  # absolute
    duration: float  # measured, seconds
    tags: tuple[str, ...] = ()  # sorted
    size: int = 0  # bytes
    group: str = ""  # of its list, such as an album; else the folder of its file
    source: int = 0  # number of its source, where several are mixed
    sha256: str = ""  # of the file that a track in a shard was made of
    origin: str = ""  # path of that file
    damage: str = ""  # what of it cannot be decoded, and why


@dataclass(frozen=True)
class Skipped:
    """A skipped file: a short reason, by which files are counted, and the detail."""

    path: str
    reason: str
    detail: str = ""


@dataclass
class Manifest:
    """The result of a scan."""

    tracks: list[Track]  # usable files, in the order of the sources
    skipped: list[Skipped]  # the others, in the order of the sources
    duplicates: int = 0  # sources that repeat a path; their tags were merged with the first

    @property
    def hash(self) -> str:
        """Identity of the tracks: relative paths, sizes, durations and order (hex)."""
        digest = hashlib.sha256()
        root = common_folder([track.path for track in self.tracks])
        for track in self.tracks:
            name = os.path.relpath(track.path, root).replace(os.sep, "/")
            entry = f"{name}\0{track.size}\0{track.duration:.4f}\n"
            digest.update(entry.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def summary(self) -> str:
        """One line: how much is usable, and how many files were skipped, by reason."""
        hours = sum(track.duration for track in self.tracks) / 3600
        text = f"{len(self.tracks)} tracks, {hours:.2f} hours"
        if self.skipped:
            counts = Counter(skipped.reason for skipped in self.skipped)
            reasons = ", ".join(f"{count} {reason}" for reason, count in counts.most_common())
            text += f"; {len(self.skipped)} files skipped ({reasons})"
        if damaged := sum(bool(track.damage) for track in self.tracks):
            text += f"; {damaged} tracks damaged, used in part"
        if self.duplicates:
            text += f"; {self.duplicates} listed more than once"
        return text

    def save_report(self, path: AnyPath) -> None:
        """Write the skipped files and the damaged tracks as CSV (path, reason, detail)."""
        damaged = [Skipped(t.path, DAMAGED, t.damage) for t in self.tracks if t.damage]
        with (
            atomic_file(path) as temporary,
            open(temporary, "w", newline="", encoding="utf-8", errors="surrogateescape") as file,
        ):
            writer = CsvWriter(file)
            writer.row(["path", "reason", "detail"])
            rows = self.skipped + damaged
            writer.rows([item.path, item.reason, item.detail] for item in rows)


@dataclass(frozen=True)
class _Verdict:
    """The outcome of examining one version of a file; the reason of a usable file is ""."""

    size: int
    mtime_ns: int
    duration: float
    reason: str
    detail: str  # of a usable file, its damage


def scan(
    sources: Iterable[Source], cache: AnyPath | None = None, workers: int | None = None
) -> Manifest:
    """Measure files in parallel; the next scan reads only files that have changed.

    Args:
        sources: the files; of a path that is given twice, the tags are merged.
        cache: folder of kept scans, or a `.parquet` file; None is `ssl_audio` in the user's cache
            folder. A damaged one is rebuilt; one that cannot be written is a warning.
        workers: processes; None is one per processor, and fewer for few files.

    Returns:
        The usable tracks, and the skipped files with a reason: empty, unreadable, truncated, too
        short, silent, missing or unsupported.

    Raises:
        SslAudioError: the processes cannot be started.
    """
    paths, duplicates = _unique(sources)
    stamps = {path: _stamp(path) for path in paths}
    known = _Cache(_cache_file(cache, paths))
    verdicts = {
        path: verdict for path in paths if (verdict := known.recall(path, stamps[path])) is not None
    }
    todo = [path for path in paths if path not in verdicts]
    count = _worker_count(workers, len(todo))

    def verdict_on(path: str) -> _Verdict:
        try:
            duration, damage = isolated.examine(path)
            return _Verdict(*stamps[path], duration, "", damage)
        except AudioError as error:
            log.event("failure", path=printable(path), reason=error.reason, detail=error.detail)
            return _Verdict(*stamps[path], 0.0, error.reason, error.detail)

    if todo:
        try:
            with closing(in_order(todo, verdict_on, count, _LOOKAHEAD)) as results:
                seen = with_progress(results, "scanning audio", len(todo), "files")
                for path, verdict in zip(todo, seen, strict=True):
                    verdicts[path] = verdict
                    known.add(path, verdict)
        finally:
            known.save()  # an interrupted scan resumes
    return _manifest(paths, verdicts, duplicates)


def _unique(sources: Iterable[Source]) -> tuple[dict[str, Source], int]:
    """Sources by absolute path, in order, and the number of repeated paths."""
    paths: dict[str, Source] = {}
    duplicates = 0
    for source in sources:
        path = os.path.abspath(source.path)
        if path in paths:
            duplicates += 1
            first = paths[path]
            paths[path] = replace(first, tags=tuple(sorted({*first.tags, *source.tags})))
        else:
            paths[path] = Source(path, tuple(source.tags), source.group or os.path.dirname(path))
    return paths, duplicates


def _stamp(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return -1, -1
    return status.st_size, status.st_mtime_ns


def _manifest(
    paths: Mapping[str, Source], verdicts: Mapping[str, _Verdict], duplicates: int
) -> Manifest:
    result = Manifest([], [], duplicates)
    for path, source in paths.items():
        verdict = verdicts[path]
        if verdict.reason:
            result.skipped.append(Skipped(path, verdict.reason, verdict.detail))
        elif verdict.duration < MIN_DURATION:
            detail = f"{verdict.duration:.4g} s where {MIN_DURATION:g} s are required"
            result.skipped.append(Skipped(path, "too short", detail))
        else:
            result.tracks.append(
                Track(path, verdict.duration, source.tags, verdict.size, source.group,
                      damage=verdict.detail)
            )  # fmt: skip
    return result


def _worker_count(workers: int | None, files: int) -> int:
    return max(1, min(workers or available_processors(), math.ceil(files / _FILES_PER_WORKER)))


def _cache_file(cache: AnyPath | None, paths: Iterable[str]) -> Path:
    """The cache file of the folder that holds all files of a scan."""
    if cache is None:
        cache = cache_folder()
    if Path(cache).suffix == ".parquet":
        return Path(cache)
    folder = common_folder(list(paths)).encode("utf-8", "surrogateescape")
    return Path(cache) / f"scan-{hashlib.sha256(folder).hexdigest()[:16]}.parquet"


def common_folder(paths: list[str]) -> str:
    """The folder that holds all files; the root where there are none, or several drives."""
    try:
        return os.path.commonpath([os.path.dirname(path) for path in paths])
    except ValueError:
        return os.path.abspath(os.sep)


class _Cache:
    """Verdicts of earlier scans, saved every minute and at the end of a scan."""

    def __init__(self, path: Path) -> None:
        self._path, self._known = path, _load_cache(path)
        self._changed, self._saved = False, time.monotonic()

    def recall(self, path: str, stamp: tuple[int, int]) -> _Verdict | None:
        """The verdict on this version of a file, if there is one."""
        old = self._known.get(path)
        return old if old is not None and (old.size, old.mtime_ns) == stamp else None

    def add(self, path: str, verdict: _Verdict) -> None:
        temporary = verdict.size < 0 or verdict.detail.startswith(isolated.TEMPORARY)
        if verdict.reason not in _LASTING or temporary:
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
        try:
            _save_cache(self._path, self._known)
        except OSError as error:
            warnings.warn(
                f"the scan is not kept: cannot write {self._path} ({error.strerror})", stacklevel=2
            )


def _load_cache(path: Path) -> dict[str, _Verdict]:
    if not path.is_file():
        return {}
    try:
        table = read_parquet(path)
        if (table.schema.metadata or {}).get(b"version") != _CACHE_VERSION.encode():
            return {}
        rows = table.to_pylist()
        return {os.fsdecode(row.pop("path")): _Verdict(**row) for row in rows}
    except (SslAudioError, TypeError, KeyError, AttributeError, ValueError):
        return {}  # a damaged cache is rebuilt


def _save_cache(path: Path, known: Mapping[str, _Verdict]) -> None:
    import pyarrow
    import pyarrow.parquet

    text, real, whole = pyarrow.string(), pyarrow.float64(), pyarrow.int64()
    columns = {"path": pyarrow.binary(), "size": whole, "mtime_ns": whole, "duration": real,
               "reason": text, "detail": text}  # fmt: skip
    schema = pyarrow.schema(columns, metadata={"version": _CACHE_VERSION})
    rows = [  # a path need not be UTF-8, which text in Parquet is
        {**vars(one), "path": os.fsencode(name), "detail": one.detail.encode("utf-8", "replace")}
        for name, one in known.items()
    ]
    with atomic_file(path) as temporary:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema), temporary)
