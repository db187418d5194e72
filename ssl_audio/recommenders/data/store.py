"""The playlist store: playlists, their splits and their tracks in one DuckDB file.

Tables: `playlists` (number, id, split, length), `positions` (playlist, position, track),
`tracks` (number, id, title, artist, album, genre), `about` (one JSON text).
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ssl_audio.io.atomic import atomic_file
from ssl_audio.io.console import say
from ssl_audio.io.errors import SslAudioError, first_line, named
from ssl_audio.io.run_folder import versions
from ssl_audio.recommenders.data.collection import Catalogue, Playlists
from ssl_audio.recommenders.data.csr import offsets_of
from ssl_audio.recommenders.data.duckdb_file import (
    check_tables,
    fetch,
    import_duckdb,
    write_tables,
)
from ssl_audio.recommenders.data.pairs import first_mentions
from ssl_audio.recommenders.data.records import DETAILS, Numbering, Record, SourceTrack
from ssl_audio.recommenders.data.sources import published, read_source
from ssl_audio.recommenders.data.splits import FRACTIONS, SPLITS, splits_of
from ssl_audio.recommenders.data.statistics import PlaylistStatistics, playlist_statistics

KIND = "ssl_audio playlists"
VERSION = 1  # of the tables
SCHEMA = {
    "playlists": {"number": "INTEGER", "id": "VARCHAR", "split": "VARCHAR", "length": "INTEGER"},
    "positions": {"playlist": "INTEGER", "position": "INTEGER", "track": "INTEGER"},
    "tracks": {"number": "INTEGER", "id": "VARCHAR", **dict.fromkeys(DETAILS, "VARCHAR")},
    "about": {"json": "VARCHAR"},
}
REPORT_EVERY = 100_000  # playlists between two progress messages


@dataclass
class StoreReport:
    """Counts of a store, and of what was left out of it.

    Attributes:
        playlists, positions, tracks: in the store.
        duplicates: positions left out as their playlist had the track before.
        unknown: positions whose track is not in the catalogue.
        unknown_tracks: number of such tracks.
        empty: playlists left out as no track is left.
        splits: number of playlists in each.
        statistics: of the playlists as they were given.
        unknown_ids: positions of each track that is not in the catalogue.
    """

    playlists: int = 0
    positions: int = 0
    tracks: int = 0
    duplicates: int = 0
    unknown: int = 0
    unknown_tracks: int = 0
    empty: int = 0
    splits: dict[str, int] = field(default_factory=dict)
    statistics: PlaylistStatistics | None = None
    unknown_ids: dict[str, int] = field(default_factory=dict, repr=False)

    def counts(self) -> dict[str, Any]:
        """What a store records of itself."""
        return {k: v for k, v in asdict(self).items() if k not in ("statistics", "unknown_ids")}

    def __str__(self) -> str:
        shares = ", ".join(f"{count} {split}" for split, count in self.splits.items())
        return (
            f"{self.playlists} playlists ({shares}), {self.positions} positions, "
            f"{self.tracks} tracks; {self.duplicates} duplicates, {self.unknown} positions of "
            f"{self.unknown_tracks} unknown tracks, {self.empty} playlists empty"
        )


def build_store(
    path: str | Path,
    source: str | Path,
    *,
    seed: int = 0,
    catalogue: Catalogue | None = None,
    unknown: Literal["drop", "keep", "refuse"] = "drop",
    root: str | Path | None = None,
) -> StoreReport:
    """Write a store of the playlists of a source, atomically.

    Repeats of a track in a playlist are left out.

    Args:
        path: of the store; an existing one is replaced.
        source, root: as for `sources.read_source`.
        seed: of the splits.
        catalogue: such as the tracks with features. All of them come first in the store, in the
            same order, also those in no playlist; metadata that it lacks is taken from the
            source. None: the tracks of the source, in the order of their first mention.
        unknown: tracks outside the catalogue: "drop" them, "keep" them after it, or "refuse" them.

    Raises:
        SslAudioError: no track at all, a repeated playlist id, an unreadable source, or an unknown
            track that is refused.
    """
    known = () if catalogue is None else catalogue.ids
    records = read_source(source, root, known)
    playlists, tracks, report = _collect(records, str(source), catalogue, unknown)
    about = {"source": str(source), "unknown": unknown}
    if found := published(source):
        about |= {"citation": found[1].citation, "licence": found[1].licence}
    return _write(path, playlists, tracks, seed, report, about)


def store_playlists(
    playlists: Playlists,
    catalogue: Catalogue,
    path: str | Path,
    seed: int = 0,
) -> StoreReport:
    """Write a store of playlists in memory as they are, with repeated tracks and empty playlists.

    Args:
        playlists: rows of the catalogue, one or more, with distinct ids.
        catalogue: all its tracks are stored.
        path, seed: as for `build_store`.
    """
    return _write(path, playlists, catalogue, seed, StoreReport(), {"source": "generated"})


def _collect(
    records: Iterable[Record], source: str, catalogue: Catalogue | None, unknown: str
) -> tuple[Playlists, Catalogue, StoreReport]:
    """Playlists and catalogue of the records of a source, and counts of what was left out."""
    numbers = Numbering({} if catalogue is None else catalogue.row)
    known = len(numbers)
    described: dict[str, SourceTrack] = {}
    lengths: dict[str, int] = {}
    members = array("i")
    for record in records:
        if isinstance(record, SourceTrack):
            described.setdefault(record.id, record)
            continue
        if record.id in lengths:
            wrong = f"playlist id {record.id!r} is repeated: give each playlist its own id"
            raise SslAudioError(wrong)
        lengths[record.id] = len(record.tracks)
        members.extend(numbers[t] for t in record.tracks)
        if len(lengths) % REPORT_EVERY == 0:
            say(f"{len(lengths)} playlists read")
    if not members:
        raise SslAudioError(f"playlists={source}: no playlist with a track in it")
    tracks = np.frombuffer(members, np.int32)
    sizes = np.fromiter(lengths.values(), np.int64, len(lengths))
    playlists, names = Playlists(tracks, offsets_of(sizes), list(lengths)), list(numbers)
    report = StoreReport()
    found = _described(names, described, catalogue)
    report.statistics = playlist_statistics(playlists, found.artists)
    report.duplicates = len(tracks)
    playlists = playlists.keep(first_mentions(playlists, len(names)))
    report.duplicates -= len(playlists.tracks)
    if catalogue is not None:
        _count_unknown(playlists, names, known, report)
        if report.unknown and unknown != "keep":
            playlists, names = _without_unknown(playlists, names, known, source, unknown)
            found = _described(names, described, catalogue)
    report.empty = int((playlists.lengths == 0).sum())
    return playlists.take(playlists.lengths > 0), found, report


def _count_unknown(playlists: Playlists, names: list[str], known: int, report: StoreReport) -> None:
    others, counts = np.unique(playlists.tracks[playlists.tracks >= known], return_counts=True)
    report.unknown, report.unknown_tracks = int(counts.sum()), len(others)
    pairs = zip(others.tolist(), counts.tolist(), strict=True)
    report.unknown_ids = {names[k]: n for k, n in pairs}


def _without_unknown(
    playlists: Playlists, names: list[str], known: int, source: str, unknown: str
) -> tuple[Playlists, list[str]]:
    """The playlists and tracks of the catalogue alone.

    Raises:
        SslAudioError: nothing is left, or unknown="refuse".
    """
    others = playlists.tracks >= known
    first = int(others.argmax())
    track = names[playlists.tracks[first]]
    if unknown == "refuse":
        raise SslAudioError(
            f"playlist {playlists.ids[playlists.owners[first]]!r}: track {track!r} is not in the "
            "catalogue; unknown=drop leaves such tracks out, unknown=keep adds them"
        )
    if others.all():
        ours = names[0] if known else "nothing"
        raise SslAudioError(
            f"playlists={source}: no track is in the catalogue: it has {track!r}, not {ours!r}"
        )
    return playlists.keep(~others), names[:known]


def _described(
    ids: Iterable[str], described: Mapping[str, SourceTrack], catalogue: Catalogue | None
) -> Catalogue:
    """A catalogue of these ids, with metadata of the given one, or else of the source."""
    ids = list(ids)
    nothing = SourceTrack("")
    columns = {}
    for detail in DETAILS:
        found = [getattr(described.get(track, nothing), detail) for track in ids]
        if catalogue is not None:
            given = getattr(catalogue, f"{detail}s")
            found[: len(given)] = [a or b for a, b in zip(given, found, strict=False)]
        columns[f"{detail}s"] = found
    return Catalogue(ids, **columns)


def _write(
    path: str | Path,
    playlists: Playlists,
    catalogue: Catalogue,
    seed: int,
    report: StoreReport,
    about: Mapping[str, Any],
) -> StoreReport:
    duckdb = import_duckdb()
    splits = np.array(SPLITS)[splits_of(playlists.ids, seed)]
    report.playlists, report.positions = len(playlists), len(playlists.tracks)
    report.tracks = len(catalogue)
    if report.statistics is None:
        report.statistics = playlist_statistics(playlists, catalogue.artists)
    report.splits = {split: int((splits == split).sum()) for split in SPLITS}
    stamp = {
        "kind": KIND, "version": VERSION, **about, "statistics": asdict(report.statistics),
        "content": _content(playlists, catalogue),
        "seed": seed, "fractions": list(FRACTIONS), "counts": report.counts(),
        "versions": {**versions(), "duckdb": duckdb.__version__},
    }  # fmt: skip
    tables: dict[str, dict[str, Any]] = {
        "playlists": {
            "number": np.arange(len(playlists), dtype=np.int32), "id": list(playlists.ids),
            "split": splits, "length": playlists.lengths.astype(np.int32),
        },
        "positions": {
            "playlist": playlists.owners, "position": playlists.places.astype(np.int32),
            "track": playlists.tracks.astype(np.int32),
        },
        "tracks": {
            "number": np.arange(len(catalogue), dtype=np.int32), "id": list(catalogue.ids),
            **{detail: list(getattr(catalogue, f"{detail}s")) for detail in DETAILS},
        },
        "about": {"json": [json.dumps(stamp)]},
    }  # fmt: skip
    with named(f"cannot write {path}", duckdb.IOException), atomic_file(path) as temporary:
        try:
            write_tables(temporary, tables)
        finally:
            Path(f"{temporary}.wal").unlink(missing_ok=True)
    return report


def _content(playlists: Playlists, catalogue: Catalogue) -> str:
    """SHA-256 of all that is stored, except the splits."""
    columns = (catalogue.ids, *(getattr(catalogue, f"{detail}s") for detail in DETAILS))
    numbers = (column.astype("<i4").tobytes() for column in (playlists.lengths, playlists.tracks))
    parts = (_joined(playlists.ids), *numbers, *map(_joined, columns))
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def _joined(names: Sequence[str]) -> bytes:
    return "".join(f"{name}\0" for name in names).encode()


@dataclass(frozen=True)
class PlaylistStore:
    """A store for reading; no connection stays open between calls.

    Attributes:
        path: of its file.
        about: source, content (SHA-256), seed, fractions, counts and versions.
    """

    path: Path
    about: Mapping[str, Any]

    @property
    def seed(self) -> int:
        """Of its splits."""
        return int(self.about["seed"])

    @property
    def left_out(self) -> int:
        """Positions of unknown tracks that were left out when it was built."""
        dropped = self.about.get("unknown") == "drop"
        return int(self.about["counts"].get("unknown", 0)) if dropped else 0

    def catalogue(self) -> Catalogue:
        """Its tracks; equal texts are one object.

        Raises:
            SslAudioError: tracks that are not numbered 0, 1, ..., or a repeated id.
        """
        columns_of = ", ".join(["number", "id", *DETAILS])
        query = f"select {columns_of} from tracks order by 1"  # noqa: S608 - names of our own
        found = fetch(self.path, query)
        numbers = found.pop("number")
        texts: dict[str, str] = {}
        columns = {
            f"{name}s": [texts.setdefault(text, text) for text in column.tolist()]
            for name, column in found.items()
        }
        self._check(np.array_equal(numbers, np.arange(len(numbers))), "numbers of tracks")
        self._check(len(set(columns["ids"])) == len(numbers), "a repeated track")
        return Catalogue(**columns)

    def playlists(self, split: str | None = None) -> Playlists:
        """The playlists of "train", "validation" or "test", or all, in the order of their numbers.

        Raises:
            SslAudioError: lengths or tracks that cannot be.
        """
        chosen = "" if split is None else f"where split = '{split}'"  # one of SPLITS
        query = f"select id, length from playlists {chosen} order by number"  # noqa: S608 - as above
        found = fetch(self.path, query)
        joined = f"positions join playlists on playlist = number {chosen}"
        query = f"select track from {joined} order by playlist, position"  # noqa: S608 - as above
        tracks = fetch(self.path, query)["track"]
        lengths, count = found["length"], fetch(self.path, "select count(*) as n from tracks")["n"]
        self._check((lengths >= 0).all() and lengths.sum() == len(tracks), "lengths of playlists")
        self._check(((tracks >= 0) & (tracks < count)).all(), "positions without a track")
        return Playlists(tracks, offsets_of(lengths), found["id"].tolist())

    def _check(self, holds: bool | np.bool_, wrong: str) -> None:
        if not holds:
            raise SslAudioError(f"{self.path} is damaged ({wrong}): build it again")


def open_store(path: str | Path) -> PlaylistStore:
    """Open a store that `build_store` or `store_playlists` wrote, or that claims so.

    Raises:
        SslAudioError: no such file, another file, anything but the expected tables, or a store of
            another version.
    """
    path = Path(path)
    if not path.is_file():
        raise SslAudioError(f"store={path}: no such file; build it from playlists first")
    check_tables(path, SCHEMA)
    try:
        about = json.loads(fetch(path, "select json from about")["json"][0])
        kind, version, counts = about["kind"], about["version"], about["counts"]
        _ = str(about["content"]), int(about["seed"]), int(counts.get("unknown", 0))
        if kind != KIND:
            raise ValueError(f"it is {kind}")
    except (LookupError, AttributeError, TypeError, ValueError, RecursionError) as error:
        raise SslAudioError(f"{path} is no playlist store: {first_line(error)}") from error
    if version != VERSION:
        raise SslAudioError(
            f"{path} is a store of version {version}, this program reads version {VERSION}: build "
            f"it again from {about.get('source')}"
        )
    return PlaylistStore(path, about)
