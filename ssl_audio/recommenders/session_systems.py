"""The systems of a comparison on sessions: M2GRL and its baselines (M2GRL, sections 5.1 and A.3).

All learn from the same training sessions. Most rank by the inner product of item vectors with the
sum of the history's. Inner products favour long vectors, which frequent items have early in
training and rare ones later, so that the skip-gram models here are best when stopped early; the
lengths and rates below were chosen on the sessions before the last (`m2grl.validate`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import nn

from ssl_audio.recommenders.baselines.eges import EGES, EGESBatches
from ssl_audio.recommenders.baselines.item_cf import ItemCF
from ssl_audio.recommenders.baselines.line import LineSettings, line_vectors
from ssl_audio.recommenders.baselines.node2vec import Node2VecSettings, node2vec_vectors
from ssl_audio.recommenders.baselines.sgns import SgnsSettings, sgns_vectors
from ssl_audio.recommenders.baselines.track2vec import Word2VecSettings
from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.data.sessions import view_sequences
from ssl_audio.recommenders.graph_models import PLAYLIST_ONLY, degree_features, train_graph_model
from ssl_audio.recommenders.models.diversity_metric import DiversityMetric, DiversityPairs
from ssl_audio.recommenders.models.m2grl import M2GRL, load_m2grl
from ssl_audio.recommenders.models.m2grl_batches import CATEGORY, ITEM, Links, M2GRLBatches
from ssl_audio.recommenders.models.musig_training import NO_GENRE
from ssl_audio.recommenders.scorers import (
    CatalogueRecommender,
    InnerProduct,
    NeighbourSum,
    Popularity,
)
from ssl_audio.recommenders.session_data import SessionData
from ssl_audio.recommenders.systems import (
    BY_WEIGHTS,
    MAIN,
    MODEL,
    Role,
    Run,
    ScoreSystem,
    System,
    VectorSystem,
    folder_name,
    select_baselines,
)
from ssl_audio.settings.recommend import M2GRLSettings, MusigSettings
from ssl_audio.settings.tree import plain

SessionSystem = System[CatalogueRecommender]
Weights = Literal["learnt", "uniform"] | tuple[float, ...]
# of the tasks item, category and their alignment
PAPER_WEIGHTS = (0.05, 1.0, 1.0)  # section 5.3
ITEMS_ALONE = (1.0, 0.0, 0.0)

NEIGHBOURS = 1000  # of item-CF
WALKS = Node2VecSettings(
    length=5, rounds=10, p=1.0, q=1.0,
    skip_gram=Word2VecSettings(window=5, negatives=7, epochs=4, sample=0),
)  # fmt: skip
NODE2VEC_Q = 0.5  # A.3
LINE = LineSettings(negatives=10, samples=100)
SGNS_EPOCHS, SGNS_RATE = 5, 0.025
EGES_RATE = GRAPHSAGE_RATE = 3e-3


@dataclass(frozen=True)
class SessionRun(Run):
    """A comparison on sessions."""

    data: SessionData

    @property
    def m2grl(self) -> M2GRLSettings:
        return self.settings.m2grl

    def train(
        self, folder: Path, name: str, model: nn.Module, batches: Any, clip: float | None = None
    ) -> None:
        """Train a model of a system for the steps of `m2grl.session_steps.NAME`."""
        steps = getattr(self.m2grl.session_steps, name)
        self.fit(folder, f"m2grl.session_steps.{name}", steps, model, batches, clip)

    def known(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors, zero for items without training data."""
        return np.where((self.data.counts > 0)[:, None], vectors, 0)

    def scores(self, name: str, make: Callable[[], CatalogueRecommender]) -> SessionSystem:
        """A system that ranks by scores."""
        return ScoreSystem(name=name, folder=self.folder / folder_name(name), make=make)

    def vectors(
        self,
        name: str,
        train: Callable[[Path], np.ndarray],
        features: str = "",
        tables: tuple[str, ...] = (MAIN,),
        role: Role = Role.BASELINE,
    ) -> VectorSystem[CatalogueRecommender]:
        """A system that ranks by the inner product of vectors."""
        return VectorSystem(
            name=name, features=features, folder=self.folder / folder_name(f"{name} {features}"),
            tables=tables, role=role, train=train, ranking=InnerProduct,
        )  # fmt: skip


