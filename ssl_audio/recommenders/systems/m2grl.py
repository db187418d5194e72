"""M2GRL as a recommender, with learnt and other task weights, and its metric of section 6.1."""

import copy
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ssl_audio.io.console import say
from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.data.training_data import TrainingData
from ssl_audio.recommenders.evaluation.diversity import category_matrix, diversity_figures, nearest
from ssl_audio.recommenders.models.diversity_metric import DiversityMetric, DiversityPairs
from ssl_audio.recommenders.models.m2grl import M2GRL, load_m2grl
from ssl_audio.recommenders.models.m2grl_batches import CATEGORY, M2GRLBatches
from ssl_audio.recommenders.recommender import MODEL, RECENCIES, VectorRecommender
from ssl_audio.recommenders.session_data import K, SessionData, views_of
from ssl_audio.recommenders.tables import BY_WEIGHTS, MAIN, Reporter, Role, TableSpec
from ssl_audio.reports.results import Column, Table
from ssl_audio.settings.recommend import M2GRLSettings, RecommendSettings

Weights = Literal["learnt", "uniform"] | tuple[float, ...]
# of the tasks item, category and their alignment
PAPER_WEIGHTS = (0.05, 1.0, 1.0)  # section 5.3
ITEMS_ALONE = (1.0, 0.0, 0.0)
STEPS = {"m2grl.steps": (1500, 3000, 6000)}
SESSION_STEPS = {"m2grl.session_steps.m2grl": (400, 800, 1600, 3200)}
SPACE: dict[str, tuple[Any, ...]] = {
    "m2grl.dimensions": (32, 64, 128), "m2grl.window": (5, 9, 20), "m2grl.negatives": (5, 10, 20),
    "m2grl.learning_rate": (3e-3, 1e-2, 3e-2), "recency": RECENCIES,
}  # fmt: skip
DIVERSITY_COLUMNS = (
    Column("new", "New categories", words="share of neighbours of other categories"),
    Column("entropy", "Entropy, bits", words="entropy of the neighbours' categories (bits)"),
    Column("hits", "Hits", words="share of neighbours that co-occur"),
    Column("new_hits", "New hits", words="share that co-occurs and has other categories"),
    Column("discovery", "Discovery", words="share of other categories among those that co-occur"),
)  # fmt: skip
DIVERSITY_TESTED = ("new", "entropy", "hits", "new_hits")


class M2GRLRecommender(VectorRecommender):
    """M2GRL over the views of the data.

    Args:
        weights: of the tasks; None: as in the settings.
    """

    name = "M2GRL"
    role = Role.BASELINE

    def __init__(
        self, settings: RecommendSettings, data: TrainingData, weights: Weights | None = None
    ) -> None:
        super().__init__(settings, data)
        self.weights = settings.m2grl.weights if weights is None else weights
        self.views = views_of(data)
        self.space = SPACE | (SESSION_STEPS if data.in_sessions else STEPS)
        # refuses a wrong number of task weights
        M2GRL({view: 1 for view in self.views[2]}, list(self.views[1]), self._chosen())
        if isinstance(data, SessionData):
            self.name, self.features = f"M2GRL, {_in_words(self.weights)}", data.kind
            self.tables = (MAIN, BY_WEIGHTS) if settings.m2grl.by_weights else (MAIN,)

    def _chosen(self) -> M2GRLSettings:
        return replace(self.settings.m2grl, weights=self.weights)

    def train(self, folder: Path) -> np.ndarray:
        settings, seed = self._chosen(), self.settings.seed
        views, links, sizes = self.views
        batches = M2GRLBatches(views, links, sizes, settings, seed)
        model = M2GRL(sizes, list(links), settings, seed)
        steps = settings.session_steps.m2grl if self.data.in_sessions else settings.steps
        self.fit_model(folder, steps, model, batches, clip=settings.clip)
        model.save(folder / MODEL)
        return self.data.in_training(model.vectors())

    def own_tables(self, folder: Path, reporter: Reporter) -> list[Table]:
        """Of sessions, neighbours by the metric of section 6.1 and by inner product."""
        if not isinstance(self.data, SessionData) or self.role is not Role.MODEL:
            return []
        metric = MetricVectors(self, folder)
        say(f"{metric.name} of diverse neighbours")
        started = time.monotonic()
        metric.fit(folder.parent / metric.folder)
        reporter.seconds[metric.key] = time.monotonic() - started
        plain_row = copy.copy(self)
        plain_row.name, plain_row.role = "Plain neighbours", Role.BASELINE
        reporter.seconds[plain_row.key] = reporter.seconds[self.key]
        neighbours = {
            plain_row.key: nearest(self.vectors()[metric.kept], K, euclidean=False),
            metric.key: nearest(metric.vectors(), K, euclidean=True),
        }
        categories = category_matrix(metric.links, (len(metric.kept), metric.sizes[1]))
        truth, window = metric.renumbered(self.data.task.truth), self.settings.m2grl.window
        figures = {
            key: {metric: values[None] for metric, values in
                  diversity_figures(lists, categories, truth, window).items()}
            for key, lists in neighbours.items()
        }  # fmt: skip
        for one in figures.values():
            if one["hits"].any():
                one["some_hits"] = one["hits"]
        caption = (
            f"The {K} nearest of each movie by {self.name}, and by the metric of section 6.1: the "
            f"share without a category ({self.data.kind}) of the movie, the entropy of the list's "
            "categories, the share that co-occurs with the movie in held-out sessions (hits), the "
            "share with both (new hits), and the discovery rate, new hits / hits. Mean over movies."
        )
        derived = {"discovery": (_ratio, ("new_hits", "some_hits"))}
        spec = TableSpec("Diversity", caption, DIVERSITY_COLUMNS, DIVERSITY_TESTED, derived)
        return [reporter.table(spec, [plain_row, metric], figures)]


