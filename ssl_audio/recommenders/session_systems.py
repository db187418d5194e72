"""The systems of a comparison on sessions: M2GRL and its baselines (M2GRL, sections 5.1 and A.3).

Most rank by the inner product of item vectors with the sum of the history's; M2GRL and skip-gram by
output vectors with the sum of input vectors, as they are trained. Items of the history count by
their recency (`sessions.recency`) wherever a system sums over them. Inner products of other vectors
favour long ones, which frequent items have early in training and rare ones later, so that walks and
EGES are best when stopped early: steps, epochs and rates are chosen on the sessions before the last
(`m2grl.validate`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ssl_audio.recommenders.baselines.ease import Ease
from ssl_audio.recommenders.baselines.eges import EGES, EGESBatches
from ssl_audio.recommenders.baselines.factors import FoldedIn, als_vectors, bpr_vectors
from ssl_audio.recommenders.baselines.item_cf import ItemCF
from ssl_audio.recommenders.baselines.line import LineSettings, line_vectors
from ssl_audio.recommenders.baselines.node2vec import Node2VecSettings, node2vec_vectors
from ssl_audio.recommenders.baselines.playlist_knn import PlaylistKNN
from ssl_audio.recommenders.baselines.pmi import pmi
from ssl_audio.recommenders.baselines.sgns import SgnsSettings, sgns_vectors
from ssl_audio.recommenders.baselines.svd import svd_vectors
from ssl_audio.recommenders.baselines.track2vec import Word2VecSettings
from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.data.sessions import view_sequences
from ssl_audio.recommenders.graph_models import PLAYLIST_ONLY, degree_features, train_graph_model
from ssl_audio.recommenders.models.diversity_metric import DiversityMetric, DiversityPairs
from ssl_audio.recommenders.models.m2grl import M2GRL, load_m2grl
from ssl_audio.recommenders.models.m2grl_batches import CATEGORY, ITEM, Links, M2GRLBatches
from ssl_audio.recommenders.models.musig_training import NO_GENRE
from ssl_audio.recommenders.scorers import CatalogueRecommender, InnerProduct, Popularity
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
    select_baselines,
)
from ssl_audio.settings.recommend import MusigSettings
from ssl_audio.settings.tree import plain

SessionRun = Run[SessionData]
SessionSystem = System[SessionData, CatalogueRecommender]
SessionVectors = VectorSystem[SessionData, CatalogueRecommender]
Weights = Literal["learnt", "uniform"] | tuple[float, ...]
# of the tasks item, category and their alignment
PAPER_WEIGHTS = (0.05, 1.0, 1.0)  # section 5.3
ITEMS_ALONE = (1.0, 0.0, 0.0)

WALKS = Node2VecSettings(
    length=5, rounds=10, p=1.0, q=1.0,
    skip_gram=Word2VecSettings(window=5, negatives=7, epochs=4, sample=0),
)  # fmt: skip
NODE2VEC_Q = 0.5  # A.3
LINE = LineSettings(negatives=10, samples=100)
SGNS_EPOCHS, SGNS_RATE = 5, 0.025
EGES_RATE = GRAPHSAGE_RATE = 3e-3


def session_systems(run: SessionRun) -> list[SessionSystem]:
    """Baselines, M2GRL, and M2GRL with other task weights.

    Raises:
        SslAudioError: an unknown baseline, or a wrong number of task weights.
    """
    baselines = select_baselines(BASELINES, run.settings.baselines, "movielens")
    # refuses a wrong number of task weights before any training
    M2GRL({ITEM: 1, CATEGORY: 1}, [CATEGORY], run.settings.m2grl)
    return [*(make(run) for make in baselines), *m2grl_systems(run)]


def identity_of(run: SessionRun) -> dict[str, Any]:
    """The settings and inputs that determine what a comparison trains."""
    values = plain(run.settings)
    m2grl = {key: value for key, value in values["m2grl"].items() if key != "by_weights"}
    return {"seed": run.seed, "sessions": values["sessions"], "m2grl": m2grl, **run.data.hashes}


def m2grl_systems(run: SessionRun) -> list[SessionVectors]:
    """M2GRL with the weights of the settings and, if `by_weights`, with other task weights."""
    chosen, by_weights = run.settings.m2grl.weights, run.settings.m2grl.by_weights
    others: tuple[Weights, ...] = ("learnt", "uniform", PAPER_WEIGHTS, ITEMS_ALONE)
    listed = [chosen, *(weights for weights in others if by_weights and weights != chosen)]
    tables = (MAIN, BY_WEIGHTS) if by_weights else (MAIN,)
    found = [
        _vectors(run, f"M2GRL, {_weights_in_words(weights)}", partial(_train_m2grl, weights),
                 features=run.data.kind, tables=tables) for weights in listed
    ]  # fmt: skip
    found[0].role = Role.MODEL
    return found


def metric_system(
    run: SessionRun, base: SessionSystem, kept: np.ndarray, sequences: Playlists, links: Links
) -> SessionVectors:
    """The metric of section 6.1 over M2GRL's two representations.

    Args:
        run: see above.
        base: a trained M2GRL.
        kept: (items,) catalogue rows of the items that the metric is trained on.
        sequences, links: of these items, numbered by their position in `kept`.
    """

    def train(run: SessionRun, folder: Path) -> np.ndarray:
        known, settings = load_m2grl(base.folder / MODEL), run.settings.m2grl
        model = DiversityMetric(known.vectors()[0, kept], known.relational(CATEGORY)[kept])
        sizes = (len(kept), run.data.sizes[CATEGORY])
        batches = DiversityPairs(
            sequences, links, sizes, settings.batch_size, settings.window, run.seed
        )
        _fit(run, folder, "metric", model, batches)
        return model.vectors()

    return _vectors(run, "Metric model", train, features=run.data.kind, role=Role.MODEL)


def _scores(
    run: SessionRun, name: str, make: Callable[[SessionRun, Path], CatalogueRecommender]
) -> SessionSystem:
    return ScoreSystem(name=name, run=run, make=make)


def _of_sessions(
    run: SessionRun, name: str, make: Callable[[Playlists, int], CatalogueRecommender]
) -> SessionSystem:
    """A recommender that needs the training sessions alone, and is made anew by every run."""
    return _scores(run, name, lambda run, _: make(run.data.train, run.data.items))


def _factors(
    run: SessionRun, name: str, train: Callable[..., np.ndarray],
    ranking: Callable[[np.ndarray], CatalogueRecommender],
) -> SessionSystem:  # fmt: skip
    """Vectors that are learnt from the training sessions alone."""

    def vectors(run: SessionRun, folder: Path) -> np.ndarray:
        return train(run.data.train, run.data.items, seed=run.seed)

    return VectorSystem(name=name, run=run, train=vectors, ranking=ranking)


def _vectors(
    run: SessionRun, name: str, train: Callable[[SessionRun, Path], np.ndarray], **options: Any
) -> SessionVectors:
    return VectorSystem(name=name, run=run, train=train, ranking=InnerProduct, **options)


def _fit(
    run: SessionRun, folder: Path, key: str, model: Any, batches: Any, clip: float | None = None
) -> None:
    """Train a model for the steps of a setting below `m2grl.session_steps`."""
    steps = getattr(run.settings.m2grl.session_steps, key)
    run.fit(folder, f"m2grl.session_steps.{key}", steps, model, batches, clip)


def _walks(q: float, run: SessionRun, folder: Path) -> np.ndarray:
    dimensions = run.settings.m2grl.dimensions
    learning = replace(WALKS.skip_gram, dimensions=dimensions, seed=run.seed)
    return node2vec_vectors(run.data.graph, replace(WALKS, q=q, skip_gram=learning))


def _line(run: SessionRun, folder: Path) -> np.ndarray:
    chosen = replace(LINE, dimensions=run.settings.m2grl.dimensions, seed=run.seed)
    return line_vectors(run.data.graph, chosen)


def _skipgram(run: SessionRun, folder: Path) -> np.ndarray:
    settings = run.settings.m2grl
    chosen = SgnsSettings(
        dimensions=settings.dimensions, window=settings.window, negatives=settings.negatives,
        seed=run.seed, epochs=SGNS_EPOCHS, learning_rate=SGNS_RATE,
    )  # fmt: skip
    return sgns_vectors(run.data.train, run.data.items, chosen)


def _eges(run: SessionRun, folder: Path) -> np.ndarray:
    """EGES with M2GRL's settings (A.3), except for the steps and the learning rate."""
    data, settings = run.data, replace(run.settings.m2grl, learning_rate=EGES_RATE)
    batches = EGESBatches(data.train, data.items, settings, run.seed)
    model = EGES({CATEGORY: data.links}, data.sizes, batches.pairs.counts > 0, settings, run.seed)
    _fit(run, folder, "eges", model, batches, settings.clip)
    return data.trained(model.vectors())


