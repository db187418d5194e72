"""The systems of a comparison: what each is called, how it is trained, and how it ranks tracks."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ssl_audio.io.atomic import atomic_file, write_json
from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.baselines.matrix_factorisation import warp_factors
from ssl_audio.recommenders.baselines.node2vec import Node2VecSettings, node2vec_vectors
from ssl_audio.recommenders.baselines.simple import popularity_scores, random_scores
from ssl_audio.recommenders.baselines.track2vec import concatenated, track2vec
from ssl_audio.recommenders.data.collection import codes_of
from ssl_audio.recommenders.data.graph import TrackGraph
from ssl_audio.recommenders.data.sampling import PairSampler
from ssl_audio.recommenders.data.training_data import TrainingData
from ssl_audio.recommenders.evaluation.completion import CompletionTask, scores_by_cosine
from ssl_audio.recommenders.evaluation.next_track import (
    CatalogueScorer,
    by_chance,
    by_cosine,
    by_logits,
    by_popularity,
)
from ssl_audio.recommenders.models.induction import save_scaler
from ssl_audio.recommenders.models.musig import TASKS, Musig
from ssl_audio.recommenders.models.musig_training import MusigTraining, PairBatches
from ssl_audio.recommenders.models.task_weights import FixedWeights, LearntWeights
from ssl_audio.recommenders.training import fit_or_resume, read_history
from ssl_audio.settings.recommend import RecommendSettings, TransformerSettings
from ssl_audio.settings.tree import plain

if TYPE_CHECKING:
    from ssl_audio.recommenders.models.m2grl import M2GRL
    from ssl_audio.recommenders.models.m2grl_batches import Views
    from ssl_audio.recommenders.models.transformer import PlaylistTransformer

Scorer = Callable[[CompletionTask], np.ndarray]
MODELS = ("musig", "m2grl", "transformer")
BASELINES = ("random", "popularity", "warp", "track2vec", "node2vec", "graphsage", "embeddings")
ALONE = (1, 0, 0)  # the playlist task: GraphSAGE
PUBLISHED_WEIGHTS = ((1, 1, 1), (1, 0, 0), (0.7, 0.1, 0.2), (0.4, 0.2, 0.4))  # section 4.2
MAIN, BY_TASK, BY_WEIGHTS = "main", "by_task", "by_weights"
VECTORS, MODEL, SECONDS, IDENTITY = "vectors.npy", "model", "seconds.json", "identity.json"


@dataclass
class System:
    """One row of a table.

    Attributes:
        name: of the model.
        features: what it is told of the tracks.
        folder: of what it keeps.
        train: makes its vectors, (tracks, d); None where it ranks otherwise.
        score: ranks otherwise.
        everywhere: from rows of the catalogue, what scores them all.
        table: the table that it is in.
        main: the others are compared with it.
    """

    name: str
    features: str
    folder: Path
    train: Callable[[], np.ndarray] | None = None
    score: Callable[[], Scorer] | None = None
    everywhere: Callable[[np.ndarray], CatalogueScorer] | None = None
    table: str = MAIN
    main: bool = False

    @property
    def label(self) -> str:
        """Name and features."""
        return f"{self.name} {self.features}".strip()

    @property
    def key(self) -> str:
        """Table, name and features."""
        return f"{self.label}, {self.table}" if self.table != MAIN else self.label

    def vectors(self) -> np.ndarray | None:
        """(tracks, d) those that are kept, else made now; None of a system without."""
        if self.train is None:
            return None
        kept = self.folder / VECTORS
        if kept.exists():
            return np.load(kept, allow_pickle=False)
        started = time.monotonic()
        made = self.train()
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / SECONDS, {"training": round(time.monotonic() - started, 1)})
        with atomic_file(kept) as temporary, open(temporary, "wb") as file:
            np.save(file, made.astype(np.float32))
        return made

    def seconds(self) -> float | None:
        """How long its training took, in whichever run that was."""
        kept = self.folder / SECONDS
        return float(json.loads(kept.read_text())["training"]) if kept.exists() else None

    def scorer(self) -> Scorer:
        """Ranks the candidates of a task, after training where that is to be done."""
        vectors = self.vectors()
        if vectors is not None:
            return partial(scores_by_cosine, vectors)
        assert self.score is not None
        return self.score()

    def catalogue_scorer(self, rows: np.ndarray) -> CatalogueScorer:
        """Scores rows of the catalogue as what comes next, after training as `scorer`."""
        vectors = self.vectors()
        if vectors is not None:
            return by_cosine(vectors, rows)
        assert self.everywhere is not None
        return self.everywhere(rows)

    def losses(self) -> dict[str, Any] | None:
        """The terms that were logged in training, by step."""
        history = read_history(self.folder)
        if not history:
            return None
        terms = [t for t in history[0] if t not in ("step", "total")] or ["total"]
        return {
            "step": [row["step"] for row in history],
            "terms": {t: [row.get(t) for row in history] for t in terms},
        }


def systems_of(settings: RecommendSettings, data: TrainingData, folder: Path) -> list[System]:
    """All systems of a comparison: baselines, what is compared with them, then variants.

    Raises:
        SslAudioError: an unknown model or baseline, or features that are not at hand.
    """
    made = _Systems(settings, data, folder / "systems")
    baselines = BASELINES if settings.baselines is None else settings.baselines
    for name in baselines:
        if name not in BASELINES:
            raise SslAudioError(f"baselines={name}: with playlists= {', '.join(BASELINES)}")
    found = [system for name in baselines if made.can(name) for system in made.baseline(name)]
    if settings.by_features:
        found += made.by_features()
    for name in settings.model:
        found.append(getattr(made, name)())
        found[-1].main = True
    if settings.by_task:
        found += made.by_task()
    if settings.by_weights:
        found += made.by_weights()
    return _distinct(found)


def check_kept(folder: Path, identity: Mapping[str, Any]) -> None:
    """Refuse to mix what a run's folder keeps with systems that other settings would make.

    Args:
        folder: of the systems.
        identity: whatever decides what is trained, as plain values by name.

    Raises:
        SslAudioError: the folder's systems were made with other ones.
    """
    path = folder / IDENTITY
    now = json.loads(json.dumps(identity, default=str))
    if path.exists():
        then = json.loads(path.read_text(encoding="utf-8"))
        changed = sorted(key for key in now.keys() | then.keys() if now.get(key) != then.get(key))
        if changed:
            raise SslAudioError(
                f"{folder} keeps systems that were made with another {', '.join(changed)}: name "
                "another run_dir"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, now)


def identity_of(settings: RecommendSettings, data: TrainingData) -> dict[str, Any]:
    decide = ("seed", "stores", "missing", "graph", "musig", "m2grl", "transformer")
    """What decides how a comparison's systems come out."""
    values = plain(settings)
    cold = settings.completion.cold
    return {**{key: values[key] for key in decide}, "completion.cold": cold, **data.hashes}


