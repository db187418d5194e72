"""A digest of playlists, kept with features that were trained on them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from ssl_audio.recommenders.data.collection import Catalogue, Playlists


def named(playlists: Playlists, catalogue: Catalogue) -> Iterator[tuple[str, list[str]]]:
    """Each playlist's id and the ids of its tracks."""
    for number, name in enumerate(playlists.ids):
        yield name, [catalogue.ids[t] for t in playlists[number].tolist()]


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
