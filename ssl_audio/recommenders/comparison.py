"""A comparison of recommenders: trained one after the other, measured, and kept in a run folder."""

from __future__ import annotations

import copy
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ssl_audio.io.atomic import write_json
from ssl_audio.io.console import say
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.json_file import read_json
from ssl_audio.io.run_folder import CONFIG, choose_run_folder, open_run_folder, versions
from ssl_audio.recommenders.data.node_features import ACOUSTIC, AUDIO
from ssl_audio.recommenders.data.training_data import TrainingData, load_training_data
from ssl_audio.recommenders.evaluation.correlation import co_occurrence_by_similarity
from ssl_audio.recommenders.evaluations import Evaluation, evaluations_of
from ssl_audio.recommenders.recommender import (
    Recommender,
    baseline_names,
    make,
    training_seconds,
)
from ssl_audio.recommenders.session_data import load_session_data, movielens_folder
from ssl_audio.recommenders.tables import BY_TASK, BY_WEIGHTS, MAIN, Figures, Reporter, Role
from ssl_audio.recommenders.tuning import FOLDER, tune
from ssl_audio.reports.results import (
    CoOccurrence,
    LossHistory,
    PlaylistResults,
    Table,
    write_results,
)
from ssl_audio.settings.recommend import OF_RECOMMENDERS, RecommendSettings, Tuning
from ssl_audio.settings.recommenders import VARIANTS
from ssl_audio.settings.tree import plain, to_yaml
from ssl_audio.stores.columns import Row as StoredRow
from ssl_audio.stores.writer import write_store

INPUTS = ("train.parquet", "playlists.duckdb")  # files of a run folder that are not results
SYSTEMS, IDENTITY = "systems", "identity.json"
SIMILARITIES = (ACOUSTIC, AUDIO)  # feature groups of the correlation, the preferred one first
VARIANT_TABLES = {
    BY_TASK: ("Similarity task and node features", "MUSIG's Table 3."),
    BY_WEIGHTS: ("Task weights", "The same model with other weights of its tasks."),
}


def compare(settings: RecommendSettings) -> PlaylistResults:
    """Train and measure every recommender; writes `results.json`.

    What is trained is kept in the run's folder; `ckpt_path=last` resumes after it. All recommenders
    are made first, so that unusable settings or features are refused before any training.

    Raises:
        SslAudioError: playlists, features or settings that cannot be used.
    """
    from ssl_audio.recommenders.training import check_trainer  # Lightning takes seconds to import

    resume = settings.ckpt_path is not None
    folder = settings.run_dir
    if not resume:
        folder = choose_run_folder(folder, "recommend")
    assert folder is not None  # ckpt_path= requires run_dir=
    resumed = resume and (folder / CONFIG).exists()
    check_trainer(settings.trainer)
    with open_run_folder(folder, to_yaml(settings), resumed, INPUTS):
        started = time.monotonic()
        data = load_data(settings, folder)
        return compare_on(settings, data, folder, time.monotonic() - started)


def compare_on(
    settings: RecommendSettings, data: TrainingData, folder: Path, seconds: float
) -> PlaylistResults:
    """`compare` on data that were loaded in some seconds, in a folder that is there."""
    results = _Run(settings, data, folder, {"data": seconds}).results()
    write_results(folder, results)
    return results


def load_data(settings: RecommendSettings, folder: Path) -> TrainingData:
    """The data of a comparison; `folder` is that of the run."""
    if movielens := movielens_folder(settings.playlists):
        chosen = settings.m2grl
        return load_session_data(movielens, settings.sessions, chosen.categories, chosen.validate)
    return load_training_data(
        settings.playlists, folder, settings.stores, min_weight=settings.graph.min_weight,
        cold=settings.completion.cold, seed=settings.seed, music=settings.music,
        unknown=settings.unknown,
    )  # fmt: skip


