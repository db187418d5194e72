"""The acoustic features: formulas by hand, playlists that can be told apart, and the folder."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from sklearn.decomposition import PCA
from sklearn.preprocessing import MinMaxScaler

from ssl_audio.catalogue.acoustic_model import Windows, fit_pca, load_acoustic, windows_of
from ssl_audio.catalogue.siamese import PairSampler, fit_siamese, membership
from ssl_audio.io.errors import SslAudioError
from ssl_audio.settings.acoustic import SiameseSettings

QUICK = SiameseSettings(batch_size=256, steps=300, every=25)


def whole_tracks(means):
    return Windows(means, np.arange(len(means) + 1))


def styles(tracks=200, styles=4, dimensions=32, seed=0):
    """Tracks of a few styles, whose embeddings say the style among louder noise."""
    rng = np.random.default_rng(seed)
    style = rng.integers(styles, size=tracks)
    centres = rng.normal(size=(styles, 4))
    vectors = rng.normal(size=(tracks, dimensions)) * np.linspace(3, 0.5, dimensions)
    vectors[:, -4:] += centres[style]
    lists = [rng.choice(np.flatnonzero(style == k % styles), 8, replace=False) for k in range(60)]
    playlists = {f"p{k}": map(str, tracks) for k, tracks in enumerate(lists)}
    return vectors.astype(np.float32), style, playlists


def test_pca_is_scikit_learns_scaled_to_0_1():
    vectors, _, _ = styles()
    model = fit_pca(whole_tracks(vectors), {})
    raw = PCA(8, whiten=True, svd_solver="full").fit_transform(vectors)
    expected = MinMaxScaler().fit_transform(raw)
    np.testing.assert_allclose(model.features(vectors), expected, atol=1e-4)
    assert model.method == "pca" and 0 < model.about["explained_variance"] < 1


def test_new_tracks_are_scaled_as_the_training_tracks_were():
    vectors, _, _ = styles()
    model = fit_pca(whole_tracks(vectors[:100]), {})
    alone, together = model.features(vectors[150:151]), model.features(vectors[100:])[50:51]
    np.testing.assert_allclose(alone, together, atol=1e-6)
    far = model.features(1000 * vectors[:5])
    assert far.min() >= 0 and far.max() <= 1


def test_siamese_features_predict_playlists_better_than_pca():
    vectors, style, playlists = styles()
    windows = whole_tracks(vectors)
    matrix = membership(playlists, [str(k) for k in range(len(vectors))])
    model = fit_siamese(windows, matrix, {}, QUICK)
    assert model.about["held_out_roc_auc"] > 0.85

    def apart(features):
        """How much nearer tracks of one style are, in deviations."""
        distance = np.linalg.norm(features[:, None] - features[None], axis=-1)
        same = style[:, None] == style[None]
        return (distance[~same].mean() - distance[same].mean()) / distance.std()

    assert apart(model.features(vectors)) > 2 * apart(fit_pca(windows, {}).features(vectors))
    again = fit_siamese(windows, matrix, {}, QUICK)
    assert again.hash == model.hash


def test_windows_are_means_over_30_seconds():
    rng = np.random.default_rng(0)
    times = np.arange(0, 68, 4.0)
    vectors = rng.normal(size=(len(times), 5)).astype(np.float32)
    found = windows_of(iter([("a", times, vectors), ("b", times[:1], vectors[:1])]), ["a", "b"])
    assert found.offsets.tolist() == [0, 3, 4]
    for k, (low, high) in enumerate([(0, 30), (30, 60), (60, 90)]):
        inside = (times >= low) & (times < high)
        np.testing.assert_allclose(found.vectors[k], vectors[inside].mean(0), rtol=1e-5)
    np.testing.assert_allclose(found.means()[0], found.vectors[:3].mean(0), rtol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 40))
def test_pairs_share_a_playlist_or_none(seed, count):
    rng = np.random.default_rng(seed)
    matrix = csr_matrix((rng.random((12, 40)) < 0.1).astype(np.int32))
    matrix = matrix[np.asarray(matrix.sum(1)).ravel() >= 2]
    if not matrix.shape[0] or len(np.unique(matrix.indices)) < 8:
        return
    try:
        u, v, labels = PairSampler(matrix, matrix, seed).pairs(count, 3)
    except SslAudioError:
        return
    together = (matrix.T @ matrix).toarray()
    assert len(u) == len(v) == count and (u != v).all()
    np.testing.assert_array_equal(together[u, v] > 0, labels > 0)
    assert labels.sum() == count // 2


def test_membership_counts_a_track_once_and_leaves_out_unknown_ones():
    playlists = {"p": ["b", "a", "a", "?"], "q": ["c"]}
    matrix = membership(playlists, ["a", "b", "c"])
    assert matrix.toarray().tolist() == [[1, 1, 0]]
    with pytest.raises(SslAudioError, match="ids agree"):
        membership({"p": ["x"]}, ["a"])
    with pytest.raises(SslAudioError, match="two tracks"):
        membership({"p": ["a"], "q": ["b"]}, ["a", "b"])


def test_the_folder_gives_the_model_back(tmp_path):
    vectors, _, _ = styles()
    model = fit_pca(whole_tracks(vectors), {"encoder": "abc"})
    model.save(tmp_path / "model")
    found = load_acoustic(tmp_path / "model")
    assert found.hash == model.hash and found.about["encoder"] == "abc" and found.method == "pca"
    np.testing.assert_allclose(found.features(vectors), model.features(vectors), atol=1e-6)
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:50])
    with pytest.raises(SslAudioError, match="damaged"):
        load_acoustic(tmp_path / "model")
    with pytest.raises(SslAudioError, match="no such model folder"):
        load_acoustic(tmp_path / "nothing")


def test_refusals():
    vectors = styles()[0][:8]
    with pytest.raises(SslAudioError, match="too few"):
        fit_pca(whole_tracks(vectors), {})
    model = fit_pca(whole_tracks(styles()[0]), {})
    with pytest.raises(SslAudioError, match="32"):
        model.features(np.zeros((2, 5), np.float32))
    everything = csr_matrix(np.ones((3, 20), np.int32))
    with pytest.raises(SslAudioError, match="share a playlist"):
        fit_siamese(whole_tracks(styles()[0][:20]), everything, {}, QUICK)
