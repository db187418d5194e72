"""Tracks held out of training: the same ones in every run and on every machine."""

import hashlib
import os
from collections.abc import Sequence
from typing import Literal

from ssl_audio.audio.scan import Track

By = Literal["track", "group"]


def split_tracks(
    tracks: Sequence[Track], share: float, by: By = "track"
) -> tuple[list[Track], list[Track]]:
    """Those to train on, in the order given, and those held out, in an order of their own.

    A track is held out by a hash of its name, whatever the other tracks, the seed or the machine: a
    smaller share is a part of a larger one, and so is the share of fewer tracks. The order of those
    held out is that of their hashes too.

    Args:
        share: expected share of the tracks or groups that is held out, 0 to 1.
        by: "track": its name and folder, without the folders above it and without the suffix;
            "group": the last folder of its group, or its name, for all tracks of a group at once.
    """
    name = _group if by == "group" else _name
    places = [_place(name(track)) for track in tracks]
    training = [track for track, place in zip(tracks, places, strict=True) if place >= share]
    found = [k for k, place in enumerate(places) if place < share]
    order = sorted(found, key=lambda k: (places[k], _name(tracks[k]), tracks[k].path))
    return training, [tracks[k] for k in order]


def _name(track: Track) -> str:
    folder, file = os.path.split(track.origin or track.path)
    return f"{os.path.basename(folder)}/{os.path.splitext(file)[0]}"


def _group(track: Track) -> str:
    return os.path.basename(track.group.rstrip("/" + os.sep)) or track.group


def _place(name: str) -> float:
    """A number in [0, 1) by a hash."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
