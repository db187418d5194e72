"""Ranking of the whole catalogue after a playlist's seeds: the next track, and the challenge.

Completion ranks as many irrelevant tracks as relevant ones. Here every track is a candidate, as in
production: hit rates of the next track, and the metrics of the RecSys Challenge 2018.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ssl_audio.recommenders.data.collection import Playlists, codes_of
from ssl_audio.recommenders.data.pairs import first_mentions, pair_keys
from ssl_audio.recommenders.evaluation.beyond_accuracy import list_figures
from ssl_audio.recommenders.evaluation.challenge import LIST_LENGTH, challenge_figures
from ssl_audio.recommenders.evaluation.completion import CompletionTask
from ssl_audio.recommenders.evaluation.ranking import Scorer, ranked

MAX_PLAYLISTS = 2000
CUTOFFS = (1, 10, 50)


@dataclass(frozen=True)
class NextTrackTask:
    """One query per test playlist, over the whole catalogue.

    Attributes:
        seeds: the first tracks of each playlist.
        truth: of the same playlists, the tracks that follow, in order, each once.
        rows: (candidates,) int64 rows of the catalogue, in a random order: the order of tracks of
            equal score, which must carry no information.
        counts: (tracks,) number of training playlists that hold each track.
        artists: (tracks,) int32, the artist of each track, -1 unknown; None: no artist is known.
    """

    seeds: Playlists
    truth: Playlists
    rows: np.ndarray
    counts: np.ndarray
    artists: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.truth)


def next_track_task(
    task: CompletionTask,
    playlists: Playlists,
    pool: np.ndarray,
    counts: np.ndarray,
    seed: int = 0,
    artists: Sequence[str] = (),
) -> NextTrackTask:
    """The queries of a completion task, over the whole catalogue.

    Args:
        task: made from these playlists; at most `MAX_PLAYLISTS` are drawn from it.
        playlists: the whole playlists, with distinct ids.
        pool: (tracks,) bool, the candidates; includes all tracks to find.
        counts: (tracks,) number of training playlists that hold each track.
        artists: (tracks,) of the catalogue, "" unknown; empty: none is known.
    """
    codes, names = codes_of(artists)
    rng = np.random.default_rng(seed)
    rows = rng.permutation(np.flatnonzero(pool))
    chosen = np.arange(len(task))
    if len(task) > MAX_PLAYLISTS:
        chosen = np.sort(rng.choice(chosen, MAX_PLAYLISTS, replace=False))
    seeds, targets = task.seeds.take(chosen), task.candidates.keep(task.relevant).take(chosen)
    place = {name: k for k, name in enumerate(playlists.ids)}
    whole = playlists.take(np.array([place[name] for name in seeds.ids], np.int64))
    wanted = np.isin(pair_keys(whole, len(pool)), pair_keys(targets, len(pool)))
    truth = whole.keep(first_mentions(whole, len(pool)) & wanted)
    return NextTrackTask(seeds, truth, rows, counts, codes if names else None)


def next_track_figures(task: NextTrackTask, recommender: Scorer) -> dict[str, np.ndarray]:
    """Metrics of one system, (playlists,) each, and those of `list_figures`.

    next_track@k is 1 where the track that comes next is among the first k, else 0; the others are
    those of `challenge_figures`.
    """
    lists = ranked(recommender, task.seeds, task.rows, LIST_LENGTH)
    following = task.truth.tracks[task.truth.offsets[:-1]]
    hits = lists == following[:, None]
    next_track = {f"next_track@{k}": hits[:, :k].any(1).astype(np.float64) for k in CUTOFFS}
    return {
        **next_track,
        **challenge_figures(lists, task.truth, task.artists),
        **list_figures(lists, task.rows, task.counts, task.artists),
    }
