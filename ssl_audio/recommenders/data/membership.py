"""Which playlists something was learnt from, as one short text that can be kept beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from ssl_audio.recommenders.data.collection import Catalogue, Playlists


def named(playlists: Playlists, catalogue: Catalogue) -> Iterator[tuple[str, list[str]]]:
    """Each playlist's id with the ids of its tracks."""
    for number, name in enumerate(playlists.ids):
        yield name, [catalogue.ids[t] for t in playlists[number].tolist()]


def membership_digest(playlists: Iterable[tuple[str, Iterable[str]]]) -> str:
    """The same for the same tracks in the same playlists, in whatever order; empty ones count not.

    Args:
        playlists: each one's id, and the ids of its tracks.
    """
    total = 0
    for name, tracks in playlists:
        members = sorted(set(tracks))
        if members:
            text = "\0".join([name, *members]).encode("utf-8", "surrogateescape")
            total += int.from_bytes(hashlib.sha256(text).digest(), "big")
    return f"{total % 2**256:064x}"
