"""Data sets whose tracks have exactly one tag: their listing, and partial credits."""

from collections.abc import Mapping, Sequence

import numpy as np

from ssl_audio.audio.task_corpus import TASKS
from ssl_audio.datasets.dataset import Classes, LabelledTrack, Listed, splits_of
from ssl_audio.io.errors import SslAudioError

FLATS = {"Db": "C#", "Eb": "D#", "Gb": "F#", "Ab": "G#", "Bb": "A#", "Cb": "B", "Fb": "E"}
KEYS = TASKS["key"].classes  # 12 major ones from C on, then the minor ones
TEMPO_TOLERANCE = 0.04  # of the true tempo
TEMPO_FACTORS = (1.0, 2.0, 3.0, 1 / 2, 1 / 3)  # accuracy 2 accepts these octaves of the true tempo


def classified(
    tracks: Sequence[LabelledTrack],
    tags: Sequence[str],
    credits: Mapping[str, np.ndarray] | None = None,
    published_sizes: Mapping[str, int] | None = None,
    notes: tuple[str, ...] = (),
) -> Listed:
    """Tracks by split, in their order.

    Args:
        tracks: each with a split, and one label among the tags.
        tags: all classes.
        credits: as in `Classes`.
        published_sizes: tracks by split.
        notes: what limits results.

    Raises:
        SslAudioError: a label that is none of the tags.
    """
    known = set(tags)
    for track in tracks:
        (label,) = track.tags
        if label not in known:
            raise SslAudioError(f"{track.id}: {label!r} is none of {', '.join(tags)}")
    splits = splits_of(tracks, tags)
    return Listed(tuple(tags), splits, published_sizes or {}, notes, Classes(credits or {}))


def fold_split(fold: int, test: int, folds: int) -> str:
    """The split of a fold, from 1: the fold after the test fold validates, the others train."""
    validation = test % folds + 1
    return "test" if fold == test else "validation" if fold == validation else "train"


def key_name(text: str) -> str:
    """One of `KEYS` from `Bb minor`, `A# minor` or `a# Minor`; other texts are no key."""
    note, _, mode = text.strip().partition(" ")
    note = note[:1].upper() + note[1:]
    return f"{FLATS.get(note, note)} {mode.strip().lower()}".strip()


def key_credits() -> dict[str, np.ndarray]:
    """The weighted score of MIREX's evaluation of keys: (24, 24) by columns of `KEYS`.

    1 for the key, 0.5 for the key of the same mode a perfect fifth above it, 0.3 for the relative
    and 0.2 for the parallel key (Raffel et al. 2014, "mir_eval").
    """
    points = np.eye(24)
    for tonic in range(12):
        major, minor = tonic, 12 + tonic
        points[major, (tonic + 7) % 12] = points[minor, 12 + (tonic + 7) % 12] = 0.5
        points[major, 12 + (tonic + 9) % 12] = points[minor, (tonic + 3) % 12] = 0.3
        points[major, minor] = points[minor, major] = 0.2
    return {"MIREX score": points}


def tempo_credits(tempi: Sequence[float]) -> dict[str, np.ndarray]:
    """Accuracy 1 and 2 of tempi in beats per minute: (classes, classes).

    Within 4 % of the true tempo, and within 4 % of it or of 2, 3, 1/2 or 1/3 times it (Gouyon et
    al. 2006, "An experimental comparison of audio tempo induction algorithms").
    """
    true, estimated = np.array(tempi)[:, None], np.array(tempi)
    near = [abs(estimated - f * true) <= TEMPO_TOLERANCE * f * true for f in TEMPO_FACTORS]
    return {
        "tempo accuracy 1": near[0].astype(float),
        "tempo accuracy 2": np.any(near, axis=0).astype(float),
    }
