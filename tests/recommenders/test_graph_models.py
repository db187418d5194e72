"""Node features of the graph models."""

import numpy as np

from ssl_audio.recommenders.data.collection import Catalogue, playlists_of
from ssl_audio.recommenders.data.node_features import popularity_group
from ssl_audio.recommenders.data.training_data import TrainingData
from ssl_audio.recommenders.graph_models import node_features

TRACKS = 90  # the last ten are in no playlist


def made() -> TrainingData:
    rng = np.random.default_rng(0)
    train = playlists_of([rng.permutation(80)[:20].tolist() for _ in range(100)])
    catalogue, none = Catalogue([str(k) for k in range(TRACKS)]), playlists_of([])
    popularity = popularity_group(catalogue, np.bincount(train.tracks, minlength=TRACKS))
    return TrainingData(
        name="made", catalogue=catalogue, train=train, validation=none, test=none,
        cold=np.arange(TRACKS) >= 80, groups={"popularity": popularity}, embeddings=None,
        has_audio=np.zeros(TRACKS, bool), min_weight=2,
    )  # fmt: skip


def test_identity_is_singular_vectors_and_the_mean_of_cold_tracks() -> None:
    data = made()
    held = np.zeros((100, 80))
    held[data.train.owners, data.train.tracks] = 1
    _, _, right = np.linalg.svd(held)
    found = node_features(data, ["identity", "popularity"], "impute", 0)
    values = found.values[:, -found.identity :]
    assert found.identity == 64 and found.values.shape[1] == 64 + 2
    expected = right[:64].T @ right[:64]  # singular vectors are unique up to their signs
    np.testing.assert_allclose(values[:80] @ values[:80].T, expected, atol=1e-4)
    np.testing.assert_allclose(values[80:], np.tile(values[:80].mean(0), (10, 1)), atol=1e-6)
    alone = node_features(data, ["identity"], "impute", 0)
    assert alone.scaler is None and (alone.values == values).all()


def test_without_features_a_track_has_its_degree() -> None:
    data = made()
    found = node_features(data, [], "impute", 0)
    np.testing.assert_allclose(found.values[:, 0], np.log1p(data.graph.degree), rtol=1e-6)
    assert found.identity == 0 and not found.values[80:].any()
