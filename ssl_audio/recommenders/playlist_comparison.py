"""A comparison of playlist models: completion of test playlists, whole-catalogue ranking."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ssl_audio.io.console import say
from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.node_features import ACOUSTIC, AUDIO
from ssl_audio.recommenders.data.training_data import TrainingData, load_training_data
from ssl_audio.recommenders.evaluation.completion import (
    CompletionTask,
    completion_figures,
    completion_task,
)
from ssl_audio.recommenders.evaluation.correlation import co_occurrence_by_similarity
from ssl_audio.recommenders.evaluation.next_track import (
    NextTrackTask,
    next_track_figures,
    next_track_task,
)
from ssl_audio.recommenders.induction import write_vectors
from ssl_audio.recommenders.playlist_systems import PlaylistSystem, identity_of, playlist_systems
from ssl_audio.recommenders.systems import BY_TASK, BY_WEIGHTS, MAIN, Run, check_kept
from ssl_audio.recommenders.tables import Figures, Reporter
from ssl_audio.reports.results import Column, CoOccurrence, PlaylistResults, Table
from ssl_audio.settings.recommend import RecommendSettings

COLD, WHOLE = "cold", "whole catalogue"
GAIN = "normalised discounted cumulative gain"
COMPLETION_COLUMNS = (
    Column("hr", "HR", words="hit rate"),
    Column("mrr", "MRR", words="mean reciprocal rank"),
    *(Column(f"precision@{k}", f"P@{k}", words=f"precision at {k}") for k in (1, 5, 10)),
    *(Column(f"ndcg@{k}", f"NDCG@{k}", words=f"{GAIN} at {k}") for k in (1, 5, 10)),
)
CATALOGUE_COLUMNS = (
    *(Column(f"next_track@{k}", f"Next@{k}", words=f"next track among the first {k}")
      for k in (1, 10, 50)),
    Column("r_precision", "R-precision", words="precision in as many ranks as relevant tracks"),
    Column("ndcg", "NDCG", words=f"{GAIN} at 500"),
    Column("clicks", "Clicks", lower_is_better=True, words="clicks until a relevant track"),
)  # fmt: skip
ARTIST_COLUMN = Column(
    "r_precision_artist", "R-precision, artists", words="R-precision with credit for artists"
)
TESTED, CATALOGUE_TESTED = ("hr", "ndcg@10"), ("next_track@10", "r_precision")
SIMILARITIES = (ACOUSTIC, AUDIO)  # feature groups of the correlation, the preferred one first
TEXTS = {
    MAIN: ("Playlist completion", "Mean over playlists, as in Table 2 of MUSIG."),
    COLD: ("Completion with cold tracks", "The tracks to find are in no training playlist, as are "
           "the other candidates; only their audio features are known."),
    WHOLE: ("Whole-catalogue ranking", "After the same seeds, all tracks but the cold ones and the "
            "seeds are ranked: hit rates of the very next track in the first 1, 10 and 50, and the "
            "metrics of the Million Playlist Dataset's challenge on the first 500."),
    BY_TASK: ("Similarity task and node features", "MUSIG's Table 3."),
    BY_WEIGHTS: ("Task weights", "Of the tasks playlist, genre and audio similarity."),
}  # fmt: skip


def compare_on_playlists(settings: RecommendSettings, folder: Path) -> PlaylistResults:
    """Train and measure every system; each finished one is kept in `folder/systems/`."""
    assert settings.playlists is not None
    started = time.monotonic()
    data = load_training_data(
        settings.playlists, folder, settings.stores, min_weight=settings.graph.min_weight,
        cold=settings.completion.cold, seed=settings.seed, music=settings.music,
        unknown=settings.unknown,
    )  # fmt: skip
    run = Run(settings, data, folder / "systems")
    reporter = Reporter(run, {"data": time.monotonic() - started})
    systems = list(playlist_systems(run).values())
    tasks = _tasks(settings, data)
    whole = next_track_task(
        tasks[MAIN], data.test.without_tracks(data.cold), ~data.cold, settings.seed,
        data.catalogue.artists,
    )  # fmt: skip
    check_kept(run.folder, identity_of(run))
    figures = _measure(systems, tasks, whole, reporter.seconds)
    _export(systems, data, folder)
    return reporter.results(
        systems,
        protocol=_protocol(settings, tasks[MAIN]),
        data=data.summary(),
        tables=tuple(_tables(reporter, systems, tasks, whole, figures)),
        correlation=_correlation(data, settings.seed),
    )


def _tasks(settings: RecommendSettings, data: TrainingData) -> dict[str, CompletionTask]:
    """Completion of test playlists: of warm tracks, and of cold tracks where there are any."""
    chosen = settings.completion
    options: dict[str, Any] = {
        "seed_share": chosen.seed_share, "min_tracks": chosen.min_tracks,
        "max_playlists": chosen.max_playlists, "seed": settings.seed,
    }  # fmt: skip
    tracks = len(data.catalogue)
    warm = data.test.without_tracks(data.cold)
    task = completion_task(warm, tracks, pool=~data.cold, **options)
    tasks = {MAIN: _require_two_playlists(task)}
    if data.cold.any():
        try:
            task = completion_task(data.test, tracks, cold=data.cold, **options)
            tasks[COLD] = _require_two_playlists(task)
        except SslAudioError as error:
            data.note(f"no table of cold tracks: {error}")
    return tasks


def _require_two_playlists(task: CompletionTask) -> CompletionTask:
    if len(task) < 2:
        raise SslAudioError(
            "only one test playlist can be completed, and intervals need two: give more playlists, "
            "or lower completion.min_tracks="
        )
    return task


def _measure(
    systems: Sequence[PlaylistSystem],
    tasks: dict[str, CompletionTask],
    whole: NextTrackTask,
    seconds: dict[str, float],
) -> dict[str, dict[str, Figures]]:
    """Figures by task and by key of the system; the systems' times are added to `seconds`."""
    figures: dict[str, dict[str, Figures]] = {name: {} for name in (*tasks, WHOLE)}
    for number, system in enumerate(systems, 1):
        say(f"[{number}/{len(systems)}] {system.label}")
        started = time.monotonic()
        recommender = system.fit()
        seconds[system.key] = system.seconds() or time.monotonic() - started
        for name, task in tasks.items():
            scores = recommender.score(task.seeds, task.candidates)
            figures[name][system.key] = completion_figures(task, scores)
        if MAIN in system.tables:
            score = recommender.catalogue_scorer(whole.rows)
            figures[WHOLE][system.key] = next_track_figures(whole, score)
    return figures


