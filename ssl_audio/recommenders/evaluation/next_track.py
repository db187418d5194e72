"""Ranking of the whole catalogue: what comes next, and the figures of the Million Playlist Dataset.

Playlist completion ranks as many wrong tracks as right ones. Here every track is a candidate, as it
is for whoever listens: the next track's hit rate, and R-precision, NDCG and clicks of the RecSys
Challenge 2018 (`challenge.py`) over lists of 500 tracks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ssl_audio.recommenders.data.collection import Playlists, codes_of
from ssl_audio.recommenders.evaluation.challenge import LONGEST, challenge_figures, next_track_hits
from ssl_audio.recommenders.evaluation.completion import CompletionTask

if TYPE_CHECKING:
    from ssl_audio.recommenders.models.transformer import PlaylistTransformer

MOST = 2000  # playlists
CELLS = 12_000_000  # scores at a time: 48 MB
CUTOFFS = (1, 10, 50)
COLUMNS: list[dict[str, Any]] = [
    *({"key": f"next_track@{k}", "title": f"Next@{k}"} for k in CUTOFFS),
    {"key": "r_precision", "title": "R-precision"},
    {"key": "ndcg", "title": "NDCG"},
    {"key": "clicks", "title": "Clicks", "lower_is_better": True},
]

ARTIST_COLUMN = {"key": "r_precision_artist", "title": "R-precision, artists"}

CatalogueScorer = Callable[[Playlists], np.ndarray]
"""From seeds, a new array (playlists, rows) of float32 scores of the rows it was made for."""


@dataclass(frozen=True)
class NextTrackTask:
    """What every system is asked.

    Attributes:
        seeds: the first tracks of each playlist.
        truth: of the same playlists, the tracks that follow, in order, each once.
        rows: (candidates,) int64 rows of the catalogue, in a random order that is the same for all
            systems: tracks of equal score come in it, and not in an order that knows something.
        artists: (tracks,) int32, the artist of each track, -1 unknown; None: no artist is known.
    """

    seeds: Playlists
    truth: Playlists
    rows: np.ndarray
    artists: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.truth)

    def columns(self) -> list[dict[str, Any]]:
        """Those of `COLUMNS`, and that of artists where any is known."""
        return COLUMNS if self.artists is None else [*COLUMNS, ARTIST_COLUMN]


def next_track_task(
    task: CompletionTask,
    playlists: Playlists,
    pool: np.ndarray,
    seed: int = 0,
    most: int = MOST,
    artists: Sequence[str] | None = None,
) -> NextTrackTask:
    """The playlists of a completion task, with what follows their seeds.

    Args:
        task: made from these playlists, without `cold=`.
        playlists: whole ones, each with an id of its own.
        pool: (tracks,) bool, the candidates; it has every track of the playlists.
        seed: of the candidates' order, and of the playlists where there are more than `most`.
        most: playlists.
        artists: (tracks,) of the catalogue, "" unknown; None: none is known.
    """
    codes, names = codes_of(artists or ())
    rng = np.random.default_rng(seed)
    rows = rng.permutation(np.flatnonzero(pool))
    chosen = np.arange(len(task))
    if len(task) > most:
        chosen = np.sort(rng.choice(chosen, most, replace=False))
    seeds = task.seeds.take(chosen)
    place = {name: k for k, name in enumerate(playlists.ids)}
    whole = playlists.take(np.array([place[name] for name in seeds.ids], np.int64))
    keys, given = (p.owners.astype(np.int64) * len(pool) + p.tracks for p in (whole, seeds))
    wanted = np.zeros(len(keys), bool)
    wanted[np.unique(keys, return_index=True)[1]] = True
    truth = whole.keep(wanted & ~np.isin(keys, given))
    return NextTrackTask(seeds, truth, rows, codes if names else None)


def ranked(
    score: CatalogueScorer, seeds: Playlists, rows: np.ndarray, k: int = LONGEST
) -> np.ndarray:
    """The k best tracks after each playlist's seeds, by exact search, some playlists at a time.

    Args:
        score: of `rows`.
        seeds: a track or more in each; they are never in the list.
        rows: (candidates,) distinct rows of the catalogue.
        k: how many.

    Returns:
        (playlists, k) int64 rows of the catalogue, the best first; -1 where no more are left.
    """
    column = np.full(int(max(rows.max(), seeds.tracks.max())) + 1, -1, np.int64)
    column[rows] = np.arange(len(rows))
    found = np.full((len(seeds), k), -1, np.int64)
    kept, size = min(k, len(rows)), max(1, CELLS // len(rows))
    for start in range(0, len(seeds), size):
        some = np.arange(start, min(start + size, len(seeds)))
        part = seeds.take(some)
        scores = score(part)
        own = column[part.tracks]
        scores[part.owners[own >= 0], own[own >= 0]] = -np.inf
        values, places = torch.from_numpy(scores).topk(kept, dim=1)
        found[some, :kept] = np.where(torch.isneginf(values).numpy(), -1, rows[places.numpy()])
    return found


def next_track_figures(task: NextTrackTask, score: CatalogueScorer) -> dict[str, np.ndarray]:
    """Figures of one system by the keys of the task's columns, (playlists,) each."""
    lists = ranked(score, task.seeds, task.rows)
    hits = {f"next_track@{k}": next_track_hits(lists, task.truth, k) for k in CUTOFFS}
    return {**hits, **challenge_figures(lists, task.truth, task.artists).columns()}


# --- scorers -------------------------------------------------------------------------------------


def by_cosine(vectors: np.ndarray, rows: np.ndarray) -> CatalogueScorer:
    """Cosine with the mean of the seeds' vectors, times a factor of the playlist.

    Args:
        vectors: (tracks, dimensions); one of zeros has cosine 0 with everything.
        rows: that are scored.
    """
    vectors = np.asarray(vectors, np.float32)
    some = vectors[rows]
    lengths = np.linalg.norm(some, axis=1, keepdims=True)
    unit = np.divide(some, lengths, out=np.zeros_like(some), where=lengths > 0)

    def score(seeds: Playlists) -> np.ndarray:
        return np.add.reduceat(vectors[seeds.tracks], seeds.offsets[:-1], axis=0) @ unit.T

    return score


def by_logits(model: PlaylistTransformer, rows: np.ndarray) -> CatalogueScorer:
    """Logits of the next track; one that the model does not know has its share of `<unk>`."""
    vectors = model.output_vectors(rows)
    share = model.unknown_share(rows)

    def score(seeds: Playlists) -> np.ndarray:
        return (model.last_hidden(seeds) @ vectors.T).add_(share).cpu().numpy()

    return score


def by_popularity(counts: np.ndarray, rows: np.ndarray) -> CatalogueScorer:
    """Training playlists that each track is in, (tracks,)."""
    scores = counts[rows].astype(np.float32)
    return lambda seeds: np.tile(scores, (len(seeds), 1))


def by_chance(seed: int, rows: np.ndarray) -> CatalogueScorer:
    """Another random order for each playlist."""
    rng = np.random.default_rng(seed)
    return lambda seeds: rng.random((len(seeds), len(rows)), np.float32)
