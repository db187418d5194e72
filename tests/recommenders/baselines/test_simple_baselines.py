"""Baselines with a formula, against dense NumPy in float64 and the library `implicit`."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.baselines import ease
from ssl_audio.recommenders.baselines.artist_popularity import ArtistPopularity
from ssl_audio.recommenders.baselines.ease import Ease
from ssl_audio.recommenders.baselines.ensemble import Ensemble
from ssl_audio.recommenders.baselines.factors import ALS, BPR, FoldedIn
from ssl_audio.recommenders.baselines.item_cf import ItemCF
from ssl_audio.recommenders.baselines.playlist_knn import PlaylistKNN
from ssl_audio.recommenders.baselines.pmi import PMI
from ssl_audio.recommenders.baselines.svd import svd_vectors
from ssl_audio.recommenders.data.collection import Catalogue, Playlists, playlists_of
from ssl_audio.recommenders.scorers import InnerProduct
from ssl_audio.settings.baselines import ALSSettings
from ssl_audio.settings.recommend import RecommendSettings
from ssl_audio.settings.tree import build

TRACKS = 40  # the last two are in no playlist
SEEDS = playlists_of([[0, 3], [7], [5, 6, 30]])


@pytest.fixture(scope="module")
def lists() -> Playlists:
    rng = np.random.default_rng(2)
    return playlists_of([rng.integers(0, 38, rng.integers(2, 30)).tolist() for _ in range(50)])


def fitted(
    kind,
    playlists: Playlists,
    artists: list[str] | None = None,
    folder: Path | None = None,
    **options,
):
    """A recommender of a class, trained on playlists, with settings of its group."""
    catalogue = Catalogue([str(k) for k in range(TRACKS)], artists=artists or ())
    counts = np.bincount(playlists.tracks, minlength=TRACKS)
    data = SimpleNamespace(
        train=playlists, tracks=TRACKS, counts=counts, catalogue=catalogue, in_sessions=False,
        in_training=lambda vectors: np.where((counts > 0)[:, None], vectors, 0),
    )  # fmt: skip
    one = kind(build(RecommendSettings, {"playlists": "none.csv", "seed": 1, **options}), data)
    one.fit(folder)
    return one


def dense(playlists: Playlists) -> np.ndarray:
    """(playlists, tracks) float64, 1 where a playlist holds a track."""
    held = np.zeros((len(playlists), TRACKS))
    held[playlists.owners, playlists.tracks] = 1
    return held


def test_all_pairs_of_item_cf_equal_the_library(lists):
    from implicit.nearest_neighbours import CosineRecommender
    from scipy.sparse import csr_matrix

    model = CosineRecommender(K=TRACKS, num_threads=1)
    model.fit(csr_matrix(dense(lists)), show_progress=False)
    expected = model.similarity.toarray()
    np.fill_diagonal(expected, 0)
    found = fitted(ItemCF, lists).similarity.toarray()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_pmi_is_the_log_of_the_ratio_of_probabilities(lists):
    held = dense(lists)
    share, both = held.mean(0), held.T @ held / len(held)
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = np.maximum(np.nan_to_num(np.log(both / np.outer(share, share)), nan=0), 0)
    np.fill_diagonal(expected, 0)
    found = fitted(PMI, lists).scores(SEEDS)
    np.testing.assert_allclose(found, dense(SEEDS) @ expected, rtol=1e-5, atol=1e-6)


def by_recency(recency: float) -> np.ndarray:
    """(histories, tracks) float64 weights of the tracks of `SEEDS`, which have none twice."""
    given = np.zeros((len(SEEDS), TRACKS))
    for row, tracks in zip(given, SEEDS, strict=True):
        row[tracks] = recency ** np.arange(len(tracks) - 1, -1, -1)
    return given


@pytest.mark.parametrize(("neighbours", "recency"), [(3, 1.0), (100, 1.0), (3, 0.8)])
def test_playlist_knn_sums_the_cosines_of_the_nearest(lists, neighbours, recency):
    held, given = dense(lists), by_recency(recency)
    cosines = given @ held.T / np.sqrt(np.outer(given.sum(1), held.sum(1)))
    for row in cosines:
        row[np.argsort(-row, kind="stable")[neighbours:]] = 0
    found = fitted(
        PlaylistKNN, lists, playlist_knn={"neighbours": neighbours}, recency=recency
    ).scores(SEEDS)
    expected = cosines @ held * np.sqrt(given.sum(1, keepdims=True))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_ease_is_the_constrained_least_squares_solution(lists):
    """Column by column: ridge regression of a track on all others."""
    held, penalty = dense(lists)[:, :38], 5.0
    weights = np.zeros((38, 38))
    for track in range(38):
        others = np.delete(np.arange(38), track)
        gram = held[:, others].T @ held[:, others] + penalty * np.eye(37)
        weights[others, track] = np.linalg.solve(gram, held[:, others].T @ held[:, track])
    found = fitted(Ease, lists, ease={"penalty": penalty}).scores(SEEDS)
    np.testing.assert_allclose(found[:, :38], dense(SEEDS)[:, :38] @ weights, atol=1e-5)
    assert (found[:, 38:] < -1e30).all()  # ranked last


def test_ease_refuses_a_large_catalogue(lists, monkeypatch):
    monkeypatch.setattr(ease, "MAX_TRACKS", 20)
    with pytest.raises(
        SslAudioError, match="of all 38 training tracks, at most 20: leave it out of baselines="
    ):
        fitted(Ease, lists)


def test_svd_projects_on_the_first_right_singular_vectors(lists):
    right = np.linalg.svd(dense(lists))[2][:6].T
    vectors = svd_vectors(lists, TRACKS, 6)
    np.testing.assert_allclose(vectors @ vectors.T, right @ right.T, atol=1e-5)
    found = InnerProduct(vectors).score(SEEDS, None)[:, :38]
    np.testing.assert_allclose(found, (dense(SEEDS) @ right @ right.T)[:, :38], atol=1e-5)


def test_als_folds_a_history_in_by_its_normal_equations(lists, tmp_path):
    options = {"dimensions": 8, "confidence": 5, "regularisation": 2}
    vectors, again = (
        fitted(ALS, lists, folder=tmp_path / name, als=options).vectors() for name in "ab"
    )
    np.testing.assert_array_equal(vectors, again)
    y, given = vectors.astype(np.float64), ALSSettings(**options)
    for recency in (1.0, 0.6):
        found = FoldedIn(vectors, given, recency).score(SEEDS, None)
        for row, own in zip(found, by_recency(recency), strict=True):
            confidence = np.where(own > 0, 5 * own, 1)
            left = (y.T * confidence) @ y + 2 * np.eye(8)
            user = np.linalg.solve(left, y.T @ (confidence * (own > 0)))
            np.testing.assert_allclose(row, y @ user, rtol=2e-2, atol=2e-3)


def test_bpr_ranks_tracks_of_a_playlist_above_others(tmp_path):
    rng = np.random.default_rng(0)
    lists = playlists_of([rng.permutation(12)[:8] + 12 * (k % 3) for k in range(60)])
    options = {"dimensions": 8, "epochs": 60}
    vectors = fitted(BPR, lists, folder=tmp_path, bpr=options).vectors()
    assert vectors.shape == (TRACKS, 8) and not vectors[36:].any()
    found = InnerProduct(vectors).score(playlists_of([[0, 1], [13]]), None)[:, :36]
    assert (np.argsort(-found)[:, :10] // 12 == [[0], [1]]).all()


def test_an_ensemble_sums_reciprocal_ranks(lists, tmp_path):
    settings = build(
        RecommendSettings, {"playlists": "none.csv", "overrides": ["ease:ease.penalty=30"]}
    )
    settings = replace(settings, ensemble=("ease", "item_cf"))
    counts = np.bincount(lists.tracks, minlength=TRACKS)
    data = SimpleNamespace(train=lists, tracks=TRACKS, counts=counts, in_sessions=False)
    model = Ensemble(settings, data)
    assert model.name == "Ensemble of EASE, Item-CF" and not model.random
    model.fit(tmp_path / "ensemble")
    expected = 0
    for part in (fitted(Ease, lists, ease={"penalty": 30}), fitted(ItemCF, lists)):
        order = np.argsort(-part.scores(SEEDS), axis=1, kind="stable")
        expected = expected + 1 / (61 + np.argsort(order, axis=1))
    np.testing.assert_allclose(model.score(SEEDS, None), expected, rtol=1e-6)
    candidates = playlists_of([[3, 20, 8], [0], [30, 31]])
    own = model.score(SEEDS, candidates)
    single = [part.score(SEEDS, candidates) for part in model.parts]
    for k in range(3):
        rows = candidates.owners == k
        ranks = [stats.rankdata(-one[rows], "ordinal") for one in single]
        np.testing.assert_allclose(own[rows], sum(1 / (60 + r) for r in ranks), rtol=1e-6)


def test_tracks_of_the_historys_artists_come_first_and_by_popularity():
    played = [track for track, count in enumerate([5, 1, 9, 3, 0]) for _ in range(count)]
    names = ["a", "a", "b", "b", ""] + [""] * (TRACKS - 5)
    model = fitted(ArtistPopularity, playlists_of([[track] for track in played]), names)
    lists = playlists_of([[1], [4], [0, 3]])
    order = np.argsort(-model.scores(lists), axis=1, kind="stable")[:, :5]
    assert order.tolist() == [[0, 1, 2, 3, 4], [2, 0, 3, 1, 4], [2, 0, 3, 1, 4]]
    # a history's own candidates get the scores of the catalogue
    candidates = playlists_of([[2, 0], [], [4]])
    found = model.score(lists, candidates)
    np.testing.assert_array_equal(found, model.scores(lists)[candidates.owners, candidates.tracks])