def session_systems(run: SessionRun) -> list[SessionSystem]:
    """Baselines, M2GRL, and M2GRL with other task weights.

    Raises:
        SslAudioError: an unknown baseline, or a wrong number of task weights.
    """
    baselines = select_baselines(BASELINES, run.settings.baselines, "movielens")
    # refuses a wrong number of task weights before any training
    M2GRL({ITEM: 1, CATEGORY: 1}, [CATEGORY], run.m2grl)
    return [*(make(run) for make in baselines), *m2grl_systems(run)]


def identity_of(run: SessionRun) -> dict[str, Any]:
    """The settings and inputs that determine what a comparison trains."""
    values = plain(run.settings)
    m2grl = {key: value for key, value in values["m2grl"].items() if key != "by_weights"}
    return {"seed": run.seed, "sessions": values["sessions"], "m2grl": m2grl, **run.data.hashes}


def m2grl_systems(run: SessionRun) -> list[VectorSystem[CatalogueRecommender]]:
    """M2GRL with the weights of the settings and, if `by_weights`, with other task weights."""
    chosen = run.m2grl.weights
    others: tuple[Weights, ...] = ("learnt", "uniform", PAPER_WEIGHTS, ITEMS_ALONE)
    found = [_m2grl(run, chosen, Role.MODEL)]
    if run.m2grl.by_weights:
        found += [_m2grl(run, weights) for weights in others if weights != chosen]
    return found


# --- baselines -----------------------------------------------------------------------------------


def _item_cf(run: SessionRun) -> NeighbourSum:
    return NeighbourSum(ItemCF(run.data.train, run.data.items, NEIGHBOURS))


def _walks(run: SessionRun, q: float, folder: Path) -> np.ndarray:
    learning = replace(WALKS.skip_gram, dimensions=run.m2grl.dimensions, seed=run.seed)
    chosen = replace(WALKS, q=q, skip_gram=learning)
    return node2vec_vectors(run.data.graph, chosen)


def _line(run: SessionRun, folder: Path) -> np.ndarray:
    chosen = replace(LINE, dimensions=run.m2grl.dimensions, seed=run.seed)
    return line_vectors(run.data.graph, chosen)


def _skipgram(run: SessionRun, folder: Path) -> np.ndarray:
    chosen = SgnsSettings(
        dimensions=run.m2grl.dimensions, window=run.m2grl.window, negatives=run.m2grl.negatives,
        seed=run.seed, epochs=SGNS_EPOCHS, learning_rate=SGNS_RATE,
    )  # fmt: skip
    return sgns_vectors(run.data.train, run.data.items, chosen)


def _eges(run: SessionRun, folder: Path) -> np.ndarray:
    """EGES with M2GRL's settings (A.3), except for the steps and the learning rate."""
    data, settings = run.data, replace(run.m2grl, learning_rate=EGES_RATE)
    batches = EGESBatches(data.train, data.items, settings, run.seed)
    model = EGES({CATEGORY: data.links}, data.sizes, batches.pairs.counts > 0, settings, run.seed)
    run.train(folder, "eges", model, batches, run.m2grl.clip)
    return run.known(model.vectors())


def _graphsage(run: SessionRun, folder: Path) -> np.ndarray:
    """MUSIG's playlist task alone; an item's feature is its number of neighbours (A.3)."""
    graph, items = run.data.graph, run.data.items
    features = degree_features(graph)
    settings = MusigSettings(
        weights=PLAYLIST_ONLY, dimensions=run.m2grl.dimensions, learning_rate=GRAPHSAGE_RATE
    )
    fit = partial(run.train, folder, "graphsage")
    model = train_graph_model(
        features, graph, np.full(items, NO_GENRE), np.zeros((items, 1), np.float32),
        np.ones(items, bool), settings, run.seed, fit,
    )  # fmt: skip
    return run.known(model.vectors(features, graph))