class MetricVectors(VectorRecommender):
    """The metric of section 6.1 over M2GRL's two representations, of items with training data.

    Attributes:
        kept: (items with training data,) their rows of the catalogue.
        sizes: number of these items, and of categories.
        links: of these items, numbered by their position in `kept`, with categories.

    `folder` is that of `base`, a trained M2GRL.
    """

    name = "Metric model"
    role = Role.MODEL

    def __init__(self, base: M2GRLRecommender, folder: Path) -> None:
        super().__init__(base.settings, base.data)
        assert isinstance(base.data, SessionData)
        self.features, self.base_folder = base.features, folder
        self.kept = np.flatnonzero(base.data.counts)
        self.number = np.full(base.data.tracks, -1)
        self.number[self.kept] = np.arange(len(self.kept))
        owner, category = base.data.links
        inside = self.number[owner] >= 0
        self.links = self.number[owner[inside]], category[inside]
        self.sizes = len(self.kept), base.data.sizes[CATEGORY]

    def renumbered(self, playlists: Playlists) -> Playlists:
        """Playlists of the items with training data alone, by their numbers."""
        found = playlists.keep(self.number[playlists.tracks] >= 0)
        return replace(found, tracks=self.number[found.tracks].astype(np.int32))

    def train(self, folder: Path) -> np.ndarray:
        known, chosen = load_m2grl(self.base_folder / MODEL), self.settings.m2grl
        model = DiversityMetric(
            known.vectors()[0, self.kept], known.relational(CATEGORY)[self.kept]
        )
        sequences = self.renumbered(self.data.train)
        batches = DiversityPairs(
            sequences, self.links, self.sizes, chosen.batch_size, chosen.window, self.settings.seed
        )
        self.fit_model(folder, chosen.session_steps.metric, model, batches)
        return model.vectors()


def m2grl(settings: RecommendSettings, data: TrainingData) -> list[M2GRLRecommender]:
    """M2GRL as in the settings, and on sessions, if `m2grl.by_weights`, with other task weights."""
    found = [M2GRLRecommender(settings, data)]
    others: tuple[Weights, ...] = ("learnt", "uniform", PAPER_WEIGHTS, ITEMS_ALONE)
    if data.in_sessions and settings.m2grl.by_weights:
        found += [M2GRLRecommender(settings, data, w) for w in others if w != found[0].weights]
    return found


def _in_words(weights: Weights) -> str:
    if isinstance(weights, str):
        return f"{weights} weights"
    shown = ", ".join(f"{value:g}" for value in weights)
    return "items alone" if weights == ITEMS_ALONE else f"weights {shown}"


def _ratio(new_hits: np.ndarray, hits: np.ndarray) -> np.ndarray:
    return new_hits / np.maximum(hits, 1e-12)
