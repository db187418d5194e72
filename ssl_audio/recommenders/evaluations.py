"""What is measured on each kind of data: the queries, and the tables of their figures.

An evaluation knows a recommender by its scores alone. Every track of the catalogue is ranked,
except in completion, whose candidates are those of MUSIG's section 4.1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.training_data import TrainingData
from ssl_audio.recommenders.evaluation.completion import (
    CompletionTask,
    completion_figures,
    completion_task,
)
from ssl_audio.recommenders.evaluation.next_track import (
    NextTrackTask,
    next_track_figures,
    next_track_task,
)
from ssl_audio.recommenders.evaluation.published import (
    NEXT_K,
    SAMPLED_K,
    next_item_figures,
    next_items,
    sampled_candidates,
    sampled_figures,
)
from ssl_audio.recommenders.evaluation.ranking import Scorer, ranked
from ssl_audio.recommenders.evaluation.sessions import NextSessionTask, f1_of, hit_figures
from ssl_audio.recommenders.session_data import K, SessionData
from ssl_audio.recommenders.tables import TableSpec
from ssl_audio.reports.results import Column
from ssl_audio.settings.recommend import CompletionSettings, RecommendSettings

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
BEYOND_COLUMNS = (
    Column("coverage", "Coverage", words="share of the candidates in any list of 50"),
    Column("gini", "Gini", lower_is_better=True, words="inequality of recommended tracks"),
    Column("novelty", "Novelty, bits", words="rarity of the recommended tracks (bits)"),
)
DIVERSITY_COLUMN = Column(
    "artist_diversity", "Artists", words="distinct artists per recommended track"
)
HIT_COLUMNS = (
    Column("hit_rate", f"HitRate@{K}", words=f"users with a hit in {K} items"),
    Column("recall", f"Recall@{K}", words=f"recall in {K} items"),
    Column("precision", f"Precision@{K}", words=f"precision in {K} items"),
    Column("f1", f"F1@{K}", words=f"F1 of precision and recall in {K} items"),
)  # fmt: skip
SAMPLED_COLUMNS = (
    Column(f"sampled_hr@{SAMPLED_K}", f"HR@{SAMPLED_K}", words=f"sampled hit rate at {SAMPLED_K}"),
    Column(
        f"sampled_ndcg@{SAMPLED_K}", f"NDCG@{SAMPLED_K}", words=f"sampled {GAIN} at {SAMPLED_K}"
    ),
)
NEXT_COLUMNS = (
    Column(f"next_recall@{NEXT_K}", f"Recall@{NEXT_K}", words=f"next item among {NEXT_K}"),
    Column(f"next_mrr@{NEXT_K}", f"MRR@{NEXT_K}", words=f"mean reciprocal rank of {NEXT_K}"),
)
TESTED, CATALOGUE_TESTED, HIT_TESTED = (
    ("hr", "ndcg@10"), ("next_track@10", "r_precision"), ("hit_rate", "recall")
)  # fmt: skip
COMPLETION_CAPTION = "Mean over playlists, as in Table 2 of MUSIG."
COLD_CAPTION = (
    "The tracks to find are in no training playlist, as are the other candidates; only their audio "
    "features are known. Systems without these give all of them the same score: they are then in a "
    "random order, the same for all systems (HR .5)."
)
CATALOGUE_CAPTION = (
    "After the same seeds, all tracks but the cold ones and the seeds are ranked: hit rates of the "
    "very next track in the first 1, 10 and 50, and the metrics of the Million Playlist Dataset's "
    "challenge on the first 500. Tracks of equal score are in a random order, the same for all "
    "systems."
)
COLD_CATALOGUE_CAPTION = (
    "The same, with all cold tracks and no others ranked; those of equal score in the random order."
)
BEYOND_CAPTION = (
    "Of the first 50 tracks of these lists: share of all candidates that are recommended at all, "
    "inequality of how often they are (0 to 1), mean -log2 of the popularity relative to the most "
    "popular track, distinct artists per track. The first two are of all lists together: their "
    "intervals are over training seeds alone."
)
HIT_CAPTION = (
    "Mean over users, as in M2GRL's Table 2; vectors rank items by the inner product with the sum "
    "of the history's vectors, weighted by recency; other systems have their own scores."
)
SAMPLED_CAPTION = (
    "Sampled metrics, reproduced because they were published so (Kang and McAuley 2018): each "
    "user's last item is ranked among 100 random items that the user has not had. They can order "
    "systems differently than the full ranking of the other tables."
)
NEXT_CAPTION = (
    "As published with GRU4Rec (Hidasi et al. 2016): after each item of a held-out session, from "
    "the session's items alone, the next one is ranked among all items. Means and intervals are "
    "over positions."
)


@dataclass(frozen=True)
class Evaluation:
    """Queries, and what is shown of them.

    Attributes:
        tables: of the figures.
        figures: from a trained recommender to (playlists,) figures by metric, or (1,) figures of
            all playlists together.
    """

    tables: tuple[TableSpec, ...]
    figures: Callable[[Scorer], dict[str, np.ndarray]]


def evaluations_of(settings: RecommendSettings, data: TrainingData) -> tuple[str, list[Evaluation]]:
    """The protocol in words, and the evaluations, the main one first.

    Raises:
        SslAudioError: too few test playlists.
    """
    if isinstance(data, SessionData):
        return _session_evaluations(settings, data)
    return _playlist_evaluations(settings.completion, data, settings.seed)


# --- playlists -----------------------------------------------------------------------------------


def _playlist_evaluations(
    chosen: CompletionSettings, data: TrainingData, seed: int
) -> tuple[str, list[Evaluation]]:
    options: dict[str, Any] = {
        "seed_share": chosen.seed_share, "min_tracks": chosen.min_tracks,
        "max_playlists": chosen.max_playlists, "seed": seed,
    }  # fmt: skip
    tracks, warm = data.tracks, data.test.without_tracks(data.cold)
    task = completion_task(warm, tracks, pool=~data.cold, **options)
    found = [_completion("Playlist completion", COMPLETION_CAPTION, task)]
    cold = None
    if data.cold.any():
        try:
            cold = completion_task(data.test, tracks, cold=data.cold, **options)
            caption = f"{COLD_CAPTION} {len(cold)} playlists."
            found.append(_completion("Completion with cold tracks", caption, cold))
        except SslAudioError as error:
            data.note(f"no table of cold tracks: {error}")
    more = data.counts, seed, data.catalogue.artists
    whole = next_track_task(task, warm, ~data.cold, *more)
    found.append(_catalogue("Whole-catalogue ranking", CATALOGUE_CAPTION, whole, beyond=True))
    if cold is not None:
        whole = next_track_task(cold, data.test, data.cold, *more)
        name = "Whole-catalogue ranking of cold tracks"
        found.append(_catalogue(name, COLD_CATALOGUE_CAPTION, whole))
    protocol = (
        f"The first {100 * chosen.seed_share:g} % of each of {len(task)} test playlists of "
        f"{chosen.min_tracks} or more tracks are the seeds; the rest, mixed with as many random "
        "tracks, is ranked."
    )
    return protocol, found


def _completion(name: str, caption: str, task: CompletionTask) -> Evaluation:
    spec = TableSpec(name, caption, COMPLETION_COLUMNS, TESTED)
    return Evaluation(
        (spec,), lambda one: completion_figures(task, one.score(task.seeds, task.candidates))
    )


def _catalogue(name: str, caption: str, task: NextTrackTask, beyond: bool = False) -> Evaluation:
    columns: tuple[Column, ...] = CATALOGUE_COLUMNS
    lists: tuple[Column, ...] = BEYOND_COLUMNS
    if task.artists is not None:
        columns, lists = (*columns, ARTIST_COLUMN), (*lists, DIVERSITY_COLUMN)
    specs = [TableSpec(name, f"{caption} {len(task)} playlists.", columns, CATALOGUE_TESTED)]
    if beyond:
        specs.append(TableSpec("Beyond accuracy", BEYOND_CAPTION, lists))
    return Evaluation(tuple(specs), partial(next_track_figures, task))


# --- sessions ------------------------------------------------------------------------------------


def _session_evaluations(
    settings: RecommendSettings, data: SessionData
) -> tuple[str, list[Evaluation]]:
    task = data.task
    # of equal scores, the earlier is first: the order must carry no information
    rows = np.random.default_rng(settings.seed).permutation(data.tracks)
    derived = {"f1": (f1_of, ("precision", "recall"))}
    spec = TableSpec("Next session", HIT_CAPTION, HIT_COLUMNS, HIT_TESTED, derived)
    whole = NextTrackTask(task.seen, task.truth, rows, data.counts)
    caption = CATALOGUE_CAPTION.replace("but the cold ones and the seeds", "but the history's")
    what = settings.sessions.hold_out
    held = f"{what} before the last" if settings.m2grl.validate else f"last {what}"
    held = f"the items of the {held} are" if what == "session" else f"the {held} is"
    protocol = (
        f"For each of {len(task)} users, {held} to be found among the first {K} of all movies, "
        "without those of the user's history."
    )
    if what == "session":
        protocol += " Of a user with one session its last fifth is held out."
    found = [
        Evaluation((spec,), partial(_hits, task, rows)),
        _catalogue("Whole-catalogue ranking", caption, whole, beyond=True),
    ]
    if settings.published:
        found.append(_published(data, what, settings.seed))
    return protocol, found


def _published(data: SessionData, what: str, seed: int) -> Evaluation:
    """SASRec's protocol where the last item is held out, GRU4Rec's where the last session is."""
    if what == "item":
        spec = TableSpec("SASRec's protocol", SAMPLED_CAPTION, SAMPLED_COLUMNS)
        candidates = sampled_candidates(data.task, data.counts, seed)
        return Evaluation((spec,), partial(sampled_figures, data.task, candidates))
    spec = TableSpec("GRU4Rec's protocol", NEXT_CAPTION, NEXT_COLUMNS)
    starts, following = next_items(data.task, data.counts)
    return Evaluation((spec,), partial(next_item_figures, starts, following, data.tracks))


def _hits(task: NextSessionTask, rows: np.ndarray, recommender: Scorer) -> dict[str, np.ndarray]:
    return hit_figures(ranked(recommender, task.seen, rows, K), task)