# --- M2GRL ---------------------------------------------------------------------------------------


def _m2grl(
    run: SessionRun, weights: Weights, role: Role = Role.BASELINE
) -> VectorSystem[CatalogueRecommender]:
    train = partial(_train_m2grl, run, weights)
    tables = (MAIN, BY_WEIGHTS) if run.m2grl.by_weights else (MAIN,)
    return run.vectors(f"M2GRL, {_weights_in_words(weights)}", train, run.data.kind, tables, role)


def _train_m2grl(run: SessionRun, weights: Weights, folder: Path) -> np.ndarray:
    data, settings = run.data, replace(run.m2grl, weights=weights)
    views = {ITEM: data.train, CATEGORY: view_sequences(data.train, data.categories)}
    batches = M2GRLBatches(views, {CATEGORY: data.links}, data.sizes, settings, run.seed)
    model = M2GRL(data.sizes, [CATEGORY], settings, run.seed)
    run.train(folder, _steps(weights), model, batches, run.m2grl.clip)
    model.save(folder / MODEL)
    return run.known(model.vectors())


def _steps(weights: Weights) -> str:
    """Name of the setting in `m2grl.session_steps`."""
    if isinstance(weights, str):
        return weights
    return "items" if weights == ITEMS_ALONE else "fixed"


def _weights_in_words(weights: Weights) -> str:
    if isinstance(weights, str):
        return f"{weights} weights"
    shown = ", ".join(f"{value:g}" for value in weights)
    return "items alone" if weights == ITEMS_ALONE else f"weights {shown}"


def metric_system(
    run: SessionRun, base: SessionSystem, kept: np.ndarray, sequences: Playlists, links: Links
) -> VectorSystem[CatalogueRecommender]:
    """The metric of section 6.1 over M2GRL's two representations.

    Args:
        run: see above.
        base: a trained M2GRL.
        kept: (items,) catalogue rows of the items that the metric is trained on.
        sequences, links: of these items, numbered by their position in `kept`.
    """
    train = partial(_train_metric, run, base.folder / MODEL, kept, sequences, links)
    return run.vectors("Metric model", train, run.data.kind, role=Role.MODEL)


def _train_metric(
    run: SessionRun, base: Path, kept: np.ndarray, sequences: Playlists, links: Links, folder: Path
) -> np.ndarray:
    known = load_m2grl(base)
    model = DiversityMetric(known.vectors()[kept], known.relational(CATEGORY)[kept])
    sizes = (len(kept), run.data.sizes[CATEGORY])
    batches = DiversityPairs(
        sequences, links, sizes, run.m2grl.batch_size, run.m2grl.window, run.seed
    )
    run.train(folder, "metric", model, batches)
    return model.vectors()


BASELINES: dict[str, Callable[[SessionRun], SessionSystem]] = {
    "popularity": lambda run: run.scores("Popularity", lambda: Popularity(run.data.counts)),
    "item_cf": lambda run: run.scores("Item-CF", partial(_item_cf, run)),
    "deepwalk": lambda run: run.vectors("DeepWalk", partial(_walks, run, 1.0)),
    "node2vec": lambda run: run.vectors("Node2Vec", partial(_walks, run, NODE2VEC_Q)),
    "line": lambda run: run.vectors("LINE", partial(_line, run)),
    "eges": lambda run: run.vectors("EGES", partial(_eges, run), run.data.kind),
    "graphsage": lambda run: run.vectors("GraphSAGE", partial(_graphsage, run)),
    "skipgram": lambda run: run.vectors(
        "SGNS, items alone", partial(_skipgram, run), tables=(MAIN, BY_WEIGHTS)
    ),
}
