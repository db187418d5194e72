"""M2GRL and its baselines on MovieLens, by what users took next: Tables 2 and 3 of the paper.

Every system learns from the same training sessions and is asked for the same users' held-out ones
(`retrieval.next_session_task`). It ranks by the inner product of its item vectors with the sum of
the trigger items' (section 5.1.2); item-CF and popularity rank by scores of their own. An item that
no training session has is recommended by none: its vector is zero.

Inner products reward long vectors, which frequent items have early in training and rare ones later,
so that every skip-gram model here is best when it stops early. Lengths and rates were chosen by
HitRate@50 on the sessions before the last of ml-latest-small (`m2grl.validate`; seed 0), the best
of what was tried:

- M2GRL, rate 0.01, after 200, 300, 400, 500 steps: learnt weights 0.626, 0.723, 0.721, 0.701 (rate
  0.003: at most 0.685 in 600); uniform 0.555, 0.701, 0.709, 0.667; items alone 0.675, 0.704, 0.660
  in 400; the paper's fixed weights 0.297, 0.506, 0.573, 0.588, and 0.608, 0.612,
  0.594 after 600, 800, 1000.
- EGES, rate 0.01: 0.379, 0.649, 0.404 in 200, 400, 700; rate 0.003: 0.581, 0.663, 0.608 in 700,
  1000, 1500.
- skip-gram alone, rate 0.025: 0.647, 0.660, 0.640, 0.429 in 2, 5, 10, 30 epochs.
- DeepWalk, walks of 5, window 5: 0.659, 0.681, 0.488 in 5 x 2, 10 x 4, 10 x 10 rounds x epochs;
  walks of 18, window 9: 0.590 in 10 x 1. Node2Vec has DeepWalk's.
- LINE: 0.693, 0.632 of 100, 500 samples a node at rate 0.1; 0.632 of 100 at 0.025.
- GraphSAGE: 0.406, 0.457 in 200, 600 steps at rate 0.003; 0.402, 0.414 at 0.01.
- item-CF: 0.732, 0.793, 0.801 of 50, 200, 1000 neighbours. Popularity: 0.668.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix

from ssl_audio.io.atomic import write_json
from ssl_audio.io.console import say
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.run_folder import versions
from ssl_audio.recommenders.baselines.eges import EGES, EGESBatches
from ssl_audio.recommenders.baselines.item_cf import ItemCF
from ssl_audio.recommenders.baselines.line import LineSettings, line_vectors
from ssl_audio.recommenders.baselines.node2vec import Node2VecSettings, node2vec_vectors
from ssl_audio.recommenders.baselines.sgns import SgnsSettings, sgns_vectors
from ssl_audio.recommenders.baselines.track2vec import Word2VecSettings
from ssl_audio.recommenders.comparison import differences, run_folder
from ssl_audio.recommenders.data.collection import Catalogue, Playlists
from ssl_audio.recommenders.data.graph import TrackGraph
from ssl_audio.recommenders.data.movielens import read_movielens
from ssl_audio.recommenders.data.sampling import PairSampler
from ssl_audio.recommenders.data.sessions import (
    Sessions,
    make_sessions,
    view_graph_edges,
    view_sequences,
)
from ssl_audio.recommenders.evaluation.diversity import (
    DiversityPairs,
    MultiViewMetric,
    category_matrix,
    diverse_neighbours,
    diversity_columns,
    plain_neighbours,
)
from ssl_audio.recommenders.evaluation.retrieval import (
    Hits,
    RetrievalTask,
    ScoreFunction,
    f1_of,
    measure_hits,
    next_session_task,
    retrieve,
    retrieve_by,
)
from ssl_audio.recommenders.evaluation.significance import Interval, interval, interval_of
from ssl_audio.recommenders.models.m2grl import M2GRL, load_m2grl
from ssl_audio.recommenders.models.m2grl_batches import CATEGORY, ITEM, M2GRLBatches
from ssl_audio.recommenders.models.musig import TASKS, Musig
from ssl_audio.recommenders.models.musig_training import NO_GENRE, MusigTraining, PairBatches
from ssl_audio.recommenders.models.task_weights import FixedWeights
from ssl_audio.recommenders.systems import System, degree_features, folder_of
from ssl_audio.recommenders.training import fit_or_resume
from ssl_audio.settings.recommend import MusigSettings, RecommendSettings
from ssl_audio.settings.tree import plain

K = 50  # items that are recommended
FILES = ("movies.csv", "ratings.csv", "tags.csv")
BASELINES = (
    "popularity", "item_cf", "deepwalk", "node2vec", "line", "eges", "graphsage", "skipgram",
)  # fmt: skip
# of the tasks item, category and their alignment
PAPER_WEIGHTS = (0.05, 1.0, 1.0)  # section 5.3
ITEM_ALONE = (1.0, 0.0, 0.0)
COMPARED = ("hit_rate", "recall")
COLUMNS = {
    "hit_rate": "HitRate@50", "recall": "Recall@50", "precision": "Precision@50", "f1": "F1@50",
}  # fmt: skip
DIVERSITY = {
    "new": "New categories", "entropy": "Entropy, bits", "hits": "Hits",
    "new_hits": "New hits", "discovery": "Discovery",
}  # fmt: skip

# chosen as told above
NEIGHBOURS = 1000  # of item-CF
EPOCHS, RATE = 5, 0.025  # of skip-gram over items alone
WALKS = Node2VecSettings(
    length=5,
    rounds=10,
    p=1.0,
    q=1.0,
    skip_gram=Word2VecSettings(window=5, negative=7, epochs=4, sample=0),
)
FAR = 0.5  # q of Node2Vec: A.3
LINE = LineSettings(order=2, negative=10, samples=100)
SAGE_PAIRS, SAGE_RATE = 512, 3e-3
EGES_RATE = 3e-3


def compare(settings: RecommendSettings) -> dict[str, Any]:
    """Train and measure every system; returns what is written to `results.json`.

    Each finished system is kept in the run's folder `systems/`; `ckpt_path=last` resumes after it.

    Raises:
        SslAudioError: a MovieLens folder or settings that cannot be used, or too few users.
    """
    with run_folder(settings, "recommend-movielens") as folder:
        return _compare(settings, folder)


def _compare(settings: RecommendSettings, folder: Path) -> dict[str, Any]:
    started = time.monotonic()
    data = load_next_session_data(settings)
    seconds = {"data": time.monotonic() - started}
    made = _Systems(settings, data, folder / "systems")
    systems = made.all()
    found: dict[str, Hits] = {}
    for number, system in enumerate(systems, 1):
        say(f"[{number}/{len(systems)}] {system.label}")
        started = time.monotonic()
        recommended = system.recommend(data.task)
        seconds[system.key] = time.monotonic() - started
        found[system.key] = measure_hits(recommended, data.task)
    tables = [_table(settings, "Next session", _caption(data), systems, found, seconds)]
    if weighted := [s for s in systems if s.weighting]:
        text = "M2GRL's Table 3: learnt, uniform and the paper's fixed weights of the tasks, and "
        text += "items alone."
        tables.append(_table(settings, "Task weights", text, weighted, found, seconds))
    tables.append(_diversity(settings, made, seconds))
    results = {
        "kind": "playlists",
        "format": 1,
        "run": str(folder),
        "seed": settings.seed,
        "protocol": _protocol(settings, data),
        "data": data.summary(),
        "tables": tables,
        "losses": {s.label: s.losses() for s in systems if s.losses()},
        "correlation": None,
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "config": plain(settings),
        "versions": versions(),
    }
    write_json(folder / "results.json", results)
    return results


# --- data ----------------------------------------------------------------------------------------


@dataclass
class NextSessionData:
    """MovieLens in sessions, of which each user's last is to be found.

    Attributes:
        name: of the folder.
        catalogue: the movies.
        categories: (movies, categories) float32, not 0 where a movie is of a category.
        kind: of the categories: "genres" or "tags".
        train: sessions to learn from.
        task: what is asked.
        users: with a session.
        lost: items to be found that no training session has.
        hashes: of what was read.
    """

    name: str
    catalogue: Catalogue
    categories: csr_matrix
    kind: str
    train: Playlists
    task: RetrievalTask
    users: int
    lost: int
    hashes: dict[str, str] = field(default_factory=dict)

    @property
    def items(self) -> int:
        """In the catalogue."""
        return len(self.catalogue)

    @cached_property
    def counts(self) -> np.ndarray:
        """(items,) how often each is in a training session."""
        return np.bincount(self.train.tracks, minlength=self.items)

    @cached_property
    def graph(self) -> TrackGraph:
        """Of consecutive items, with how often they are as weights (A.1)."""
        low, high, weights = view_graph_edges(self.train)
        return TrackGraph.from_edges(np.stack([low, high], 1), self.items, weights)

    @cached_property
    def links(self) -> tuple[np.ndarray, np.ndarray]:
        """(links,) items and (links,) categories."""
        found = self.categories.tocoo()
        return found.row.astype(np.int64), found.col.astype(np.int64)

    @property
    def sizes(self) -> dict[str, int]:
        """Nodes of each view."""
        return {ITEM: self.items, CATEGORY: self.categories.shape[1]}

    def summary(self) -> dict[str, Any]:
        """For the results."""
        asked = len(self.task.truth.tracks)
        counts = {
            "users": self.users, "users asked": len(self.task),
            "training sessions": len(self.train), "movies": self.items,
            "in training": int((self.counts > 0).sum()), "to find": asked,
            self.kind: self.categories.shape[1], "item edges": self.graph.edges,
            "item-category links": len(self.links[0]),
        }  # fmt: skip
        notes = []
        if self.lost:
            notes.append(f"{self.lost} of {asked} items to be found are in no training session, so "
                         "that no system can find them")  # fmt: skip
        return {"name": self.name, "counts": counts, "notes": notes, "hashes": self.hashes}


def load_next_session_data(settings: RecommendSettings) -> NextSessionData:
    """Read a MovieLens folder and hold sessions out.

    Args:
        settings: of `recommend`. `sessions` are the rules of sessions; `m2grl.categories` is
            genres or tags; with `m2grl.validate` the last sessions are left out altogether, and
            the ones before them are to be found.

    Raises:
        SslAudioError: files that are missing or malformed, other categories or rules, or too few
            users.
    """
    source, chosen = settings.movielens, settings.m2grl
    assert source is not None
    kind = chosen.categories
    read = read_movielens(source, kind)
    if read.categories.nnz == 0:
        raise SslAudioError(f"{source}: no movie has {kind}; give the other m2grl.categories")
    sessions = make_sessions(read.events, settings.sessions)
    train, task = next_session_task(sessions.playlists, sessions.owners)
    if chosen.validate:
        train, task = next_session_task(train, _owners(train, sessions))
    if len(task) < 2:
        raise SslAudioError(
            f"{source}: {len(task)} users with something to find, 2 or more are needed: a user "
            "needs two movies that sessions= keeps, one of them in the last session alone"
        )
    known = np.bincount(train.tracks, minlength=len(read.catalogue)) > 0
    if known.sum() <= K:
        raise SslAudioError(
            f"{source}: {known.sum()} movies in training sessions: more than {K} are needed"
        )
    return NextSessionData(
        source.resolve().name, read.catalogue, read.categories, kind, train, task,
        len(np.unique(sessions.owners)), int((~known[task.truth.tracks]).sum()), _hashes(source),
    )  # fmt: skip


def _owners(train: Playlists, sessions: Sessions) -> np.ndarray:
    """(training sessions,) the user of each, by the names that sessions keep."""
    owner = dict(zip(sessions.playlists.ids, sessions.owners.tolist(), strict=True))
    return np.array([owner[name] for name in train.ids])


def _hashes(folder: Path) -> dict[str, str]:
    found = {}
    for path in (folder / name for name in FILES):
        if path.is_file():
            with path.open("rb") as file:
                found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


# --- systems -------------------------------------------------------------------------------------


@dataclass
class Recommender(System):
    """A system that recommends `K` items: by its vectors, or by scores of its own.

    Attributes:
        rank: makes the scores, where there are no vectors.
        weighting: whether it is a row of the table of task weights.
    """

    rank: ScoreFunction | None = None
    weighting: bool = False

    def recommend(self, task: RetrievalTask) -> np.ndarray:
        """(users, K) items, the best first."""
        vectors = self.vectors()
        if vectors is not None:
            return retrieve(vectors, task, K)
        assert self.rank is not None
        return retrieve_by(self.rank, task, K)


class _Systems:
    """Makes the systems of one comparison."""

    def __init__(self, settings: RecommendSettings, data: NextSessionData, folder: Path) -> None:
        self.settings, self.chosen, self.data = settings, settings.m2grl, data
        self.seed, self.folder = settings.seed, folder
        self.steps: Mapping[str, int] = plain(self.chosen.session_steps)
        # weights of another number of tasks are refused before anything is trained
        M2GRL({ITEM: 1, CATEGORY: 1}, [CATEGORY], self.chosen)

    def all(self) -> list[Recommender]:
        """Baselines, then M2GRL."""
        given = self.settings.baselines
        names: list[str] = list(BASELINES if given is None else dict.fromkeys(given))
        for name in names:
            if name not in BASELINES:
                raise SslAudioError(f"baselines={name}: with movielens= {', '.join(BASELINES)}")
        return [*map(self._baseline, names), *self.m2grl()]

    def _baseline(self, name: str) -> Recommender:
        """One of `BASELINES`."""
        return {
            "popularity": lambda: self._system("Popularity", rank=self._popularity),
            "item_cf": lambda: self._system("Item-CF", rank=self._item_cf),
            "deepwalk": lambda: self._system("DeepWalk", train=partial(self._walks, 1.0)),
            "node2vec": lambda: self._system("Node2Vec", train=partial(self._walks, FAR)),
            "line": lambda: self._system("LINE", train=self._line),
            "eges": lambda: self._trained("EGES", self._eges, self.data.kind),
            "graphsage": lambda: self._trained("GraphSAGE", self._graphsage),
            "skipgram": lambda: replace(
                self._system("SGNS, items alone", train=self._skip_gram), weighting=True
            ),
        }[name]()

    def m2grl(self) -> list[Recommender]:
        """As the recipe says, the others being compared with it; and with other weights."""
        found = [self._m2grl(self.chosen.weights)]
        found[0].main = True
        if self.chosen.by_weights:
            others = [self._m2grl(w) for w in ("learnt", "uniform", PAPER_WEIGHTS, ITEM_ALONE)]
            found += [one for one in others if one.label != found[0].label]
            for one in found:
                one.weighting = True
        return found

    def _system(self, name: str, features: str = "", **kept: Any) -> Recommender:
        return Recommender(name, features, folder_of(self.folder, f"{name} {features}"), **kept)

    def _trained(self, name: str, train: Any, features: str = "") -> Recommender:
        """One whose training needs its folder."""
        made = self._system(name, features)
        made.train = partial(train, made.folder)
        return made

    def _known(self, vectors: np.ndarray) -> np.ndarray:
        """Zero for items that were never learnt."""
        return np.where((self.data.counts > 0)[:, None], vectors, 0)

    def _fit(
        self,
        model: torch.nn.Module,
        batches: Any,
        folder: Path,
        steps: str,
        clip: float | None = None,
    ) -> None:
        fit_or_resume(
            model, batches, folder, self.settings.trainer, steps=self.steps[steps], seed=self.seed,
            clip=clip, ckpt_path=self.settings.ckpt_path,
        )  # fmt: skip

    # --- baselines -------------------------------------------------------------------------------

    def _popularity(self, triggers: Playlists) -> np.ndarray:
        return np.tile(self.data.counts.astype(np.float32), (len(triggers), 1))

    @cached_property
    def _similar(self) -> ItemCF:
        return ItemCF(self.data.train, self.data.items, NEIGHBOURS)

    def _item_cf(self, triggers: Playlists) -> np.ndarray:
        return next(self._similar.scores(triggers, len(triggers))).toarray()

    def _walks(self, q: float) -> np.ndarray:
        graph, dimensions = self.data.graph, self.chosen.dimensions
        learning = replace(WALKS.skip_gram, dimensions=dimensions, seed=self.seed)
        chosen = replace(WALKS, q=q, skip_gram=learning)
        return node2vec_vectors(graph.offsets, graph.neighbours, graph.weights, chosen)

    def _line(self) -> np.ndarray:
        graph = self.data.graph
        chosen = replace(LINE, dimensions=self.chosen.dimensions, seed=self.seed)
        return line_vectors(graph.offsets, graph.neighbours, graph.weights, chosen)

    def _skip_gram(self) -> np.ndarray:
        chosen = SgnsSettings(
            dimensions=self.chosen.dimensions, window=self.chosen.window,
            negatives=self.chosen.negatives, seed=self.seed, epochs=EPOCHS, learning_rate=RATE,
        )  # fmt: skip
        return sgns_vectors(self.data.train, self.data.items, chosen)

    def _eges(self, folder: Path) -> np.ndarray:
        """With M2GRL's settings (A.3), but for the steps and their rate."""
        data, settings = self.data, replace(self.chosen, learning_rate=EGES_RATE)
        batches = EGESBatches(data.train, data.items, settings, self.seed)
        model = EGES({CATEGORY: data.links}, data.sizes, batches.pairs.counts > 0, settings,
                     self.seed)  # fmt: skip
        self._fit(model, batches, folder, "eges", clip=self.chosen.clip)
        return self._known(model.vectors())

    def _graphsage(self, folder: Path) -> np.ndarray:
        """MUSIG's playlist task alone, told of a movie how many neighbours it has (A.3)."""
        data = self.data
        features = degree_features(data.graph)
        torch.manual_seed(self.seed)
        model = Musig(
            features.shape[1],
            FixedWeights(dict(zip(TASKS, (1.0, 0.0, 0.0), strict=True))),
            MusigSettings(dimensions=self.chosen.dimensions, learning_rate=SAGE_RATE),
        )
        training = MusigTraining(
            model, features, data.graph, np.full(data.items, NO_GENRE), np.zeros((data.items, 1))
        )
        pairs = PairSampler(data.graph, SAGE_PAIRS, 1, self.seed, negative_power=0.75)
        self._fit(training, PairBatches(pairs, self.seed), folder, "graphsage")
        return self._known(model.vectors(features, data.graph))

    # --- M2GRL -----------------------------------------------------------------------------------

    def _m2grl(self, weights: Any) -> Recommender:
        return self._trained(
            f"M2GRL, {_said(weights)}", partial(self._train_m2grl, weights), self.data.kind
        )

    def _train_m2grl(self, weights: Any, folder: Path) -> np.ndarray:
        data, settings = self.data, replace(self.chosen, weights=weights)
        views = {ITEM: data.train, CATEGORY: view_sequences(data.train, data.categories)}
        batches = M2GRLBatches(views, {CATEGORY: data.links}, data.sizes, settings, self.seed)
        model = M2GRL(data.sizes, [CATEGORY], settings, self.seed)
        self._fit(model, batches, folder, _kind(weights), clip=self.chosen.clip)
        model.save(folder / "model")
        return self._known(model.vectors())

    # --- diversity -------------------------------------------------------------------------------

    def metric(self, kept: np.ndarray, sequences: Playlists, links: Any) -> Recommender:
        """Section 6.1's model over M2GRL's two representations of the items that are kept."""
        base = self.m2grl()[0].folder / "model"
        return self._trained("Metric model", partial(self._train_metric, base, kept, sequences,
                                                     links), self.data.kind)  # fmt: skip

    def _train_metric(
        self, base: Path, kept: np.ndarray, sequences: Playlists, links: Any, folder: Path
    ) -> np.ndarray:
        known = load_m2grl(base)
        model = MultiViewMetric(known.vectors()[kept], known.relational(CATEGORY)[kept])
        sizes = (len(kept), self.data.categories.shape[1])
        batches = DiversityPairs(
            sequences, links, sizes, self.chosen.batch_size, self.chosen.window, self.seed
        )
        self._fit(model, batches, folder, "metric")
        return model.vectors()


