"""A digest of playlists, kept with features that were trained on them."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ssl_audio.io.console import say
from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Catalogue, Playlists
from ssl_audio.recommenders.data.records import SourcePlaylist
from ssl_audio.recommenders.data.sources import read_source
from ssl_audio.recommenders.data.store import open_store
from ssl_audio.recommenders.data.track_ids import unknown_lines


def named(playlists: Playlists, catalogue: Catalogue) -> Iterator[tuple[str, list[str]]]:
    """Each playlist's id and the ids of its tracks."""
    for number, name in enumerate(playlists.ids):
        yield name, [catalogue.ids[t] for t in playlists[number].tolist()]


def read_memberships(path: Path, known: Sequence[str]) -> tuple[dict[str, list[str]], int]:
    """The tracks of each playlist of a source (`read_source`); of a store, its training playlists.

    Tracks that are not known are listed.

    Args:
        path: of the source or store.
        known: ids of the features, which entries of M3U files are matched to.

    Returns:
        The tracks by playlist, and the number of positions whose track is not known.

    Raises:
        SslAudioError: an unreadable source, or no track in it.
    """
    if path.suffix == ".duckdb":
        store = open_store(path)
        found = dict(named(store.playlists("train"), store.catalogue()))
    else:
        records = read_source(path, known=known)
        found = {one.id: one.tracks for one in records if isinstance(one, SourcePlaylist)}
        if not any(found.values()):
            raise SslAudioError(f"playlists={path}: no track in it")
    ids = set(known)
    unknown = Counter(track for tracks in found.values() for track in tracks if track not in ids)
    for line in unknown_lines(unknown, known):
        say(line)
    return found, unknown.total()


def membership_digest(playlists: Iterable[tuple[str, Iterable[str]]]) -> str:
    """SHA-256 digest of the sets of tracks of all playlists.

    It does not depend on any order; playlists without tracks do not count.

    Args:
        playlists: pairs of a playlist's id and the ids of its tracks.
    """
    total = 0
    for name, tracks in playlists:
        members = sorted(set(tracks))
        if members:
            text = "\0".join([name, *members]).encode("utf-8", "surrogateescape")
            total += int.from_bytes(hashlib.sha256(text).digest(), "big")
    return f"{total % 2**256:064x}"