def _graphsage(run: SessionRun, folder: Path) -> np.ndarray:
    """MUSIG's playlist task alone; an item's feature is its number of neighbours (A.3)."""
    graph, items, dimensions = run.data.graph, run.data.items, run.settings.m2grl.dimensions
    nodes = degree_features(graph, run.data.counts > 0)
    settings = MusigSettings(
        weights=PLAYLIST_ONLY, dimensions=dimensions, learning_rate=GRAPHSAGE_RATE
    )
    model = train_graph_model(
        nodes, graph, np.full(items, NO_GENRE), np.zeros((items, 1), np.float32),
        np.ones(items, bool), settings, run.seed, partial(_fit, run, folder, "graphsage"),
    )  # fmt: skip
    return run.data.trained(model.vectors(nodes.values, graph))


def _train_m2grl(weights: Weights, run: SessionRun, folder: Path) -> np.ndarray:
    data, settings = run.data, replace(run.settings.m2grl, weights=weights)
    views = {ITEM: data.train, CATEGORY: view_sequences(data.train, data.categories)}
    batches = M2GRLBatches(views, {CATEGORY: data.links}, data.sizes, settings, run.seed)
    model = M2GRL(data.sizes, [CATEGORY], settings, run.seed)
    _fit(run, folder, "m2grl", model, batches, settings.clip)
    model.save(folder / MODEL)
    return data.trained(model.vectors())