def _tables(
    reporter: Reporter,
    systems: Sequence[PlaylistSystem],
    tasks: dict[str, CompletionTask],
    whole: NextTrackTask,
    figures: dict[str, dict[str, Figures]],
) -> list[Table]:
    artists = (ARTIST_COLUMN,) if whole.artists is not None else ()
    made = []
    for table in (*figures, BY_TASK, BY_WEIGHTS):
        columns, tested = COMPLETION_COLUMNS, TESTED
        if table == WHOLE:
            columns, tested = (*CATALOGUE_COLUMNS, *artists), CATALOGUE_TESTED
        name, caption = TEXTS[table]
        if table in (COLD, WHOLE):
            caption += f" {len(whole if table == WHOLE else tasks[table])} playlists."
        place = table if table in (BY_TASK, BY_WEIGHTS) else MAIN
        if rows := [system for system in systems if place in system.tables]:
            measured = figures.get(table, figures[MAIN])
            made.append(reporter.table(name, caption, columns, rows, measured, tested))
    return made


def _protocol(settings: RecommendSettings, task: CompletionTask) -> str:
    chosen = settings.completion
    return (
        f"The first {100 * chosen.seed_share:g} % of each of {len(task)} test playlists of "
        f"{chosen.min_tracks} or more tracks are the seeds; the rest, mixed with as many random "
        "tracks, is ranked."
    )


def _correlation(data: TrainingData, seed: int) -> CoOccurrence | None:
    name = next((g for g in SIMILARITIES if g in data.groups), None)
    if name is None:
        return None
    group, of = data.groups[name], f"{name} similarity (inner product)"
    return co_occurrence_by_similarity(data.train, group.values, group.present, of, seed)


def _export(systems: Sequence[PlaylistSystem], data: TrainingData, folder: Path) -> None:
    """Write the vectors of all tracks by each model that has them, as feature stores."""
    for system in systems:
        vectors = system.vectors() if system.model else None
        if vectors is not None:
            path = folder / f"{system.model}-tracks.parquet"
            write_vectors(path, system.model, data.catalogue.ids, vectors)
