"""A comparison of playlist models: train them, complete held-out playlists, say what is better."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ssl_audio.io.atomic import write_json
from ssl_audio.io.console import say
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.run_folder import CONFIG, choose_run_folder, open_run_folder, versions
from ssl_audio.recommenders.data.node_features import ACOUSTIC, AUDIO
from ssl_audio.recommenders.data.training_data import (
    TrainingData,
    load_training_data,
)
from ssl_audio.recommenders.evaluation.completion import CompletionTask, completion_task, evaluate
from ssl_audio.recommenders.evaluation.correlation import co_occurrence_by_sound
from ssl_audio.recommenders.evaluation.next_track import (
    NextTrackTask,
    next_track_figures,
    next_track_task,
)
from ssl_audio.recommenders.evaluation.significance import all_paired, holm, interval
from ssl_audio.recommenders.models.induction import write_vectors
from ssl_audio.recommenders.systems import (
    BY_TASK,
    BY_WEIGHTS,
    MAIN,
    System,
    check_kept,
    identity_of,
    systems_of,
)
from ssl_audio.settings.recommend import RecommendSettings
from ssl_audio.settings.tree import plain, to_yaml

INPUTS = ("train.parquet", "playlists.duckdb")  # files of a run folder that are no results
COMPARED = ("hr", "ndcg@10")  # the metrics of paired differences
COLUMNS = {
    "hr": "HR", "mrr": "MRR", "precision@1": "P@1", "precision@5": "P@5", "precision@10": "P@10",
    "ndcg@1": "NDCG@1", "ndcg@5": "NDCG@5", "ndcg@10": "NDCG@10",
}  # fmt: skip
SINGLE_TASK = "MUSIG (1, 0, 0)"  # GraphSAGE, where weights are compared
COLD, WHOLE = "cold", "whole catalogue"
NEXT_COMPARED = ("next_track@10", "r_precision")
HEARD_FIRST = (ACOUSTIC, AUDIO)  # the groups that tell how tracks sound, the better one first
TEXTS = {
    MAIN: ("Playlist completion", "Mean over playlists, as in Table 2 of MUSIG."),
    COLD: ("Completion with cold tracks", "Only tracks that were held out of every training "
           "playlist are to be found, among other cold tracks; nothing but their sound is known."),
    WHOLE: ("Whole-catalogue ranking", "After the same seeds, lists of 500 out of all tracks but "
            "the cold ones and the seeds: whether the very next track is among the first 1, 10 and "
            "50, and the figures of the Million Playlist Dataset's challenge (clicks: fewer are "
            "better)."),
    BY_TASK: ("Sound task and node features", "MUSIG's Table 3."),
    BY_WEIGHTS: ("Task weights", "Of the tasks playlist, genre and sound."),
}  # fmt: skip


@contextmanager
def run_folder(settings: RecommendSettings, name: str) -> Iterator[Path]:
    """The folder of a run, new or resumed; removed again where nothing has been trained in it."""
    resume = settings.ckpt_path is not None
    folder = settings.run_dir if resume else choose_run_folder(settings.run_dir, name)
    assert folder is not None  # the settings require run_dir= with ckpt_path=
    resumed = resume and (folder / CONFIG).exists()
    with open_run_folder(folder, to_yaml(settings), resumed, INPUTS):
        yield folder


def compare(settings: RecommendSettings) -> dict[str, Any]:
    """Train and measure every system; returns what is written to `results.json`.

    Each finished system is kept in the run's folder `systems/`; `ckpt_path=last` resumes after it.

    Raises:
        SslAudioError: playlists, features or settings that cannot be used.
    """
    with run_folder(settings, "recommend-playlists") as folder:
        return _compare(settings, folder)


def _compare(settings: RecommendSettings, folder: Path) -> dict[str, Any]:
    assert settings.playlists is not None
    started = time.monotonic()
    data = load_training_data(
        settings.playlists, folder, settings.stores, min_weight=settings.graph.min_weight,
        cold=settings.completion.cold, seed=settings.seed, music=settings.music,
        unknown=settings.unknown,
    )  # fmt: skip
    seconds = {"data": time.monotonic() - started}
    systems = systems_of(settings, data, folder)
    tasks = _tasks(settings, data)
    whole = _whole_task(settings, data, tasks[MAIN])
    check_kept(folder / "systems", identity_of(settings, data))
    figures: dict[str, dict[str, dict[str, np.ndarray]]] = {name: {} for name in (*tasks, WHOLE)}
    for number, system in enumerate(systems, 1):
        say(f"[{number}/{len(systems)}] {system.name} {system.features}".rstrip())
        started = time.monotonic()
        scorer = system.scorer()
        seconds[system.key] = system.seconds() or time.monotonic() - started
        for name, task in tasks.items():
            figures[name][system.key] = evaluate(task, scorer(task)).columns()
        if system.table == MAIN:
            score = system.catalogue_scorer(whole.rows)
            figures[WHOLE][system.key] = next_track_figures(whole, score)
    results = {
        "kind": "playlists",
        "format": 1,
        "run": str(folder),
        "seed": settings.seed,
        "protocol": _protocol(settings, tasks),
        "data": data.summary(),
        "tables": _tables(settings, systems, tasks, whole, figures, seconds),
        "models": {s.name.lower(): s.folder.name for s in systems if s.main},
        "losses": {s.label: s.losses() for s in systems if s.losses()},
        "correlation": _correlation(data, settings),
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "config": plain(settings),
        "versions": versions(),
    }
    write_json(folder / "results.json", results)
    for system in systems:
        vectors = system.vectors() if system.main else None
        if vectors is not None:
            name = system.name.lower()
            write_vectors(folder / f"{name}-tracks.parquet", name, data.catalogue.ids, vectors)
    return results


def _tasks(settings: RecommendSettings, data: TrainingData) -> dict[str, CompletionTask]:
    """Completion of test playlists, of all their tracks and of cold ones alone."""
    chosen = settings.completion
    wanted: dict[str, Any] = {"seed_share": chosen.seed_share, "least": chosen.min_tracks,
              "most": chosen.max_playlists, "seed": settings.seed}  # fmt: skip
    tracks = len(data.catalogue)
    warm = data.test.without_tracks(data.cold)
    tasks = {MAIN: _several(completion_task(warm, tracks, pool=~data.cold, **wanted))}
    if data.cold.any():
        try:
            tasks[COLD] = _several(completion_task(data.test, tracks, cold=data.cold, **wanted))
        except SslAudioError as error:
            data.note(f"no table of cold tracks: {error}")
    return tasks


def _several(task: CompletionTask) -> CompletionTask:
    if len(task) < 2:
        raise SslAudioError(
            "one test playlist alone can be completed, and an interval needs two: give more "
            "playlists, or lower completion.min_tracks="
        )
    return task


def _whole_task(
    settings: RecommendSettings, data: TrainingData, task: CompletionTask
) -> NextTrackTask:
    warm = data.test.without_tracks(data.cold)
    artists = data.catalogue.artists
    return next_track_task(task, warm, ~data.cold, settings.seed, artists=artists)


def _protocol(settings: RecommendSettings, tasks: Mapping[str, CompletionTask]) -> str:
    share = 100 * settings.completion.seed_share
    least = settings.completion.min_tracks
    return (
        f"The first {share:g} % of each of {len(tasks[MAIN])} test playlists of {least} or more "
        "tracks are the seeds; the rest, mixed with as many random tracks, is ranked."
    )


def _tables(
    settings: RecommendSettings,
    systems: Sequence[System],
    tasks: Mapping[str, CompletionTask],
    whole: NextTrackTask,
    figures: Mapping[str, Mapping[str, Mapping[str, np.ndarray]]],
    seconds: Mapping[str, float],
) -> list[dict[str, Any]]:
    made = [_table(settings, _of(systems, MAIN), MAIN, figures[MAIN], seconds)]
    if COLD in tasks:
        made.append(_table(settings, _of(systems, MAIN), COLD, figures[COLD], seconds))
        made[-1]["caption"] += f" {len(tasks[COLD])} playlists."
    made.append(_table(settings, _of(systems, MAIN), WHOLE, figures[WHOLE], seconds))
    made[-1]["columns"] = whole.columns()
    made[-1]["caption"] += f" {len(whole)} playlists."
    for table in (BY_TASK, BY_WEIGHTS):
        if rows := _of(systems, table):
            made.append(_table(settings, rows, table, figures[MAIN], seconds))
    return made


def _of(systems: Sequence[System], table: str) -> list[System]:
    return [system for system in systems if system.table == table]


def _table(
    settings: RecommendSettings,
    systems: Sequence[System],
    table: str,
    figures: Mapping[str, Mapping[str, np.ndarray]],
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    chosen = {"seed": settings.seed, "resamples": settings.completion.resamples}
    rows = [
        {
            "system": system.name,
            "features": system.features,
            "seconds": round(seconds[system.key], 1),
            "figures": {
                key: asdict(interval(values, **chosen))
                for key, values in figures[system.key].items()
            },
        }
        for system in systems
    ]
    name, caption = TEXTS[table]
    return {
        "name": name,
        "caption": caption,
        "columns": [{"key": key, "title": title} for key, title in COLUMNS.items()],
        "rows": rows,
        "differences": differences(
            systems, figures, chosen, NEXT_COMPARED if table == WHOLE else COMPARED
        ),
    }


def compared(systems: Sequence[System]) -> list[tuple[System, System]]:
    """What is tested against what: each main system against all others, and a variant of MUSIG
    against what it adds to, single-task or without a graph, with the same features."""
    pairs = [(a, b) for a in systems if a.main for b in systems if b is not a]
    for a in systems:
        if a.main or not a.name.startswith("MUSIG"):
            continue
        plain = (SINGLE_TASK, "GraphSAGE", "Track2Vec")
        pairs += [(a, b) for b in systems
                  if b is not a and b.name in plain and b.features == a.features]  # fmt: skip
    return pairs


def differences(
    systems: Sequence[System],
    figures: Mapping[str, Mapping[str, np.ndarray]],
    chosen: Mapping[str, int],
    metrics: Sequence[str] = COMPARED,
) -> list[dict[str, Any]]:
    """Pairs of `compared`; p values are corrected over all pairs of a metric (Holm)."""
    found, pairs = [], compared(systems)
    for metric in metrics:
        values = [(figures[a.key][metric], figures[b.key][metric]) for a, b in pairs]
        tested = all_paired(values, **chosen)
        corrected = holm([one.p for one in tested])
        found += [
            {"a": a.label, "b": b.label, "metric": metric, **asdict(one), "p": float(p)}
            for (a, b), one, p in zip(pairs, tested, corrected, strict=True)
        ]
    return found


def _correlation(data: TrainingData, settings: RecommendSettings) -> dict[str, Any] | None:
    name = next((g for g in HEARD_FIRST if g in data.groups), None)
    if name is None:
        return None
    group = data.groups[name]
    found = co_occurrence_by_sound(data.train, group.values, group.present, settings.seed)
    return found and {**found, "of": f"{name} similarity (inner product)"}
