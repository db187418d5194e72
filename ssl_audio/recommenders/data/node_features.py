"""What is known of each track but its playlists: MUSIG, Table 1.

Four groups of numbers from 0 to 1: genre (one-hot, the 50 most frequent), popularity (2), audio (42
descriptors) and acoustic (8). Any of them, side by side, are the node features of a model. How they
were scaled, and what stands in where a track has none, is kept with the model, so that a new track
gets its features without any refitting.
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
STORED = {POPULARITY: 2, AUDIO: 42, ACOUSTIC: 8}  # dimensions of what feature stores hold
MOST_GENRES = 50
MISSING = ("impute", "refuse")
_PARTS = ("low", "high", "mean")


@dataclass(frozen=True)
class FeatureGroup:
    """One group of features of a catalogue's tracks, as its source has them.

    Attributes:
        name: one of `NAMES`.
        values: (tracks, d) float32, 0 to 1 or else scaled by `join`; 0 where not present.
        present: (tracks,) bool.
        ids: (tracks,) names for messages, or none: then they have row numbers.
    """

    name: str
    values: np.ndarray
    present: np.ndarray
    ids: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise SslAudioError(f"features={self.name}: {', '.join(NAMES)}")
        tracks = len(self.values)
        if self.values.ndim != 2 or {len(self.present), len(self.ids) or tracks} != {tracks}:
            raise ValueError(
                f"{self.name}: values {self.values.shape}, present {self.present.shape}, "
                f"{len(self.ids)} ids"
            )


# --- the groups ----------------------------------------------------------------------------------


def top_genres(
    catalogue: Catalogue, most: int = MOST_GENRES, weights: np.ndarray | None = None
) -> list[str]:
    """The most frequent genres, the most frequent first; equally frequent ones by name.

    Args:
        catalogue: a track without genre ("") counts for none.
        most: genres.
        weights: (tracks,) how often each track counts, such as in how many training playlists it
            is; None: once. Genres that never count are left out.

    Raises:
        SslAudioError: no track has a genre.
    """
    codes, names = codes_of(catalogue.genres)
    known = codes >= 0
    counted = None if weights is None else weights[known]
    totals = np.bincount(codes[known], counted, minlength=len(names))
    order = np.argsort(-totals, kind="stable")[:most]
    found = [names[k] for k in order if totals[k] > 0]
    if not found:
        raise SslAudioError("features=genre: no track has a genre; leave the group out")
    return found


def genre_group(
    catalogue: Catalogue, most: int = MOST_GENRES, vocabulary: Sequence[str] | None = None
) -> FeatureGroup:
    """One-hot genres; all 0 for a genre that is not among them.

    Args:
        catalogue: of any tracks; one without genre ("") is not present.
        most: genres, where there is no vocabulary.
        vocabulary: of `top_genres`, as the model was trained with; None: the catalogue's own.

    Raises:
        SslAudioError: no vocabulary and no genre.
    """
    known = list(vocabulary) if vocabulary is not None else top_genres(catalogue, most)
    column = {genre: k for k, genre in enumerate(known)}
    columns = np.array([column.get(genre, -1) for genre in catalogue.genres], np.int64)
    values = np.zeros((len(catalogue), len(known)), np.float32)
    rows = np.flatnonzero(columns >= 0)
    values[rows, columns[rows]] = 1.0
    present = np.array([bool(genre) for genre in catalogue.genres], bool)
    return FeatureGroup(GENRE, values, present, catalogue.ids)


def popularity_group(counts: np.ndarray, regional: np.ndarray | None = None) -> FeatureGroup:
    """Log counts, log(1 + n), everywhere and in a region; `join` scales them to 0 to 1.

    A track in no playlist is present, with 0: that it is new is known.

    Args:
        counts: (tracks,) training playlists that each track is in. Those of validation and test
            would tell the model what it is asked for.
        regional: (tracks,) the same, of the playlists of one region or other group. Without one
            the global counts take its place, so that there are two columns whatever is known.

    Raises:
        ValueError: counts below 0.
    """
    columns = np.stack([counts, counts if regional is None else regional], axis=1)
    if (columns < 0).any():
        raise ValueError("counts below 0")
    values = np.log1p(columns.astype(np.float64)).astype(np.float32)
    return FeatureGroup(POPULARITY, values, np.ones(len(values), bool))


def read_group(path: str | Path, name: str, catalogue: Catalogue) -> FeatureGroup:
    """The catalogue's tracks from a feature store, a row group in memory at a time.

    Rows of other tracks are passed over. A row with a value that is not finite counts as absent.

    Args:
        path: a feature store.
        name: "popularity", "audio" or "acoustic".
        catalogue: whose ids the store's are.

    Raises:
        SslAudioError: another name, a store that cannot be read or has vectors of another length,
            or no track in common.
    """
    if name not in STORED:
        raise SslAudioError(f"features={name} is in no store: {', '.join(STORED)} are")
    values, present = read_aligned(path, catalogue.ids)
    if values.shape[1] != STORED[name]:
        raise SslAudioError(
            f"{path} has vectors of {values.shape[1]}: features={name} wants {STORED[name]}"
        )
    return FeatureGroup(name, values, present, catalogue.ids)


def read_embeddings(path: str | Path, catalogue: Catalogue) -> tuple[np.ndarray, np.ndarray]:
    """The catalogue's audio embeddings from a feature store, as they are.

    Args:
        path, catalogue: as for `read_group`.

    Returns:
        (tracks, d) float32, 0 where there is none, and (tracks,) bool where there is one.

    Raises:
        SslAudioError: as `read_group`.
    """
    return read_aligned(path, catalogue.ids)


# --- side by side --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scaler:
    """How groups are scaled, fitted once on training tracks.

    A column whose training values lie within 0 and 1 stays as it is: `low` 0 and `high` 1.

    Attributes:
        low, high: (d,) float32 by group: what becomes 0 and 1; what lies outside is clipped.
        mean: (d,) float32 by group, after scaling: what a track without features gets.
    """

    low: Mapping[str, np.ndarray]
    high: Mapping[str, np.ndarray]
    mean: Mapping[str, np.ndarray]

    def scaled(self, group: FeatureGroup) -> np.ndarray:
        """(tracks, d) float32, 0 to 1, with means where a track is not present.

        Raises:
            SslAudioError: a group that this was not fitted on, or with other columns.
        """
        if group.name not in self.low:
            raise SslAudioError(f"features={group.name}: the model was trained without this group")
        low, high, mean = (getattr(self, part)[group.name] for part in _PARTS)
        if group.values.shape[1] != len(low):
            raise SslAudioError(
                f"features={group.name}: {group.values.shape[1]} columns, the model was trained "
                f"with {len(low)}"
            )
        values = _to_unit(group.values, low, high)
        values[~group.present] = mean
        return values

    def to_arrays(self) -> dict[str, np.ndarray]:
        """As arrays by name, `audio.low` and so on, to be saved with a model."""
        return {f"{name}.{part}": getattr(self, part)[name] for name in self.low for part in _PARTS}

    @staticmethod
    def from_arrays(arrays: Mapping[str, np.ndarray]) -> Scaler:
        """What `to_arrays` gave.

        Raises:
            SslAudioError: parts are missing, or are not of one length.
        """
        parts: dict[str, dict[str, np.ndarray]] = {part: {} for part in _PARTS}
        for key, array in arrays.items():
            name, _, part = key.rpartition(".")
            if name not in NAMES or part not in parts:
                raise SslAudioError(f"the features' scaler has {key}, which is none of its parts")
            parts[part][name] = np.asarray(array, np.float32)
        shapes = [{name: a.shape for name, a in parts[part].items()} for part in _PARTS]
        if not shapes[0] == shapes[1] == shapes[2]:
            raise SslAudioError("the features' scaler is not whole: save the model anew")
        return Scaler(**parts)


def fit_scaler(groups: Sequence[FeatureGroup], fit: np.ndarray | None = None) -> Scaler:
    """Least and greatest values and means over the training tracks that have each group.

    Args:
        groups: each at most once.
        fit: (tracks,) bool, the training tracks; None: all.

    Raises:
        SslAudioError: no training track has a group.
    """
    low, high, mean = {}, {}, {}
    for group in groups:
        chosen = group.present if fit is None else group.present & fit
        if not chosen.any():
            raise SslAudioError(f"features={group.name}: no training track has them; leave it out")
        values = group.values[chosen]
        least, most = values.min(0), values.max(0)
        outside = (least < 0) | (most > 1)
        low[group.name] = np.where(outside, least, 0).astype(np.float32)
        high[group.name] = np.where(outside, most, 1).astype(np.float32)
        unit = _to_unit(values, low[group.name], high[group.name])
        mean[group.name] = unit.mean(0, dtype=np.float64).astype(np.float32)
    return Scaler(low, high, mean)


def _to_unit(values: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """A copy, 0 to 1; a column that is constant in training is 0 there."""
    span = np.where(high > low, high - low, 1.0).astype(np.float32)
    return np.clip((values - low) / span, 0.0, 1.0)


@dataclass(frozen=True)
class JoinReport:
    """What became of the groups.

    Attributes:
        columns: where each group lies in the matrix, in order.
        imputed: tracks, by group, that got the mean.
        scaler: how they were scaled.
    """

    columns: Mapping[str, slice]
    imputed: Mapping[str, int]
    scaler: Scaler


def join(
    groups: Sequence[FeatureGroup],
    names: Sequence[str],
    missing: str = "impute",
    fit: np.ndarray | None = None,
    scaler: Scaler | None = None,
) -> tuple[np.ndarray, JoinReport]:
    """Some of the groups, side by side.

    Args:
        groups: of the same tracks.
        names: which of them, in the order of the columns: any subset.
        missing: "impute" gives tracks without a group the mean of the training tracks that have
            it, and counts them; "refuse" ends with their names.
        fit: (tracks,) bool, the training tracks, which scale and mean are taken from; None: all.
        scaler: of an earlier join, for new tracks; nothing is fitted then.

    Returns:
        (tracks, sum of d) float32, 0 to 1, and what became of them.

    Raises:
        SslAudioError: a group that is not there or not known, or tracks that are refused.
        ValueError: groups of different tracks, or both a mask and a scaler.
    """
    if fit is not None and scaler is not None:
        raise ValueError("a scaler is fitted already: give fit or scaler")
    wanted = _chosen(groups, names)
    _check_missing(wanted, missing)
    scaler = scaler or fit_scaler(wanted, fit)
    matrix = np.concatenate([scaler.scaled(group) for group in wanted], axis=1)
    ends = np.cumsum([0, *(group.values.shape[1] for group in wanted)])
    columns = {
        group.name: slice(int(start), int(end))
        for group, start, end in zip(wanted, ends[:-1], ends[1:], strict=True)
    }
    imputed = {group.name: int((~group.present).sum()) for group in wanted}
    return matrix, JoinReport(columns, imputed, scaler)


def _chosen(groups: Sequence[FeatureGroup], names: Sequence[str]) -> list[FeatureGroup]:
    by_name = {group.name: group for group in groups}
    if not names or len(set(names)) != len(names):
        raise SslAudioError(f"features=[{', '.join(names)}]: one or more groups, each once")
    for name in names:
        if name not in NAMES:
            raise SslAudioError(f"features={name}: {', '.join(NAMES)}")
        if name not in by_name:
            raise SslAudioError(f"features={name} was not given: {', '.join(by_name)} can be used")
    wanted = [by_name[name] for name in names]
    if len({len(group.values) for group in wanted}) != 1:
        raise ValueError(f"groups of {[len(group.values) for group in wanted]} tracks")
    return wanted


def _check_missing(groups: Sequence[FeatureGroup], missing: str) -> None:
    if missing not in MISSING:
        raise SslAudioError(f"missing={missing}: {' or '.join(MISSING)}")
    for group in groups:
        absent = np.flatnonzero(~group.present)
        if missing == "refuse" and len(absent):
            names = group.ids or range(len(group.values))
            first = ", ".join(str(names[k]) for k in absent[:3])
            more = ", ..." if len(absent) > 3 else ""
            raise SslAudioError(
                f"{len(absent)} tracks have no {group.name} features ({first}{more}): export them, "
                f"or give them the mean with missing=impute"
            )
