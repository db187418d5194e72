"""Playlists in one embedded file (DuckDB), each for ever in train, validation or test.

Which split a playlist is in depends on its id, the seed and the fractions alone: whatever else
its source holds, and in whatever order, the same playlist falls in the same split.

Tables: `playlists` (number, id, split, length), `positions` (playlist, position, track),
`tracks` (number, id, title, artist, album, genre), `about` (one JSON text).
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ssl_audio.io.atomic import atomic_file
from ssl_audio.io.console import say
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.run_folder import versions
from ssl_audio.recommenders.data.collection import Catalogue, Playlists
from ssl_audio.recommenders.data.sources import (
    DETAILS,
    Found,
    Numbering,
    SourcePlaylist,
    SourceTrack,
    read_source,
)

SPLITS = ("train", "validation", "test")
FRACTIONS = (0.8, 0.1, 0.1)
KIND = "ssl_audio playlists"
VERSION = 1  # of the tables
POSITIONS = 2_000_000  # written at a time
PLAYLISTS = 50_000  # read at a time
NEWS = 100_000  # playlists between two lines of progress

_TABLES = """
create table playlists (number integer, id varchar, split varchar, length integer);
create table positions (playlist integer, position integer, track integer);
create table about (json varchar);
create temp table numbered (number integer, id varchar,
    title varchar, artist varchar, album varchar, genre varchar);
create temp table described (id varchar,
    title varchar, artist varchar, album varchar, genre varchar);
"""
_TRACKS = f"""
create table tracks as select number, id,
    {", ".join(f"coalesce(nullif(n.{d}, ''), s.{d}, '') as {d}" for d in DETAILS)}
