"""Random splits for data sets without published ones."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ssl_audio.datasets.dataset import SPLITS, Listed, Split, multi_hot
from ssl_audio.io.errors import SslAudioError

CUMULATIVE_FRACTIONS = (("train", 0.7), ("validation", 0.8), ("test", 1.0))


@dataclass(frozen=True)
class LabelledTrack:
    """A track with its tags, and its split or None; artist and group are "" where unknown."""

    id: str
    path: Path
    tags: frozenset[str]
    split: str | None = None
    artist: str = ""
    group: str = ""


def listed(tracks: Sequence[LabelledTrack], seed: int, notes: tuple[str, ...] = ()) -> Listed:
    """Tracks by split; those without a split are assigned at random.

    70, 10 and 20 % are train, validation and test, by a hash of the seed and of a track's id:
    adding tracks does not move others to another split.

    Raises:
        SslAudioError: an empty split.
    """
    tags = tuple(sorted({tag for track in tracks for tag in track.tags}))
    members: dict[str, list[LabelledTrack]] = {name: [] for name in SPLITS}
    for track in tracks:
        members[track.split or _random_split(track.id, seed)].append(track)
    for split, own in members.items():
        if not own:
            raise SslAudioError(f"the {split} split is empty: {len(tracks)} tracks are too few")
    splits = {
        split: Split(
            tuple(track.id for track in own),
            tuple(track.path for track in own),
            multi_hot([track.tags for track in own], tags),
            tuple(track.artist for track in own),
            tuple(track.group for track in own),
        )
        for split, own in members.items()
    }
    if any(track.split is None for track in tracks):
        notes = (f"split at random, 70/10/20 %, seed {seed}", *notes)
    return Listed(tags, splits, notes=notes)


def _random_split(track: str, seed: int) -> str:
    share = hashed_share(track, seed)
    return next(split for split, end in CUMULATIVE_FRACTIONS if share < end)


def hashed_share(track: str, seed: int) -> float:
    """A number from 0 to 1, uniform over tracks: a function of the track's id and the seed."""
    digest = hashlib.sha256(os.fsencode(f"{seed}:{track}")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