def _weights_in_words(weights: Weights) -> str:
    if isinstance(weights, str):
        return f"{weights} weights"
    shown = ", ".join(f"{value:g}" for value in weights)
    return "items alone" if weights == ITEMS_ALONE else f"weights {shown}"


BASELINES: dict[str, Callable[[SessionRun], SessionSystem]] = {
    "popularity": lambda run: _scores(
        run, "Popularity", lambda run, _: Popularity(run.data.counts)
    ),
    "item_cf": lambda run: _of_sessions(run, "Item-CF", ItemCF),
    "pmi": lambda run: _of_sessions(run, "PMI", pmi),
    "playlist_knn": lambda run: _of_sessions(run, "Session kNN", PlaylistKNN),
    "ease": lambda run: _of_sessions(run, "EASE", Ease),
    "svd": lambda run: _factors(run, "SVD", svd_vectors, InnerProduct),
    "als": lambda run: _factors(run, "ALS", als_vectors, FoldedIn),
    "bpr": lambda run: _factors(run, "BPR", bpr_vectors, InnerProduct),
    "deepwalk": lambda run: _vectors(run, "DeepWalk", partial(_walks, 1.0)),
    "node2vec": lambda run: _vectors(run, "Node2Vec", partial(_walks, NODE2VEC_Q)),
    "line": lambda run: _vectors(run, "LINE", _line),
    "eges": lambda run: _vectors(run, "EGES", _eges, features=run.data.kind),
    "graphsage": lambda run: _vectors(run, "GraphSAGE", _graphsage),
    "skipgram": lambda run: _vectors(
        run, "SGNS, items alone", _skipgram, tables=(MAIN, BY_WEIGHTS)
    ),
}  # fmt: skip