from numbered n left join (select distinct on (id) * from described) s using (id)
order by number
"""


@dataclass
class BuildReport:
    """What is in a store, and what was left out of it.

    Attributes:
        playlists, positions, tracks: that are in it.
        duplicates: positions whose track its playlist had before.
        unknown: positions whose track is not in the catalogue.
        unknown_tracks: how many such tracks.
        empty: playlists that have no track, or none that is left, and so are not in it.
        splits: playlists of each.
    """

    playlists: int = 0
    positions: int = 0
    tracks: int = 0
    duplicates: int = 0
    unknown: int = 0
    unknown_tracks: int = 0
    empty: int = 0
    splits: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))

    def __str__(self) -> str:
        shares = ", ".join(f"{count} {split}" for split, count in self.splits.items())
        return (
            f"{self.playlists} playlists ({shares}), {self.positions} positions, "
            f"{self.tracks} tracks; {self.duplicates} duplicates, {self.unknown} positions of "
            f"{self.unknown_tracks} unknown tracks, {self.empty} playlists empty"
        )


def splits_of(
    ids: Sequence[str], seed: int = 0, fractions: Sequence[float] = FRACTIONS
) -> np.ndarray:
    """(playlists,) int8, which of `SPLITS` each playlist is in: a seeded hash of its id.

    Args:
        ids: of the playlists.
        seed: another one draws other splits.
        fractions: of train, validation and test, in expectation; their sum is 1.

    Raises:
        SslAudioError: fractions that are none.
    """
    shares = np.asarray(fractions, dtype=np.float64)
    if shares.shape != (3,) or not (shares >= 0).all() or not np.isclose(shares.sum(), 1):
        raise SslAudioError(f"fractions={tuple(fractions)}: three, none below 0, whose sum is 1")
    key = str(seed).encode()
    hashes = b"".join(
        hashlib.blake2b(name.encode(), digest_size=8, key=key).digest() for name in ids
    )
    uniform = (np.frombuffer(hashes, "<u8") >> 11) * 2.0**-53  # [0, 1)
    ends = np.cumsum(shares) / shares.sum()
    return np.searchsorted(ends[:2], uniform, side="right").astype(np.int8)


def build_store(
    path: str | Path,
    source: str | Path,
    *,
    seed: int = 0,
    fractions: Sequence[float] = FRACTIONS,
    catalogue: Catalogue | None = None,
    unknown: str = "drop",
    duplicates: str = "first",
    root: str | Path | None = None,
) -> BuildReport:
    """Read playlists and keep them in a new store, which is there whole or not at all.

    Args:
        path: of the store; an older one is replaced.
        source, root: see `sources.read_source`.
        seed, fractions: see `splits_of`.
        catalogue: the tracks that have sound, say. All of them are the store's first tracks, with
            the same rows, whether a playlist has them or not; what it does not say of a track is
            taken from the source. None: the tracks of the source, as they first come.
        unknown: what becomes of tracks that are not in the catalogue: "drop", "keep" (they come
            after it) or "refuse".
        duplicates: of a track's mentions in one playlist, the "first" counts; or "keep" all.

    Raises:
        SslAudioError: nothing to keep, a playlist id that comes twice, a source that cannot be
            read, an unknown track that is refused, or a setting that is none.
    """
    _check("unknown", unknown, ("drop", "keep", "refuse"))
    _check("duplicates", duplicates, ("first", "keep"))
    splits_of([], seed, fractions)  # refuse bad fractions before the reading
    found = read_source(source, root)
    intake = _Intake(catalogue, unknown, duplicates == "first")
    with _writer(path, seed, fractions) as writer:
        for chunk in intake.chunks(found, writer.describe):
            writer.add(chunk)
        if not writer.report.positions:
            raise SslAudioError(f"playlists={source}: {intake.nothing()}")
        _add_numbered(writer, intake, catalogue)
        about = {"source": str(source), "duplicates": duplicates, "unknown": unknown}
        return writer.finish(about, intake.report)


def store_of(
    playlists: Playlists,
    catalogue: Catalogue,
    path: str | Path,
    seed: int = 0,
    fractions: Sequence[float] = FRACTIONS,
    source: str = "generated",
) -> BuildReport:
    """Keep playlists that are in memory, as they are: duplicates and empty ones too.

    Args:
        playlists: their tracks are rows of the catalogue.
        catalogue: all its tracks are kept.
        path, seed, fractions: as for `build_store`.
        source: where they come from, for `about`.

    Raises:
        SslAudioError: no position at all, a playlist id that comes twice, or bad fractions.
        ValueError: a track that is no row of the catalogue.
    """
    if not len(playlists.tracks):
        raise SslAudioError("no playlist with a track in it: there is nothing to keep")
    if playlists.tracks.min() < 0 or playlists.tracks.max() >= len(catalogue):
        raise ValueError(f"tracks outside of the catalogue's {len(catalogue)} rows")
    repeated = [name for name, count in Counter(playlists.ids).items() if count > 1]
    if repeated:
        raise SslAudioError(f"playlist {repeated[0]!r} comes twice: give each an id of its own")
    with _writer(path, seed, fractions) as writer:
        for start in range(0, len(playlists), PLAYLISTS):
            writer.add(playlists.take(np.arange(start, min(start + PLAYLISTS, len(playlists)))))
        writer.number(0, catalogue.ids, catalogue)
        return writer.finish({"source": source}, BuildReport())


def _check(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise SslAudioError(f"{name}={value}: one of {', '.join(known)}")


class _Intake:
    """Playlists of names on their way to numbers, and the count of what is left out."""

    def __init__(self, catalogue: Catalogue | None, unknown: str, once: bool) -> None:
        self.numbers = Numbering({} if catalogue is None else catalogue.row)
        self.known = None if catalogue is None else len(catalogue)
        self.unknown, self.once = unknown, once
        self.strangers: dict[str, None] = {}  # tracks that are left out; the first is an example
        self.seen: set[str] = set()
        self.report = BuildReport()

    def chunks(
        self, found: Iterable[Found], describe: Callable[[Sequence[SourceTrack]], None]
    ) -> Iterator[Playlists]:
        """Playlists of about `POSITIONS` positions together; tracks' details go to `describe`."""
        ids: list[str] = []
        lengths: list[int] = []
        tracks = array("i")
        details: list[SourceTrack] = []
        for one in found:
            if isinstance(one, SourceTrack):
                details.append(one)
            elif numbers := self._numbers(one):
                ids.append(one.id)
                lengths.append(len(numbers))
                tracks.extend(numbers)
            if len(details) >= NEWS:
                describe(details)
                details = []
            if len(tracks) >= POSITIONS:
                yield _chunk(ids, lengths, tracks)
                ids, lengths, tracks = [], [], array("i")
        describe(details)
        yield _chunk(ids, lengths, tracks)

    def _numbers(self, playlist: SourcePlaylist) -> list[int]:
        """Its tracks' numbers, without what is left out."""
        self._refuse_twice(playlist.id)
        unique = dict.fromkeys(playlist.tracks)
        self.report.duplicates += len(playlist.tracks) - len(unique)
        kept = list(unique) if self.once else playlist.tracks
        if self.known is not None:
            kept = self._known(playlist.id, kept)
        self.report.empty += not kept
        return list(map(self.numbers.__getitem__, kept))

    def _known(self, playlist: str, tracks: list[str]) -> list[str]:
        limit = self.known or 0
        strange = [t for t in tracks if self.numbers.get(t, limit) >= limit]
        if strange and self.unknown == "refuse":
            raise SslAudioError(
                f"playlist {playlist!r}: track {strange[0]!r} is not in the catalogue; "
                "unknown=drop leaves such tracks out, unknown=keep takes them in without sound"
            )
        self.report.unknown += len(strange)
        if not strange or self.unknown == "keep":
            return tracks
        self.strangers.update(dict.fromkeys(strange))
        return [t for t in tracks if t not in self.strangers]

    def _refuse_twice(self, playlist: str) -> None:
        if playlist in self.seen:
            raise SslAudioError(f"playlist {playlist!r} comes twice: give each an id of its own")
        self.seen.add(playlist)
        if len(self.seen) % NEWS == 0:
            say(f"{len(self.seen)} playlists read")

    def nothing(self) -> str:
        """Why no position is left."""
        if not self.strangers:
            return "no playlist with a track in it"
        ours = next(iter(self.numbers), "nothing")
        return f"no track is in the catalogue: it has {next(iter(self.strangers))!r}, not {ours!r}"