def _kind(weights: Any) -> str:
    """What `session_steps` calls a weighting: fixed ones learn items slower, as they count less."""
    if isinstance(weights, str):
        return weights
    return "items" if tuple(weights) == ITEM_ALONE else "fixed"


def _said(weights: Any) -> str:
    """What weights are called in a system's name."""
    kind = _kind(weights)
    if kind == "fixed":
        return "weights " + ", ".join(f"{value:g}" for value in weights)
    return "items alone" if kind == "items" else f"{kind} weights"


# --- tables --------------------------------------------------------------------------------------


def _protocol(settings: RecommendSettings, data: NextSessionData) -> str:
    held = "session before the last" if settings.m2grl.validate else "last session"
    return (
        f"Of each of {len(data.task)} users the {held} is to be found, among the first {K} of all "
        "movies but those seen: every movie seen before is a trigger. Of a user with one session "
        "its last fifth is held out."
    )


def _caption(data: NextSessionData) -> str:
    return (
        "Mean over users, as in M2GRL's Table 2; items by the inner product with the sum of the "
        "triggers' vectors, item-CF and popularity by scores of their own."
    )


def _table(
    settings: RecommendSettings,
    name: str,
    caption: str,
    systems: Sequence[Recommender],
    found: Mapping[str, Hits],
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    drawn = _drawn(settings)
    rows = []
    for system in systems:
        hits = found[system.key]
        figures = {key: interval(values, **drawn) for key, values in hits.columns().items()}
        figures["f1"] = interval_of(f1_of, hits.precision, hits.recall, **drawn)
        rows.append(_row(system, figures, seconds[system.key]))
    columns = {system.key: found[system.key].columns() for system in systems}
    return {
        "name": name,
        "caption": caption,
        "columns": [{"key": key, "title": title} for key, title in COLUMNS.items()],
        "rows": rows,
        "differences": differences(systems, columns, drawn, COMPARED),
    }


def _drawn(settings: RecommendSettings) -> dict[str, int]:
    return {"seed": settings.seed, "resamples": settings.completion.resamples}


def _row(system: System, figures: Mapping[str, Interval], seconds: float) -> dict[str, Any]:
    return {
        "system": system.name,
        "features": system.features,
        "seconds": round(seconds, 1),
        "figures": {key: asdict(figure) for key, figure in figures.items()},
    }


def _diversity(
    settings: RecommendSettings, made: _Systems, seconds: dict[str, float]
) -> dict[str, Any]:
    """Neighbours by section 6.1's metric and plain ones, of the items of training sessions."""
    data, base = made.data, made.m2grl()[0]
    kept = np.flatnonzero(data.counts)
    number = np.full(data.items, -1)
    number[kept] = np.arange(len(kept))
    owner, category = data.links
    inside = number[owner] >= 0
    links = number[owner[inside]], category[inside]
    metric = made.metric(kept, _renumbered(data.train, number), links)
    say(f"{metric.name} of diverse neighbours")
    started = time.monotonic()
    learnt = metric.vectors()
    seconds[metric.key] = time.monotonic() - started
    plain = base.vectors()
    assert learnt is not None and plain is not None
    plain_row = replace(base, name="Plain neighbours", main=False)
    lists = {plain_row.key: plain_neighbours(plain[kept], K),
             metric.key: diverse_neighbours(learnt, K)}  # fmt: skip
    categories = category_matrix(links, (len(kept), data.categories.shape[1]))
    truth = _renumbered(data.task.truth, number)
    window = settings.m2grl.window
    columns = {key: diversity_columns(found, categories, truth, window)
               for key, found in lists.items()}  # fmt: skip
    metric.main = True
    rows = [
        _row(plain_row, _diversity_figures(settings, columns[plain_row.key]), seconds[base.key]),
        _row(metric, _diversity_figures(settings, columns[metric.key]), seconds[metric.key]),
    ]
    return {
        "name": "Diversity",
        "caption": f"The {K} nearest of each movie by {base.name}, and by the metric model of "
        f"section 6.1: the share without a category ({data.kind}) of the movie, the entropy of the "
        "list's categories, the share that held-out sessions have near the movie (hits), those of "
        "them without its categories (new hits), and new hits / hits. Mean over movies.",
        "columns": [{"key": key, "title": title} for key, title in DIVERSITY.items()],
        "rows": rows,
        "differences": differences(
            [plain_row, metric], columns, _drawn(settings), ("new", "entropy", "hits", "new_hits")
        ),
    }


def _renumbered(playlists: Playlists, number: np.ndarray) -> Playlists:
    """Of the items that have a number, by their numbers."""
    found = playlists.keep(number[playlists.tracks] >= 0)
    return replace(found, tracks=number[found.tracks].astype(np.int32))


def _diversity_figures(
    settings: RecommendSettings, columns: Mapping[str, np.ndarray]
) -> dict[str, Interval]:
    drawn = _drawn(settings)
    figures = {key: interval(values, **drawn) for key, values in columns.items()}
    if columns["hits"].any():
        figures["discovery"] = interval_of(_ratio, columns["new_hits"], columns["hits"], **drawn)
    return figures


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return part / np.maximum(whole, 1e-12)
