"""Scores that know nothing of a playlist: chance, and how popular a track is."""

from __future__ import annotations

import numpy as np

from ssl_audio.recommenders.evaluation.completion import CompletionTask


def random_scores(task: CompletionTask, seed: int = 0) -> np.ndarray:
    """(positions of candidates,) float32, uniform in 0 to 1: an order by chance."""
    return np.random.default_rng(seed).random(len(task.candidates.tracks), np.float32)


def popularity_scores(task: CompletionTask, counts: np.ndarray) -> np.ndarray:
    """(positions of candidates,) the count of each candidate, the same for every playlist.

    Args:
        task: what was asked.
        counts: (tracks,) training playlists that each track is in; a cold track has 0.
    """
    return counts[task.candidates.tracks]