def make_recommenders(settings: RecommendSettings, data: TrainingData) -> list[Recommender]:
    """All rows of a comparison: baselines, models, and variants of the models.

    Raises:
        SslAudioError: one that cannot be imported, or trained with these settings and data.
    """
    names = baseline_names(settings, data)
    listed = [one for name in names for one in make(name, settings, data)]
    listed += VARIANTS["by_features"](settings, data) if settings.by_features else []
    for name in settings.model:
        made = make(name, settings, data, required=True)
        made[0].role, made[0].model = Role.MODEL, name
        listed += made
    for variants in ("by_task", "by_weights"):
        listed += VARIANTS[variants](settings, data) if getattr(settings, variants) else []
    found: dict[str, Recommender] = {}
    for one in listed:  # a variant may be a model itself
        if one.key not in found or one.role is Role.MODEL:
            found[one.key] = one
    return list(found.values())


def fitted(one: Recommender, folder: Path, number: int = 0) -> tuple[Recommender, Path]:
    """A trained copy of a recommender, and its folder.

    Args:
        one: not trained; it stays so, that one trained recommender is in memory at a time.
        folder: of the run.
        number: of the training seed, from 0.
    """
    trained = copy.copy(one)
    trained.settings = replace(one.settings, seed=one.settings.seed + number)
    own = folder / (f"{SYSTEMS}-seed-{number}" if number else SYSTEMS) / one.folder
    trained.fit(own)
    return trained, own


@dataclass
class _Run:
    """One comparison, as far as it has come.

    Attributes:
        settings, data, folder: of the run.
        seconds: by stage, and by key of each recommender.
        losses: of the first training seed, by label.
        own_tables: of single recommenders.
    """

    settings: RecommendSettings
    data: TrainingData
    folder: Path
    seconds: dict[str, float]
    losses: dict[str, LossHistory] = field(default_factory=dict)
    own_tables: list[Table] = field(default_factory=list)

    def results(self) -> PlaylistResults:
        recommenders = make_recommenders(self.settings, self.data)
        protocol, evaluations = evaluations_of(self.settings, self.data)
        if isinstance(self.settings.tune, Tuning):
            recommenders, evaluations = self._tuned(self.settings.tune, evaluations)
        check_kept(self.folder / SYSTEMS, identity_of(self.settings, self.data))
        figures: list[dict[str, Figures]] = [{} for _ in evaluations]
        for number, one in enumerate(recommenders, 1):
            say(f"[{number}/{len(recommenders)}] {one.label}")
            for measured, found in zip(figures, self._measure(one, evaluations), strict=False):
                measured[one.key] = found
        if self.settings.seeds > 1:
            protocol += f" Means over {self.settings.seeds} training seeds."
        return PlaylistResults(
            run=str(self.folder), seed=self.settings.seed, config=plain(self.settings),
            versions=versions(), seconds={k: round(v, 1) for k, v in self.seconds.items()},
            protocol=protocol, tables=tuple(self._tables(recommenders, evaluations, figures)),
            data=self.data.summary(), losses=self.losses,
            correlation=_correlation(self.data, self.settings.seed),
            models={one.model: one.folder for one in recommenders if one.model},
        )  # fmt: skip

    def _tuned(
        self, chosen: Tuning, evaluations: Sequence[Evaluation]
    ) -> tuple[list[Recommender], list[Evaluation]]:
        """The recommenders with chosen settings, and the evaluations, which say so."""
        started = time.monotonic()
        check_kept(self.folder / FOLDER, identity_of(self.settings, self.data))
        self.settings, table = tune(self.settings, self.data, self.folder)
        self.seconds["tuning"] = time.monotonic() - started
        self.own_tables.append(table)
        said = f" Settings were chosen by at most {chosen.trials} trials on the validation part."
        found = [
            replace(one, tables=tuple(replace(t, caption=t.caption + said) for t in one.tables))
            for one in evaluations
        ]
        return make_recommenders(self.settings, self.data), found

    @property
    def reporter(self) -> Reporter:
        return Reporter(self.settings.seed, self.settings.completion.resamples, self.seconds)

    def _measure(self, one: Recommender, evaluations: Sequence[Evaluation]) -> list[Figures]:
        """(seeds, playlists) figures of each evaluation; of variants, of the first alone."""
        wanted = evaluations if MAIN in one.tables else evaluations[:1]
        found: list[list[dict[str, np.ndarray]]] = [[] for _ in wanted]
        spent = []
        for number in range(self.settings.seeds if one.random else 1):
            started = time.monotonic()
            trained, own = fitted(one, self.folder, number)
            spent.append(training_seconds(own) or time.monotonic() - started)
            for kept, evaluation in zip(found, wanted, strict=True):
                kept.append(evaluation.figures(trained))
            if number == 0:
                self.seconds[one.key] = spent[0]
                self._keep(trained, own)
        self.seconds[one.key] = float(np.mean(spent))
        repeats = 1 if one.random else self.settings.seeds
        return [
            {key: np.stack([each[key] for each in kept] * repeats) for key in kept[0]}
            for kept in found
        ]

    def _keep(self, trained: Recommender, own: Path) -> None:
        """The losses, the tables and the vectors of a recommender of the first training seed."""
        if losses := _losses(own):
            self.losses[trained.label] = losses
        self.own_tables += trained.own_tables(own, self.reporter)
        vectors = trained.vectors() if trained.model else None
        if vectors is not None:
            path = self.folder / f"{trained.model}-tracks.parquet"
            write_vectors(path, trained.model, self.data.catalogue.ids, vectors)

    def _tables(
        self, recommenders: Sequence[Recommender], evaluations: Sequence[Evaluation],
        figures: Sequence[dict[str, Figures]],
    ) -> list[Table]:  # fmt: skip
        main = [one for one in recommenders if MAIN in one.tables]
        made = [self.reporter.table(spec, main, measured)
                for evaluation, measured in zip(evaluations, figures, strict=True)
                for spec in evaluation.tables]  # fmt: skip
        for table, (name, caption) in VARIANT_TABLES.items():
            spec = replace(evaluations[0].tables[0], name=name, caption=caption)
            if rows := [one for one in recommenders if table in one.tables]:
                made.append(self.reporter.table(spec, rows, figures[0]))
        return made + self.own_tables


