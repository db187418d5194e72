"""Node features of tracks: MUSIG, Table 1.

Four groups: genre (one-hot, the 50 most frequent), popularity (2 values), audio (42 descriptors)
and acoustic (8 features). The features of a model are some of the groups, scaled to 0 to 1 and
concatenated. The scaler is saved with the model, so that new tracks need no refitting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Catalogue, codes_of
from ssl_audio.stores.feature_store import read_aligned

GENRE, POPULARITY, AUDIO, ACOUSTIC = "genre", "popularity", "audio", "acoustic"
NAMES = (GENRE, POPULARITY, AUDIO, ACOUSTIC)
WIDTHS = {POPULARITY: 2, AUDIO: 42, ACOUSTIC: 8}  # of the groups that come from feature stores
MAX_GENRES = 50


@dataclass(frozen=True)
class FeatureGroup:
    """One group of features of the tracks of a catalogue, unscaled.

    Attributes:
        name: one of `NAMES`.
        values: (tracks, d) float32; 0 where not present.
        present: (tracks,) bool, True where a track has these features.
        ids: (tracks,) for messages.
    """

    name: str
    values: np.ndarray
    present: np.ndarray
    ids: Sequence[str]


def top_genres(catalogue: Catalogue) -> list[str]:
    """The most frequent genres, at most 50, by falling frequency and then by name."""
    codes, names = codes_of(catalogue.genres)
    counts = np.bincount(codes[codes >= 0], minlength=len(names))
    return [names[k] for k in np.argsort(-counts, kind="stable")[:MAX_GENRES]]


def genre_group(catalogue: Catalogue, vocabulary: Sequence[str]) -> FeatureGroup:
    """One-hot genres; all 0 for a genre outside the vocabulary.

    Args:
        catalogue: tracks without a genre ("") are not present.
        vocabulary: genres of the columns: `top_genres` of the training catalogue.
    """
    column = {genre: k for k, genre in enumerate(vocabulary)}
    columns = np.array([column.get(genre, -1) for genre in catalogue.genres], np.int64)
    values = np.zeros((len(catalogue), len(vocabulary)), np.float32)
    rows = np.flatnonzero(columns >= 0)
    values[rows, columns[rows]] = 1.0
    present = np.array([bool(genre) for genre in catalogue.genres], bool)
    return FeatureGroup(GENRE, values, present, catalogue.ids)


def popularity_group(catalogue: Catalogue, counts: np.ndarray) -> FeatureGroup:
    """log(1 + n) of the number of training playlists n that hold each track.

    A track in no playlist is present with 0. The column is repeated, since popularity from a
    feature store has two columns: global and regional.
    """
    column = np.log1p(counts.astype(np.float64)).astype(np.float32)
    values = np.stack([column, column], axis=1)
    return FeatureGroup(POPULARITY, values, np.ones(len(values), bool), catalogue.ids)


def read_group(path: str | Path, name: str, catalogue: Catalogue) -> FeatureGroup:
    """The features of a catalogue's tracks from a feature store: a group of `WIDTHS`, or any other.

    Raises:
        SslAudioError: a store that cannot be read or has vectors of another length, or no track in
            common.
    """
    values, present = read_aligned(path, catalogue.ids)
    if values.shape[1] != WIDTHS.get(name, values.shape[1]):
        raise SslAudioError(
            f"{path} has vectors of {values.shape[1]}: features={name} needs {WIDTHS[name]}"
        )
    return FeatureGroup(name, values, present, catalogue.ids)


def refuse_missing(groups: Sequence[FeatureGroup]) -> None:
    """Raise `SslAudioError` if a track lacks one of the groups; the message names the first."""
    for group in groups:
        absent = np.flatnonzero(~group.present)
        if len(absent):
            first = ", ".join(group.ids[k] for k in absent[:3])
            more = ", ..." if len(absent) > 3 else ""
            raise SslAudioError(
                f"{len(absent)} tracks have no {group.name} features ({first}{more}): export them, "
                "or give them the mean with missing=impute"
            )


@dataclass(frozen=True)
class GroupScale:
    """Scaling of one group to 0 to 1; all (d,) float32.

    Attributes:
        low, high: these values become 0 and 1; values outside are clipped. A column whose training
            values lie within 0 and 1 is not scaled: `low` is 0 and `high` 1.
        mean: mean of the scaled training values, imputed where a track has no features.
    """

    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray

    @classmethod
    def fit(cls, values: np.ndarray) -> GroupScale:
        """The scale of training values (tracks, d)."""
        low, high = values.min(0), values.max(0)
        outside = (low < 0) | (high > 1)
        low = np.where(outside, low, 0).astype(np.float32)
        high = np.where(outside, high, 1).astype(np.float32)
        mean = _to_unit(values, low, high).mean(0, dtype=np.float64)
        return cls(low, high, mean.astype(np.float32))

    def apply(self, group: FeatureGroup) -> np.ndarray:
        """(tracks, d) float32, 0 to 1, with the mean where a track is not present."""
        values = _to_unit(group.values, self.low, self.high)
        values[~group.present] = self.mean
        return values


def _to_unit(values: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """A scaled copy; a column that is constant in training becomes 0 there."""
    span = np.where(high > low, high - low, 1.0).astype(np.float32)
    return np.clip((values - low) / span, 0.0, 1.0)


@dataclass(frozen=True)
class Scaler:
    """Scales of feature groups, by name."""

    scales: Mapping[str, GroupScale]

    @classmethod
    def fit(cls, groups: Sequence[FeatureGroup], training: np.ndarray) -> Scaler:
        """Fit the scales on the tracks of a mask (tracks,) that have each group.

        Raises:
            SslAudioError: no training track has a group.
        """
        scales = {}
        for group in groups:
            chosen = group.present & training
            if not chosen.any():
                text = f"features={group.name}: no training track has them; leave it out"
                raise SslAudioError(text)
            scales[group.name] = GroupScale.fit(group.values[chosen])
        return cls(scales)

    def matrix(self, groups: Sequence[FeatureGroup]) -> np.ndarray:
        """(tracks, sum of d) float32: scaled groups, concatenated.

        Raises:
            SslAudioError: a group that this was not fitted on, or with other columns.
        """
        for group in groups:
            if group.name not in self.scales:
                raise SslAudioError(f"features={group.name}: the model was trained without them")
            expected, found = len(self.scales[group.name].low), group.values.shape[1]
            if found != expected:
                raise SslAudioError(
                    f"features={group.name}: {found} columns, the model was trained with {expected}"
                )
        return np.concatenate([self.scales[g.name].apply(g) for g in groups], axis=1)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Arrays by name ("audio.low" etc.), to be saved with a model."""
        return {
            f"{name}.{part}": array
            for name, scale in self.scales.items()
            for part, array in vars(scale).items()
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Scaler:
        """The scaler that `to_arrays` was called on.

        Raises:
            SslAudioError: unknown or missing parts.
        """
        parts: dict[str, dict[str, np.ndarray]] = {}
        for key, array in arrays.items():
            name, _, part = key.rpartition(".")
            parts.setdefault(name, {})[part] = np.asarray(array, np.float32)
        try:
            return cls({name: GroupScale(**arrays) for name, arrays in parts.items()})
        except TypeError as error:
            raise SslAudioError("the scaler of the features is damaged: train again") from error