def _chunk(ids: list[str], lengths: list[int], tracks: array[int]) -> Playlists:
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
    return Playlists(np.frombuffer(tracks, np.int32), offsets, ids)


def _add_numbered(writer: _Writer, intake: _Intake, catalogue: Catalogue | None) -> None:
    """The tracks: first those of the catalogue, then those that only playlists have."""
    if catalogue is not None:
        writer.number(0, catalogue.ids, catalogue)
    known = intake.known or 0
    names = list(intake.numbers)
    writer.number(known, names[known:], None)
    if intake.known is not None:
        intake.report.unknown_tracks = len(names) - known + len(intake.strangers)


class _Writer:
    """Tables of a new store, written a chunk at a time.

    Args:
        connection: to an empty database.
        seed, fractions: of the splits.
    """

    def __init__(self, connection: Any, seed: int, fractions: Sequence[float]) -> None:
        self.connection, self.seed, self.fractions = connection, seed, fractions
        self.report = BuildReport()
        self.digests = {name: hashlib.sha256() for name in ("ids", "lengths", "positions")}
        connection.execute(_TABLES)

    def add(self, chunk: Playlists) -> None:
        """Playlists after those that are there."""
        splits = splits_of(chunk.ids, self.seed, self.fractions)
        lengths = chunk.lengths.astype(np.int32)
        first = self.report.playlists
        numbers = np.arange(first, first + len(chunk), dtype=np.int32)
        within = np.arange(len(chunk.tracks)) - np.repeat(chunk.offsets[:-1], chunk.lengths)
        tracks = np.ascontiguousarray(chunk.tracks, dtype=np.int32)
        self._insert(
            "playlists", number=numbers, id=list(chunk.ids), split=np.array(SPLITS)[splits],
            length=lengths,
        )  # fmt: skip
        self._insert(
            "positions", playlist=np.repeat(numbers, chunk.lengths),
            position=within.astype(np.int32), track=tracks,
        )  # fmt: skip
        self.digests["ids"].update(_joined(chunk.ids))
        self.digests["lengths"].update(lengths.astype("<i4").tobytes())
        self.digests["positions"].update(tracks.astype("<i4").tobytes())
        self.report.playlists += len(chunk)
        self.report.positions += len(tracks)
        for split, count in zip(SPLITS, np.bincount(splits, minlength=3).tolist(), strict=True):
            self.report.splits[split] += count

    def describe(self, tracks: Sequence[SourceTrack]) -> None:
        """What a source says of tracks, each once."""
        columns = {name: [getattr(track, name) for track in tracks] for name in ("id", *DETAILS)}
        self._insert("described", **columns)

    def number(self, first: int, ids: Sequence[str], catalogue: Catalogue | None) -> None:
        """Tracks `first`, `first` + 1, ... in order, with what a catalogue says of them."""
        for start in range(0, len(ids), NEWS):
            part = slice(start, start + NEWS)
            names = list(ids[part])
            said = {
                name: list(getattr(catalogue, f"{name}s")[part]) if catalogue else [""] * len(names)
                for name in DETAILS
            }
            numbers = np.arange(first + start, first + start + len(names), dtype=np.int32)
            self._insert("numbered", number=numbers, id=names, **said)
        self.report.tracks += len(ids)

    def finish(self, about: Mapping[str, Any], counted: BuildReport) -> BuildReport:
        """Write the tracks and what the store is; gives the report with what was counted."""
        import duckdb

        self.connection.execute(_TRACKS)
        for name in ("duplicates", "unknown", "unknown_tracks", "empty"):
            setattr(self.report, name, getattr(counted, name))
        stamp = {
            "kind": KIND, "version": VERSION, **about, "content": self._content(),
            "seed": self.seed, "fractions": [float(share) for share in self.fractions],
            "counts": asdict(self.report), "versions": {**versions(), "duckdb": duckdb.__version__},
        }  # fmt: skip
        self.connection.execute("insert into about values (?)", [json.dumps(stamp)])
        return self.report

    def _content(self) -> str:
        """sha256 of all that is kept, the splits aside, however it was cut into chunks."""
        total = hashlib.sha256()
        for digest in self.digests.values():
            total.update(digest.digest())
        for name in ("id", *DETAILS):
            total.update(hashlib.sha256(_joined(_column(self.connection, name))).digest())
        return total.hexdigest()

    def _insert(self, table: str, **columns: Any) -> None:
        import pyarrow as pa

        names = ", ".join(columns)
        self.connection.register("chunk", pa.table(columns))
        self.connection.execute(f"insert into {table} ({names}) select {names} from chunk")
        self.connection.unregister("chunk")


