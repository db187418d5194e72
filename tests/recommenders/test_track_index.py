"""Continuations by an index of vectors, which is kept."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ssl_audio.recommenders.baselines.factors import ALS
from ssl_audio.recommenders.baselines.svd import SVD
from ssl_audio.recommenders.data.collection import playlists_of
from ssl_audio.recommenders.models.skipgram import MAX_DENSE, has_sparse_gradients
from ssl_audio.recommenders.recommender import Recommender
from ssl_audio.settings.recommend import RecommendSettings

TRACKS = 90  # the last ten are in no playlist


@pytest.fixture
def data() -> SimpleNamespace:
    rng = np.random.default_rng(0)
    lists = playlists_of([rng.permutation(80)[:12].tolist() for _ in range(60)])
    counts = np.bincount(lists.tracks, minlength=TRACKS)
    return SimpleNamespace(
        train=lists, tracks=TRACKS, counts=counts, in_sessions=False,
        in_training=lambda vectors: np.where((counts > 0)[:, None], vectors, 0),
    )  # fmt: skip


@pytest.mark.parametrize("kind", [SVD, ALS])
def test_an_index_gives_the_tracks_of_highest_score(data, tmp_path: Path, kind):
    one = kind(RecommendSettings(playlists=Path("none")), data)
    one.fit(tmp_path / "exact")
    history = np.array([3, 85, 41, 3, -1, 60])  # one unknown, one outside the catalogue, one twice
    expected = Recommender.continuation(one, history, 15, 1, 0, None)
    assert not {3, 41, 60} & set(expected) and max(expected) < 80
    assert one.continuation(history, 15, 1, 0, None) == expected
    assert one.continuation(history, 15, 1, 0, True) == expected
    assert len(one.continuation(history, 1000, 1, 0, None)) == 80 - 3
    (kept,) = (tmp_path / "exact").glob("*.usearch")
    changed = kept.stat().st_mtime_ns
    again = kind(one.settings, data)
    again.fit(tmp_path / "exact")
    assert again.continuation(history, 15, 1, 0, True) == expected
    assert kept.stat().st_mtime_ns == changed
    kept.write_bytes(kept.read_bytes()[:100])  # a damaged one is built again
    again = kind(one.settings, data)
    again.fit(tmp_path / "exact")
    assert again.continuation(history, 15, 1, 0, True) == expected
    assert kept.stat().st_size > 100


def test_gradients_are_sparse_for_many_vectors():
    assert has_sparse_gradients("auto", MAX_DENSE + 1) and not has_sparse_gradients("auto", 100)
    assert has_sparse_gradients(True, 10) and not has_sparse_gradients(False, 10**9)
