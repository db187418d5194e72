"""Random splits for data sets without published ones."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace

from ssl_audio.datasets.dataset import LabelledTrack, Listed, splits_of
from ssl_audio.io.errors import SslAudioError

CUMULATIVE_FRACTIONS = (("train", 0.7), ("validation", 0.8), ("test", 1.0))


def listed(tracks: Sequence[LabelledTrack], seed: int, notes: tuple[str, ...] = ()) -> Listed:
    """Tracks by split; those without a split are assigned at random.

    70, 10 and 20 % are train, validation and test, by a hash of the seed and of a track's id:
    adding tracks does not move others to another split.

    Raises:
        SslAudioError: an empty split.
    """
    tags = tuple(sorted({tag for track in tracks for tag in track.tags}))
    given = [replace(t, split=t.split or _random_split(t.id, seed)) for t in tracks]
    splits = splits_of(given, tags)
    for name, split in splits.items():
        if not split.ids:
            raise SslAudioError(f"the {name} split is empty: {len(tracks)} tracks are too few")
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