def _joined(names: Iterable[str]) -> bytes:
    return "".join(f"{name}\0" for name in names).encode()


def _column(connection: Any, name: str) -> list[str]:
    """A column of the tracks, in which equal texts are one object."""
    found = connection.execute(f"select {name} from tracks order by number").fetchnumpy()[name]
    texts: dict[str, str] = {}
    return [texts.setdefault(text, text) for text in found.tolist()]


@contextmanager
def _writer(path: str | Path, seed: int, fractions: Sequence[float]) -> Iterator[_Writer]:
    """Tables that become a store at the end; whatever stops the writing leaves no file."""
    duckdb = _duckdb()
    try:
        with atomic_file(path) as temporary:
            try:
                with duckdb.connect(temporary) as connection:
                    yield _Writer(connection, seed, fractions)
            finally:
                Path(f"{temporary}.wal").unlink(missing_ok=True)
    except (OSError, duckdb.IOException) as error:
        raise SslAudioError(f"cannot write {path}: {_first_line(error)}") from error


@dataclass(frozen=True)
class PlaylistStore:
    """A store that can be read; nothing stays open between two calls.

    Attributes:
        path: of its file.
        about: source, content (sha256), seed, fractions, counts and versions.
    """

    path: Path
    about: Mapping[str, Any]

    def catalogue(self) -> Catalogue:
        """Its tracks."""
        with _reading(self.path) as connection:
            columns = {f"{name}s": _column(connection, name) for name in ("id", *DETAILS)}
        return Catalogue(**columns)

    def playlists(self, split: str | None = None) -> Playlists:
        """The playlists of "train", "validation" or "test", or all, in the order of their numbers.

        Raises:
            SslAudioError: no such split.
        """
        if split is not None:
            _check("split", split, SPLITS)
        with _reading(self.path) as connection:
            query = "select id, split, length from playlists order by number"
            found = connection.execute(query).fetchnumpy()
            wanted = np.full(len(found["id"]), True) if split is None else found["split"] == split
            offsets = np.concatenate([[0], np.cumsum(found["length"][wanted], dtype=np.int64)])
            tracks = np.empty(offsets[-1], dtype=np.int32)
            filled = 0
            for start in range(0, len(wanted), PLAYLISTS):
                part = _positions(connection, start, wanted[start : start + PLAYLISTS])
                tracks[filled : filled + len(part)] = part
                filled += len(part)
        return Playlists(tracks, offsets, found["id"][wanted].tolist())


def _positions(connection: Any, first: int, wanted: np.ndarray) -> np.ndarray:
    """(positions,) int32 tracks of those of the playlists `first`, ... that a mask keeps."""
    found = connection.execute(
        "select playlist, track from positions where playlist >= ? and playlist < ? "
        "order by playlist, position",
        [first, first + len(wanted)],
    ).fetchnumpy()
    return found["track"][wanted[found["playlist"] - first]]


def open_store(path: str | Path) -> PlaylistStore:
    """A store that `build_store` or `store_of` wrote.

    Raises:
        SslAudioError: no such file, a file that is no store, or one of another version.
    """
    duckdb, path = _duckdb(), Path(path)
    if not path.is_file():
        raise SslAudioError(f"store={path}: no such file; build it from playlists first")
    try:
        with _reading(path) as connection:
            rows = connection.execute("select json from about").fetchall()
        about = json.loads(rows[0][0])
        if about["kind"] != KIND:
            raise ValueError(f"it is {about['kind']}")
    except (duckdb.Error, LookupError, TypeError, ValueError) as error:
        raise SslAudioError(f"{path} is no playlist store: {_first_line(error)}") from error
    if about["version"] != VERSION:
        raise SslAudioError(
            f"{path} is a store of version {about['version']}, and this reads {VERSION}: build it "
            f"again from {about['source']}"
        )
    return PlaylistStore(path, about)


def _reading(path: Path) -> Any:
    return _duckdb().connect(str(path), read_only=True)


def _duckdb() -> Any:
    try:
        import duckdb
    except ImportError as error:
        needed = "pip install 'ssl_audio[playlists]'"
        raise SslAudioError(f"a playlist store needs duckdb: {needed}") from error
    return duckdb


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
