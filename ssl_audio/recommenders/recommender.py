"""The protocol of recommenders, and bases that implement parts of it.

A recommender is made from settings and data, trained by `fit` in a folder of its own, and then
scores tracks as the continuation of histories. One file with a class of this protocol, and one line
in `settings/recommenders.py`, add one; `model=[MODULE.CLASS]` takes one from elsewhere.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from ssl_audio.io.atomic import atomic_file, write_json
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.json_file import read_json
from ssl_audio.recommenders.data.collection import Playlists, playlists_of
from ssl_audio.recommenders.data.graph import TrackGraph
from ssl_audio.recommenders.data.node_features import FeatureGroup
from ssl_audio.recommenders.data.training_data import TrainingData
from ssl_audio.recommenders.evaluation.ranking import CELLS, highest
from ssl_audio.recommenders.scorers import Cosine, InnerProduct, VectorScorer
from ssl_audio.recommenders.tables import MAIN, Reporter, Role
from ssl_audio.recommenders.track_index import TrackIndex, track_indexes
from ssl_audio.reports.results import Table
from ssl_audio.settings.recommend import RecommendSettings
from ssl_audio.settings.recommenders import ON_PLAYLISTS, ON_SESSIONS, RECOMMENDERS

Space = Mapping[str, tuple[Any, ...]]
"""Keys of settings, and the values of each that are tried by `tune=true`."""
SESSION_RECENCY = 0.9
RECENCIES = (0.8, 0.9, 0.95, 1.0)  # that `tune=true` tries
VECTORS, MODEL, SECONDS = "vectors.npy", "model", "seconds.json"  # in a recommender's folder


class Recommender(ABC):
    """One row of a comparison's tables.

    Attributes:
        name: shown in tables.
        features: track features that it is trained with; "" if none.
        tables: the tables that it is in; `MAIN` are those of the evaluations.
        role: what it is compared with.
        model: its name in `model=`, if it is one of those.
        space: of its settings, those that `tune=true` may choose.
        random: whether the training seed makes a difference.
        stored: whether `fit` leaves what it trained in its folder.
        package: the optional package that trains it; "": none.

    Args:
        settings: of the comparison.
        data: what it is trained on.

    Raises:
        SslAudioError: settings or data that it cannot be trained with, or no `package`: nothing is
            trained yet.
    """

    name: str
    features = ""
    tables: tuple[str, ...] = (MAIN,)
    role = Role.BASELINE
    model = ""
    space: Space = {}
    random = True
    stored = True
    package = ""

    def __init__(self, settings: RecommendSettings, data: TrainingData) -> None:
        self.settings, self.data = settings, data
        if self.package and find_spec(self.package) is None:
            install = "pip install 'ssl_audio[playlists]'"
            raise SslAudioError(f"{self.name} needs {self.package}: {install}")

    @property
    def recency(self) -> float:
        """Weight of a track of a history, to the power of the number of later ones, where the
        recommender sums over it."""
        given = self.settings.recency
        if given is None:
            return SESSION_RECENCY if self.data.in_sessions else 1.0
        return given

    @property
    def label(self) -> str:
        """Name and features; unique within a table."""
        return f"{self.name} {self.features}".strip()

    @property
    def key(self) -> str:
        """Label and table; unique within a comparison."""
        return self.label if MAIN in self.tables else f"{self.label}, {self.tables[0]}"

    @property
    def folder(self) -> str:
        """Name of its folder."""
        name = "".join(c if c.isalnum() else "-" for c in self.key.lower())
        return "-".join(filter(None, name.split("-")))

    @abstractmethod
    def fit(self, folder: Path) -> None:
        """Train, or load what was trained, in a folder that only this recommender writes to."""

    @abstractmethod
    def score(self, histories: Playlists, candidates: Playlists | None) -> np.ndarray:
        """Scores after `fit`; higher is better.

        Args:
            histories: one track or more in each.
            candidates: those of each history; None: all tracks.

        Returns:
            (positions of candidates,) float32; (histories, tracks), a new array, of all tracks.
        """

    def vectors(self) -> np.ndarray | None:
        """(tracks, d) float32 after `fit`, what search can use; None if it has none."""
        return None

    def known(self) -> np.ndarray:
        """(tracks,) bool after `fit`, True for tracks that can be recommended."""
        return self.data.counts > 0

    def continuation(
        self, history: np.ndarray, length: int, k: int, seed: int, approximate: bool | None
    ) -> list[int]:
        """Tracks that continue a history after `fit`, without its own.

        Here the tracks of highest score, in this order; models of sequences draw one after the
        other from the `k` most probable ones.

        Args:
            history: (n,) rows of the catalogue, one or more; -1 for tracks outside of it.
            length: tracks to add.
            k, seed: of the draws.
            approximate: HNSW search of the next track; None: see `NeighbourIndex`.
        """
        known = self.known()
        own = self.read(history, known)
        scores = self.score(own, None)
        np.copyto(scores, -np.inf, where=~known)
        scores[:, own.tracks] = -np.inf
        return [track for track in highest(scores, length)[0].tolist() if track >= 0]

    def read(self, history: np.ndarray, known: np.ndarray) -> Playlists:
        """The part of a history that is known, as one list.

        Raises:
            SslAudioError: none of it is.
        """
        read = history[history >= 0]
        read = read[known[read]]
        if not len(read):
            raise SslAudioError(f"{self.name} knows none of the playlist's tracks")
        return playlists_of([read.tolist()])

    def own_tables(self, folder: Path, reporter: Reporter) -> list[Table]:
        """Tables after `fit` that only this recommender has."""
        return []

    def fit_model(
        self, folder: Path, steps: int, model: nn.Module, batches: Any, **options: Any
    ) -> None:
        """Train a network, or load it (`training.fit`)."""
        from ssl_audio.recommenders.training import fit  # imports Lightning

        fit(
            model, batches, folder, self.settings.trainer, steps=steps, seed=self.settings.seed,
            run_dir=folder.parent.parent, ckpt_path=self.settings.ckpt_path, **options,
        )  # fmt: skip


@dataclass(frozen=True)
class InductiveModel:
    """A trained model that gives vectors to tracks which it was not trained on.

    A class of the registry has one if it has a static method `inductive(folder)`, which gets its
    folder in a run.

    Attributes:
        features: names of the feature groups that it needs.
        genres: names of the genre group's columns.
        popularity_counted: whether popularity was counted in the playlists.
        vectors: from the groups and the tracks' graph to (tracks, d) vectors.
    """

    features: list[str]
    genres: list[str]
    popularity_counted: bool
    vectors: Callable[[list[FeatureGroup], TrackGraph], np.ndarray]


class AllTracks(Recommender):
    """A recommender that scores the whole catalogue at once, and is made anew by every run."""

    stored = False

    def fit(self, folder: Path) -> None:
        """There is nothing to train, unless a subclass says otherwise."""

    @abstractmethod
    def scores(self, histories: Playlists) -> np.ndarray:
        """(histories, tracks) float32, a new array."""

    def score(self, histories: Playlists, candidates: Playlists | None) -> np.ndarray:
        if candidates is None:
            return self.scores(histories)
        size, found = max(1, CELLS // self.data.tracks), []
        for start in range(0, len(histories), size):
            some = np.arange(start, min(start + size, len(histories)))
            part = candidates.take(some)
            found.append(self.scores(histories.take(some))[part.owners, part.tracks])
        return np.concatenate(found)


class VectorRecommender(Recommender):
    """A recommender with a vector for each track, which is kept in its folder."""

    trained: np.ndarray
    scorer: VectorScorer
    indexes: Callable[[bool | None], TrackIndex]

    @abstractmethod
    def train(self, folder: Path) -> np.ndarray:
        """(tracks, d) vectors, zeros for a track without training data; or (2, tracks, d) input and
        output vectors, the first of which are the recommender's vectors."""

    def ranking(self, vectors: np.ndarray) -> VectorScorer:
        """How vectors rank tracks: as MUSIG's section 4.1; on sessions as M2GRL's section 5.1.2, as
        everywhere by input and output vectors."""
        both = vectors.ndim == 3
        kind = InnerProduct if both or self.data.in_sessions else Cosine
        return kind(vectors, self.recency)

    def fit(self, folder: Path) -> None:
        kept = folder / VECTORS
        if kept.exists():
            self.trained = np.load(kept, allow_pickle=False)
        else:
            started = time.monotonic()
            self.trained = self.train(folder).astype(np.float32)
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / SECONDS, {"training": round(time.monotonic() - started, 1)})
            with atomic_file(kept) as temporary, open(temporary, "wb") as file:
                np.save(file, self.trained)
        self.scorer = self.ranking(self.trained)
        self.can_recommend = np.asarray(self.vectors().any(1))
        rows = np.flatnonzero(self.can_recommend)
        self.indexes = track_indexes(self.scorer.outputs, rows, folder)

    def continuation(
        self, history: np.ndarray, length: int, k: int, seed: int, approximate: bool | None
    ) -> list[int]:
        """As that of every recommender, by an index of the vectors."""
        own = self.read(history, self.can_recommend)
        count = length + len(np.unique(own.tracks))
        found = self.indexes(approximate).nearest(self.scorer.queries(own), count)[0][0]
        return [t for t in found[~np.isin(found, own.tracks)].tolist() if t >= 0][:length]

    def score(self, histories: Playlists, candidates: Playlists | None) -> np.ndarray:
        return self.scorer.score(histories, candidates)

    def vectors(self) -> np.ndarray:
        found: np.ndarray = self.trained[0] if self.trained.ndim == 3 else self.trained
        return found

    def known(self) -> np.ndarray:
        return self.can_recommend


def training_seconds(folder: Path) -> float | None:
    """Seconds of the training of a recommender's vectors, in whichever run that was."""
    path = folder / SECONDS
    if not path.exists():
        return None
    return float(read_json(path)["training"])


def baseline_names(settings: RecommendSettings, data: TrainingData) -> list[str]:
    """Names in the registry of the recommenders beside the models."""
    names = settings.baselines
    if names is None:
        names = ON_SESSIONS if data.in_sessions else ON_PLAYLISTS
    return list(dict.fromkeys(names))


def make(
    name: str, settings: RecommendSettings, data: TrainingData, required: bool = False
) -> list[Recommender]:
    """The recommenders of a name in the registry, with the overrides of this name.

    Raises:
        SslAudioError: there is none for the data, and one is required.
    """
    made = RECOMMENDERS[name](settings.of(name), data)
    if required and made == []:
        advice = "as noted above: leave it out of model= and ensemble="
        raise SslAudioError(f"{name} has nothing to learn from, {advice}")
    return list(made) if isinstance(made, list) else [made]
