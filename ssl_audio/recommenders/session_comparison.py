"""A comparison on MovieLens sessions: Tables 2 and 3 of M2GRL, and its section 6.1."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from ssl_audio.io.console import say
from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.evaluation.diversity import category_matrix, diversity_figures, nearest
from ssl_audio.recommenders.evaluation.ranking import ranked
from ssl_audio.recommenders.evaluation.sessions import f1_of, hit_figures
from ssl_audio.recommenders.evaluation.significance import interval_of
from ssl_audio.recommenders.session_data import K, SessionData, load_session_data
from ssl_audio.recommenders.session_systems import (
    SessionRun,
    identity_of,
    m2grl_systems,
    metric_system,
    session_systems,
)
from ssl_audio.recommenders.systems import BY_WEIGHTS, Role, Run, check_kept
from ssl_audio.recommenders.tables import Figures, Reporter
from ssl_audio.reports.results import Column, Interval, PlaylistResults, Table
from ssl_audio.settings.recommend import RecommendSettings

HIT_COLUMNS = (
    Column("hit_rate", f"HitRate@{K}", words=f"users with a hit in {K} items"),
    Column("recall", f"Recall@{K}", words=f"recall in {K} items"),
    Column("precision", f"Precision@{K}", words=f"precision in {K} items"),
    Column("f1", f"F1@{K}", words=f"F1 of precision and recall in {K} items"),
)  # fmt: skip
HIT_TESTED = ("hit_rate", "recall")
DIVERSITY_COLUMNS = (
    Column("new", "New categories", words="share of neighbours of other categories"),
    Column("entropy", "Entropy, bits", words="entropy of the neighbours' categories (bits)"),
    Column("hits", "Hits", words="share of neighbours that co-occur"),
    Column("new_hits", "New hits", words="share that co-occurs and has other categories"),
    Column("discovery", "Discovery", words="share of other categories among those that co-occur"),
)  # fmt: skip
DIVERSITY_TESTED = ("new", "entropy", "hits", "new_hits")
HIT_CAPTION = (
    "Mean over users, as in M2GRL's Table 2; items are ranked by the inner product with the sum of "
    "the history's vectors, weighted by recency; item-CF and popularity have their own scores."
)
WEIGHTS_CAPTION = (
    "M2GRL's Table 3: learnt, uniform and the paper's fixed weights of the tasks, and items alone."
)


def compare_on_sessions(settings: RecommendSettings, folder: Path) -> PlaylistResults:
    """Train and measure every system; each finished one is kept in `folder/systems/`."""
    assert settings.movielens is not None
    started = time.monotonic()
    chosen = settings.m2grl
    data = load_session_data(
        settings.movielens, settings.sessions, chosen.categories, chosen.validate
    )
    run = Run(settings, data, folder / "systems")
    reporter = Reporter(run, {"data": time.monotonic() - started})
    systems = session_systems(run)
    check_kept(run.folder, identity_of(run))
    rows = np.arange(data.items)
    figures: dict[str, Figures] = {}
    for number, system in enumerate(systems, 1):
        say(f"[{number}/{len(systems)}] {system.label}")
        started = time.monotonic()
        score = system.fit().catalogue_scorer(rows)
        found = ranked(score, data.task.seen, rows, K, stable=True)
        reporter.seconds[system.key] = time.monotonic() - started
        figures[system.key] = hit_figures(found, data.task)
    f1 = {key: {"f1": interval_of(f1_of, one["precision"], one["recall"], **reporter.draws)}
          for key, one in figures.items()}  # fmt: skip
    tables = [reporter.table(name, caption, HIT_COLUMNS, some, figures, HIT_TESTED, f1)
              for name, caption, some in (
                  ("Next session", HIT_CAPTION, systems),
                  ("Task weights", WEIGHTS_CAPTION, [s for s in systems if BY_WEIGHTS in s.tables]),
              ) if some]  # fmt: skip
    tables.append(_diversity(run, reporter))
    return reporter.results(
        systems,
        protocol=_protocol(chosen.validate, data),
        data=data.summary(),
        tables=tuple(tables),
        correlation=None,
    )


def _protocol(validate: bool, data: SessionData) -> str:
    held = "session before the last" if validate else "last session"
    return (
        f"For each of {len(data.task)} users, the items of the {held} are to be found among the "
        f"first {K} of all movies, without those of the user's history. Of a user with one session "
        "its last fifth is held out."
    )


def _diversity(run: SessionRun, reporter: Reporter) -> Table:
    """Neighbours by the metric of section 6.1 and by inner product, of items with training data."""
    data, base = run.data, m2grl_systems(run)[0]
    kept = np.flatnonzero(data.counts)
    number = np.full(data.items, -1)
    number[kept] = np.arange(len(kept))
    owner, category = data.links
    inside = number[owner] >= 0
    links = number[owner[inside]], category[inside]
    metric = metric_system(run, base, kept, _renumbered(data.train, number), links)
    say(f"{metric.name} of diverse neighbours")
    started = time.monotonic()
    learnt = metric.vectors()
    reporter.seconds[metric.key] = time.monotonic() - started
    plain_row = replace(base, name="Plain neighbours", role=Role.BASELINE)
    reporter.seconds[plain_row.key] = reporter.seconds[base.key]
    neighbours = {
        plain_row.key: nearest(base.vectors()[kept], K, euclidean=False),
        metric.key: nearest(learnt, K, euclidean=True),
    }
    categories = category_matrix(links, (len(kept), data.categories.shape[1]))
    truth = _renumbered(data.task.truth, number)
    window = run.settings.m2grl.window
    figures = {key: diversity_figures(lists, categories, truth, window)
               for key, lists in neighbours.items()}  # fmt: skip
    caption = (
        f"The {K} nearest of each movie by {base.name}, and by the metric of section 6.1: the "
        f"share without a category ({data.kind}) of the movie, the entropy of the list's "
        "categories, the share that co-occurs with the movie in held-out sessions (hits), the "
        "share with both (new hits), and the discovery rate, new hits / hits. Mean over movies."
    )
    discovery = {key: _discovery(one, reporter) for key, one in figures.items()}
    return reporter.table("Diversity", caption, DIVERSITY_COLUMNS, [plain_row, metric], figures,
                       DIVERSITY_TESTED, discovery)  # fmt: skip


def _discovery(figures: Mapping[str, np.ndarray], reporter: Reporter) -> dict[str, Interval]:
    """Interval of new hits / hits; empty if there is no hit."""
    if not figures["hits"].any():
        return {}

    def ratio(new_hits: np.ndarray, hits: np.ndarray) -> np.ndarray:
        return new_hits / np.maximum(hits, 1e-12)

    return {"discovery": interval_of(ratio, figures["new_hits"], figures["hits"], **reporter.draws)}


def _renumbered(playlists: Playlists, number: np.ndarray) -> Playlists:
    """Playlists of the items that have a number (0 or more), by their numbers."""
    found = playlists.keep(number[playlists.tracks] >= 0)
    return replace(found, tracks=number[found.tracks].astype(np.int32))
