"""Playlists of a table with a row a position."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from ssl_audio.recommenders.data.csr import places_of, row_offsets, run_starts
from ssl_audio.recommenders.data.records import DETAILS, Record, SourcePlaylist, SourceTrack


def grouped(table: pa.Table, idle: float | None = None) -> Iterator[Record]:
    """Metadata of tracks, then playlists in the order of their first rows.

    Args:
        table: columns playlist and track: text without empty cells; optionally position, numbers
            by which the rows of a playlist are sorted (stable; without it they keep their order);
            optionally title, artist, album and genre, of which a track's first row counts.
        idle: `playlist` is a user and `position` a time in seconds: a gap of this length or more
            begins a new playlist, named USER:0, USER:1, ...
    """
    owner, owners = _codes(table["playlist"])
    track, tracks = _codes(table["track"])
    yield from _described(table, track, tracks)
    if "position" in table.column_names:
        position = table["position"].to_numpy()
        order = np.lexsort((position, owner))
    else:
        order = np.argsort(owner, kind="stable")
    owner = owner[order]
    starts = run_starts(owner)
    if idle is not None:
        starts |= np.diff(position[order], prepend=position[order][:1]) >= idle
    offsets = row_offsets(starts)
    names = [owners[k] for k in owner[offsets[:-1]].tolist()]
    if idle is not None:
        names = numbered(names)
    members = np.array(tracks, dtype=object)[track[order]]
    for name, start, end in zip(names, offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        yield SourcePlaylist(name, members[start:end].tolist())


def numbered(owners: list[Any]) -> list[str]:
    """ "a:0", "a:1", "b:0", ... for the sessions of owners a, a, b, ..., which are adjacent."""
    places = places_of(row_offsets(run_starts(np.array(owners, dtype=object))))
    return [f"{owner}:{place}" for owner, place in zip(owners, places.tolist(), strict=True)]


def _codes(column: pa.ChunkedArray) -> tuple[np.ndarray, list[str]]:
    """(rows,) the number of each text, and the texts, in the order of their first rows."""
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    array = encoded.unify_dictionaries().combine_chunks()
    return array.indices.to_numpy(), array.dictionary.to_pylist()


def _described(table: pa.Table, track: np.ndarray, tracks: list[str]) -> Iterator[SourceTrack]:
    details = [name for name in DETAILS if name in table.column_names]
    if not details:
        return
    first = np.unique(track, return_index=True)[1]
    columns = [table[name].take(first).to_pylist() for name in details]
    for values in zip(tracks, *columns, strict=True):
        yield SourceTrack(values[0], **dict(zip(details, values[1:], strict=True)))
