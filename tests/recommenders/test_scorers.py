"""Scorers: candidates and the whole catalogue, against plain loops and each other."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders import scorers
from ssl_audio.recommenders.baselines.popularity import Popularity, RandomOrder
from ssl_audio.recommenders.data.collection import playlists_of
from ssl_audio.recommenders.data.vocabulary import vocabulary_of
from ssl_audio.recommenders.evaluation import ranking
from ssl_audio.recommenders.evaluation.completion import completion_task
from ssl_audio.recommenders.evaluation.ranking import ranked
from ssl_audio.recommenders.models.track_embedding import SideInformation
from ssl_audio.recommenders.models.transformer import PlaylistTransformer
from ssl_audio.recommenders.scorers import Cosine, InnerProduct
from ssl_audio.recommenders.systems.transformer import TransformerRecommender
from ssl_audio.settings.recommend import TransformerSettings

TRACKS = 300


def made(count=20, seed=0):
    rng = np.random.default_rng(seed)
    lists = [rng.permutation(TRACKS)[: rng.integers(40, 90)].tolist() for _ in range(count)]
    return playlists_of(lists, [f"list {k}" for k in range(count)])


def test_cosines_are_of_the_mean_of_the_seeds_as_they_are():
    task = completion_task(made(), TRACKS, seed=1)
    vectors = np.random.default_rng(0).normal(size=(TRACKS, 13)).astype(np.float32)
    vectors *= np.random.default_rng(1).uniform(0.1, 10, (TRACKS, 1)).astype(np.float32)
    vectors[::7] = 0
    expected = []
    for k in range(len(task)):
        mean = vectors[task.seeds[k]].astype(np.float64).mean(0)
        for track in task.candidates[k]:
            one = vectors[track].astype(np.float64)
            size = np.linalg.norm(one) * np.linalg.norm(mean)
            expected.append(one @ mean / size if size else 0.0)
    scores = Cosine(vectors).score(task.seeds, task.candidates)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, atol=2e-6)
    assert (scores[task.candidates.tracks % 7 == 0] == 0).all()


def test_the_size_of_a_block_makes_no_difference(monkeypatch):
    task = completion_task(made(), TRACKS, seed=1)
    vectors = np.random.default_rng(0).normal(size=(TRACKS, 16)).astype(np.float32)
    whole = Cosine(vectors).score(task.seeds, task.candidates)
    monkeypatch.setattr(scorers, "BLOCK", 37)
    np.testing.assert_array_equal(Cosine(vectors).score(task.seeds, task.candidates), whole)


def test_seeds_that_are_all_unknown_give_zeros():
    task = completion_task(made(), TRACKS)
    assert (Cosine(np.zeros((TRACKS, 4))).score(task.seeds, task.candidates) == 0).all()


def test_cosine_is_that_of_the_completion_table():
    """A track without a vector is at 0."""
    vectors = np.random.default_rng(2).normal(size=(TRACKS, 5)).astype(np.float32)
    vectors[[4, 11]] = 0
    playlists = made()
    task = completion_task(playlists, TRACKS, min_tracks=40)
    scores = Cosine(vectors).score(task.seeds, None)
    expected = Cosine(vectors).score(task.seeds, task.candidates)
    own = scores[task.candidates.owners, task.candidates.tracks]
    np.testing.assert_allclose(own, expected, atol=1e-5)
    assert (scores[:, [4, 11]] == 0).all()


def transformer(model):
    """A trained recommender around a network."""
    data = SimpleNamespace(embeddings=None, has_audio=None, tracks=TRACKS, note=print)
    one = TransformerRecommender(None, data)
    one.use(model)
    return one


@pytest.mark.parametrize("with_audio", [False, True])
def test_after_one_track_logits_rank_as_in_the_completion_table(with_audio: bool) -> None:
    """Tracks from 60 on are in no playlist: known by their audio, or as `<unk>`."""
    audio = np.random.default_rng(0).normal(size=(TRACKS, 4)).astype(np.float32)
    model = PlaylistTransformer(
        vocabulary_of(playlists_of([list(range(60))]), TRACKS),
        TransformerSettings(layers=1, heads=2, dimensions=16, feed_forward=16, context=6),
        SideInformation(audio, np.ones(TRACKS, bool)) if with_audio else None,
    ).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3 * torch.randn(p.shape))
    seeds = playlists_of([[one] for one in made().tracks[:20].tolist()])
    scores = transformer(model).score(seeds, None)
    candidates = playlists_of([list(range(TRACKS))] * len(seeds))
    expected = transformer(model).score(seeds, candidates).reshape(len(seeds), TRACKS)
    gap = scores - expected  # the log of the state's partition
    np.testing.assert_allclose(gap, np.tile(gap[:, :1], TRACKS), atol=1e-5)
    if with_audio:
        with torch.no_grad():
            plain = model.last_hidden(seeds) @ model.output_vectors(np.arange(TRACKS)).T
        np.testing.assert_allclose(scores, plain, atol=1e-5)


def test_popularity_and_chance():
    task = completion_task(made(), TRACKS)
    data = SimpleNamespace(counts=np.arange(TRACKS, dtype=np.uint32), tracks=TRACKS)
    popular = Popularity(None, data)
    popular.fit(None)
    found = popular.score(task.seeds, task.candidates)
    np.testing.assert_array_equal(found, task.candidates.tracks)
    one, same, other = (
        RandomOrder(SimpleNamespace(seed=seed), data).score(task.seeds, task.candidates)
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def by_loop(inputs, outputs, recency, histories, k):
    found = []
    for history in histories:
        latest = list(enumerate(reversed(history)))
        scores = [(-sum(recency**age * inputs[one] @ vector for age, one in latest), item)
                  for item, vector in enumerate(outputs) if item not in history]  # fmt: skip
        best = [item for _, item in sorted(scores)[:k]]
        found.append(best + [-1] * (k - len(best)))
    return np.array(found)


@pytest.mark.parametrize("cells", [1, 90, 10**6])
def test_inner_products_are_those_of_a_plain_loop(cells, monkeypatch):
    monkeypatch.setattr(ranking, "CELLS", cells)
    rng = np.random.default_rng(3)
    vectors, rows = rng.normal(size=(2, 30, 5)), np.arange(30)
    histories = [rng.choice(30, rng.integers(1, 9), replace=False).tolist() for _ in range(11)]
    given = playlists_of(histories)
    for one, both in ((vectors, vectors), (vectors[0], vectors[[0, 0]])):
        for k in (4, 27):
            found = ranked(InnerProduct(one, 0.8), given, rows, k)
            assert np.array_equal(found, by_loop(*both, 0.8, histories, k))
    everything = playlists_of([rows.tolist()] * len(histories))
    own = InnerProduct(vectors).score(given, everything).reshape(len(histories), 30)
    np.testing.assert_allclose(own, InnerProduct(vectors).score(given, None), atol=1e-5)


def test_an_item_without_a_vector_is_last():
    vectors, rows = np.array([[1.0, 0], [0, 0], [-1, 0], [-2, 0]]), np.arange(4)
    assert ranked(InnerProduct(vectors), playlists_of([[0]]), rows, 3).tolist() == [[2, 3, 1]]
    with pytest.raises(SslAudioError, match="not finite"):
        InnerProduct(vectors * np.nan)