def write_vectors(path: Path, name: str, ids: Sequence[str], vectors: np.ndarray) -> None:
    """Write a feature store of track vectors (tracks, d) of a model; an older one is replaced."""
    digest = hashlib.sha256(vectors.tobytes()).hexdigest()
    about = {"kind": f"{name} track vectors", "model": digest}
    rows = (StoredRow(track, track, 0.0, "", v) for track, v in zip(ids, vectors, strict=True))
    say(f"{write_store(path, about, rows)} tracks x {vectors.shape[1]}: {path}")


def identity_of(settings: RecommendSettings, data: TrainingData) -> dict[str, Any]:
    """The settings and inputs that determine what a comparison trains."""
    values = plain(settings)
    keys = ("seed", "stores", "missing", "graph", "sessions", "overrides", *OF_RECOMMENDERS)
    m2grl = {key: value for key, value in values["m2grl"].items() if key != "by_weights"}
    cold = settings.completion.cold
    return {**{k: values[k] for k in keys}, "m2grl": m2grl, "completion.cold": cold, **data.hashes}


def check_kept(folder: Path, identity: Mapping[str, Any]) -> None:
    """Refuse to resume a run with other settings and inputs than it was started with.

    Raises:
        SslAudioError: what is in the folder was trained with others.
    """
    path = folder / IDENTITY
    now = json.loads(json.dumps(identity, default=str))
    if path.exists():
        then = read_json(path)
        changed = sorted(key for key in now.keys() | then.keys() if now.get(key) != then.get(key))
        if changed:
            raise SslAudioError(
                f"{folder} holds systems that were trained with another {', '.join(changed)}: "
                "name another run_dir"
            )
    else:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, now)


def _losses(folder: Path) -> LossHistory | None:
    """The loss terms that were logged in training."""
    from ssl_audio.recommenders.training import read_history

    history = read_history(folder)
    if not history:
        return None
    terms = [t for t in history[0] if t not in ("step", "total")] or ["total"]
    return LossHistory(
        tuple(int(row["step"]) for row in history),
        {t: tuple(row.get(t, np.nan) for row in history) for t in terms},
    )


def _correlation(data: TrainingData, seed: int) -> CoOccurrence | None:
    name = next((g for g in SIMILARITIES if g in data.groups), None)
    if name is None:
        return None
    group, of = data.groups[name], f"{name} similarity (inner product)"
    return co_occurrence_by_similarity(data.train, group.values, group.present, of, seed)