def _distinct(systems: list[System]) -> list[System]:
    """Each once, as a variant may be the model itself."""
    kept: dict[str, System] = {}
    for system in systems:
        system.main |= system.key in kept and kept[system.key].main
        kept[system.key] = system
    return list(kept.values())


def folder_of(parent: Path, label: str) -> Path:
    """Where a system keeps what it has made: its label in small letters, digits and dashes."""
    name = "".join(c if c.isalnum() else "-" for c in label.lower())
    return parent / "-".join(filter(None, name.split("-")))


def degree_features(graph: TrackGraph) -> np.ndarray:
    """(tracks, 2) float32 in [0, 1]: how many neighbours a track has, and a constant."""
    degrees = np.log1p(graph.degree.astype(np.float32))
    return np.stack([degrees / degrees.max(), np.ones_like(degrees)], axis=1)


class _Systems:
    """Makes systems of one comparison."""

    def __init__(self, settings: RecommendSettings, data: TrainingData, folder: Path) -> None:
        self.settings, self.data, self.folder = settings, data, folder
        self.ckpt_path = settings.ckpt_path
        self.seed = settings.seed
        self.told = ", ".join(settings.features)

    def _place(self, label: str, table: str = MAIN) -> Path:
        return folder_of(self.folder, f"{table} {label}")

    def _system(self, name: str, features: str = "", table: str = MAIN, **kept: Any) -> System:
        return System(name, features, self._place(f"{name} {features}", table), table=table, **kept)

    def can(self, name: str) -> bool:
        """Whether a baseline's data is at hand; a note says so where it is not."""
        if name == "embeddings" and self.data.embeddings is None:
            self.data.note("the baseline embeddings is left out: give stores.embeddings=")
            return False
        return True

    # --- baselines -------------------------------------------------------------------------------

    def baseline(self, name: str) -> list[System]:
        """One of `BASELINES`; GraphSAGE without features, and with those of MUSIG."""
        if name == "graphsage":
            return [self._plain_graphsage(), self._graph_model("GraphSAGE", self.told, ALONE)]
        made = {
            "random": lambda: self._system(
                "Random",
                score=lambda: partial(random_scores, seed=self.seed),
                everywhere=partial(by_chance, self.seed),
            ),
            "popularity": lambda: self._system(
                "Popularity",
                score=lambda: partial(popularity_scores, counts=self.data.counts),
                everywhere=partial(by_popularity, self.data.counts),
            ),
            "warp": lambda: self._system("CF (WARP)", train=self._warp),
            "track2vec": lambda: self._system("Track2Vec", train=self._track2vec),
            "node2vec": lambda: self._system("Node2Vec", train=self._node2vec),
            "embeddings": lambda: self._system("Audio embeddings", train=self._embeddings),
        }[name]
        return [made()]

    def _warp(self) -> np.ndarray:
        data = self.data
        return warp_factors(data.train, len(data.catalogue), seed=self.seed).tracks

    def _track2vec(self) -> np.ndarray:
        from ssl_audio.recommenders.baselines.track2vec import Word2VecSettings

        chosen = Word2VecSettings(seed=self.seed)
        return track2vec(self.data.train, len(self.data.catalogue), chosen)

    def _node2vec(self) -> np.ndarray:
        graph = self.data.graph
        chosen = Node2VecSettings()
        chosen = replace(chosen, skip_gram=replace(chosen.skip_gram, seed=self.seed))
        return node2vec_vectors(graph.offsets, graph.neighbours, graph.weights, chosen)

    def _embeddings(self) -> np.ndarray:
        """About their mean, which they all share and which makes every cosine high."""
        data = self.data
        assert data.embeddings is not None
        mean = data.embeddings[data.has_audio & (data.counts > 0)].mean(0)
        return np.where(data.has_audio[:, None], data.embeddings - mean, 0)

    def _plain_graphsage(self) -> System:
        """GraphSAGE that knows of a track how many neighbours it has, and nothing else."""
        return self._graph_model("GraphSAGE", "", ALONE)

    # --- MUSIG -----------------------------------------------------------------------------------

    def musig(self) -> System:
        """As the recipe says."""
        return self._graph_model("MUSIG", self.told, self.musig_weights())

    def by_features(self) -> list[System]:
        """MUSIG's Table 2: each group of features, in three models."""
        found = []
        for group in self.data.groups:
            joined = partial(self._track2vec_with, group)
            found.append(self._system("Track2Vec", group, train=joined))
        for group in self.data.groups:
            found.append(self._graph_model("GraphSAGE", group, ALONE))
        every = ", ".join(self.data.groups)
        if len(self.data.groups) > 1:
            found.append(self._graph_model("GraphSAGE", every, ALONE))
        weights = self.musig_weights()
        return found + [self._graph_model("MUSIG", group, weights) for group in self.data.groups]

    def musig_weights(self) -> Any:
        """Of the recipe: learnt, or one for each task."""
        return self.settings.musig.weights

    def by_task(self) -> list[System]:
        """MUSIG's Table 3: what the sound task compares, against what the tracks are told by."""
        return [
            self._graph_model("MUSIG", features, self.musig_weights(), sound, BY_TASK)
            for sound in ("audio", "acoustic")
            for features in ("acoustic", "audio")
        ]

    def by_weights(self) -> list[System]:
        """MUSIG with each of its published task weights, and with learnt ones."""
        choices: list[Any] = [*PUBLISHED_WEIGHTS, "learnt"]
        return [
            self._graph_model("MUSIG", self.told, weights, table=BY_WEIGHTS) for weights in choices
        ]

    def _track2vec_with(self, group: str) -> np.ndarray:
        kept = self._place("Track2Vec") / VECTORS
        vectors = np.load(kept) if kept.exists() else self._track2vec()
        return concatenated(vectors, self.data.features([group], self.settings.missing)[0])

    def _graph_model(
        self, name: str, features: str, weights: Any, sound: str | None = None, table: str = MAIN
    ) -> System:
        sound = sound or self.settings.musig.similarity
        system = self._system(_name(name, weights, sound, table), features, table)
        groups = [group.strip() for group in features.split(",") if group.strip()]
        self._node_features(groups)  # refused before anything is trained, as an empty graph is
        assert self.data.graph.edges
        if weights == "learnt" or weights[TASKS.index("similarity")]:
            self.data.similarity_features(sound)
        system.train = partial(self._train_graph_model, groups, weights, sound, system.folder)
        return system

    def _train_graph_model(
        self, groups: list[str], weights: Any, sound: str, folder: Path
    ) -> np.ndarray:
        data, chosen = self.data, self.settings.musig
        features = self._node_features(groups)
        torch.manual_seed(self.seed)
        model = Musig(
            features.shape[1],
            LearntWeights(TASKS)
            if weights == "learnt"
            else FixedWeights(dict(zip(TASKS, map(float, weights), strict=True))),
            chosen,
        )  # fmt: skip
        genres, _ = codes_of(data.catalogue.genres)
        if "genre" in model.tasks and not any(data.catalogue.genres):
            data.note("no track has a genre: the genre task has nothing to learn from")
        training = MusigTraining(model, features, data.graph, genres, *self._sound(model, sound))
        pairs = PairSampler(
            data.graph, chosen.batch_size, chosen.negatives, self.seed,
            negative_power=chosen.negative_power,
        )  # fmt: skip
        self._fit(training, PairBatches(pairs, self.seed), "musig.steps", chosen.steps, folder)
        about = {"features": groups, "sound": sound, "genres": data.genres,
                 "counted": data.popularity_counted}  # fmt: skip
        model.save(folder / MODEL, about)
        if groups:
            save_scaler(data.features(groups, self.settings.missing)[1], folder / MODEL)
        return model.vectors(features, data.graph)

    def _node_features(self, groups: list[str]) -> np.ndarray:
        if groups:
            return self.data.features(groups, self.settings.missing)[0]
        return degree_features(self.data.graph)

    def _sound(self, model: Musig, sound: str) -> tuple[np.ndarray, np.ndarray]:
        """What the sound task compares, and of which tracks it is known; nothing, where it does not
        count and nothing is at hand."""
        if "similarity" in model.tasks or sound in self.data.groups:
            values, heard = self.data.similarity_features(sound)
        else:
            values = np.zeros((len(self.data.catalogue), 1), np.float32)
            heard = np.zeros(len(values), bool)
        return values, heard

    def _fit(
        self,
        model: torch.nn.Module,
        make_batch: Any,
        key: str,
        steps: int,
        folder: Path,
        clip: float | None = None,
    ) -> None:
        fit_or_resume(
            model, make_batch, folder, self.settings.trainer, steps=steps, seed=self.seed,
            clip=clip, key=key, run_dir=self.folder.parent, ckpt_path=self.ckpt_path,
        )  # fmt: skip

    # --- M2GRL -----------------------------------------------------------------------------------

    def m2grl(self) -> System:
        """Items, their genres and their artists, as far as they are known."""
        from ssl_audio.recommenders.models.m2grl import M2GRL
        from ssl_audio.recommenders.models.m2grl_batches import catalogue_views

        settings = self.settings.m2grl
        views = catalogue_views(self.data.train, self.data.catalogue)
        # made here already, so that weights of other tasks are refused before anything is trained
        model = M2GRL(views[2], list(views[1]), settings, self.seed)
        system = self._system("M2GRL")
        system.train = partial(self._train_m2grl, model, views, system.folder)
        return system

    def _train_m2grl(self, model: M2GRL, views: Views, folder: Path) -> np.ndarray:
        from ssl_audio.recommenders.models.m2grl_batches import M2GRLBatches

        batches = M2GRLBatches(*views, model.settings, self.seed)
        chosen = self.settings.m2grl
        self._fit(model, batches, "m2grl.steps", chosen.steps, folder, chosen.clip)
        model.save(folder / MODEL)
        vectors = model.vectors()
        return np.where((self.data.counts > 0)[:, None], vectors, 0)  # others were never learnt

    # --- the transformer -------------------------------------------------------------------------

    def transformer(self) -> System:
        """Ids, artists and albums, and sound where there are embeddings."""
        features = "embeddings" if self.data.embeddings is not None else ""
        system = self._system("Transformer", features)
        unheard = int((~self.data.has_audio).sum()) if features else 0
        if unheard:
            self.data.note(
                f"{unheard} tracks have no audio embedding; the transformer does without"
            )
        settings = self.settings.transformer
        trained = partial(self._trained_transformer, settings, system.folder)
        system.score = lambda: partial(_completion_logits, trained())
        system.everywhere = lambda rows: by_logits(trained(), rows)
        return system

    def _trained_transformer(
        self, settings: TransformerSettings, folder: Path
    ) -> PlaylistTransformer:
        from ssl_audio.recommenders.data.vocabulary import vocabulary_of
        from ssl_audio.recommenders.models.track_embedding import SideInformation
        from ssl_audio.recommenders.models.transformer import PlaylistTransformer, load_transformer
        from ssl_audio.recommenders.models.transformer_batches import TransformerBatches

        data = self.data
        audio = data.embeddings
        heard = None if audio is None else data.has_audio
        kept = folder / "model"
        if not kept.exists():
            vocabulary = vocabulary_of(data.train, len(data.catalogue))
            warm = data.validation.without_tracks(data.cold)  # as those that are read later
            rate = vocabulary.unknown_share(warm)
            batches = TransformerBatches(data.train, vocabulary, settings, rate, self.seed)
            side = SideInformation.of(data.catalogue, audio, heard)
            torch.manual_seed(self.seed)  # of the dropout
            made = PlaylistTransformer(vocabulary, settings, side, self.seed)
            self._fit(made, batches, "transformer.steps", settings.steps, folder)
            made.save(kept)
        return load_transformer(kept, audio, heard)


def _completion_logits(model: PlaylistTransformer, task: CompletionTask) -> np.ndarray:
    return model.scores(task.seeds, task.candidates)


def _name(name: str, weights: Any, sound: str, table: str) -> str:
    if table == BY_TASK:
        return f"{name}, {sound} task"
    if table == BY_WEIGHTS:
        shown = weights if isinstance(weights, str) else ", ".join(f"{w:g}" for w in weights)
        return f"{name} ({shown})"
    return name
