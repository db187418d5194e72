"""Playlists that a model goes on with, and the search behind them."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import playlists_of
from ssl_audio.recommenders.data.vocabulary import vocabulary_of
from ssl_audio.recommenders.models.sampling_decoder import generate
from ssl_audio.recommenders.models.track_embedding import SideInformation
from ssl_audio.recommenders.models.transformer import PlaylistTransformer
from ssl_audio.recommenders.track_index import TrackIndex
from ssl_audio.settings.recommend import TransformerSettings

CATALOGUE = 60


def model(cold_audio: bool = False) -> PlaylistTransformer:
    """With weights far from their small initial values; tracks from 50 on are cold."""
    vocabulary = vocabulary_of(playlists_of([list(range(50))]), CATALOGUE)
    audio = np.random.default_rng(0).normal(size=(CATALOGUE, 4)).astype(np.float32)
    made = PlaylistTransformer(
        vocabulary,
        TransformerSettings(layers=2, heads=2, dimensions=16, feed_forward=16, context=6),
        SideInformation(audio, np.ones(CATALOGUE, bool)) if cold_audio else None,
    )
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in made.parameters():
            p.add_(0.3 * torch.randn(p.shape, generator=rng))
        made.tracks.ids.weight[:3] = 40.0 * made.tracks.ids.weight[:3]  # tempting
    return made.eval()


def index_of(ours: PlaylistTransformer, approximate: bool = False) -> TrackIndex:
    vectors = ours.output_vectors(np.arange(CATALOGUE)).numpy()
    return TrackIndex(vectors, ours.recommendable, approximate, None)


def go_on(
    ours: PlaylistTransformer, seeds: list[list[int]], *given: Any, **options: Any
) -> list[list[int]]:
    options = {"index": index_of(ours), **options}
    return [generate(ours, one, *given, **options) for one in seeds]


def logits_of(ours: PlaylistTransformer, seeds: list[int]) -> torch.Tensor:
    """(catalogue,) of the next track."""
    vectors = ours.output_vectors(np.arange(CATALOGUE))
    return (ours.last_hidden(playlists_of([seeds])) @ vectors.T)[0]


@given(
    st.lists(st.lists(st.integers(-1, CATALOGUE - 1), max_size=9), min_size=1, max_size=4),
    st.integers(1, 12),
    st.integers(1, 30),
    st.integers(0, 99),
    st.booleans(),
)
@settings(deadline=None, max_examples=20)
def test_no_track_comes_twice_and_each_can_be_recommended(
    seeds: list[list[int]], length: int, k: int, seed: int, audio: bool
) -> None:
    made = go_on(model(audio), seeds, length, k, seed)
    for given_tracks, added in zip(seeds, made, strict=True):
        assert len(added) == len(set(added)) == length
        assert not set(added) & set(given_tracks)
        assert min(added) >= 0 and max(added) < (CATALOGUE if audio else 50)


def test_the_most_likely_track_is_taken_at_k_one() -> None:
    """Step by step, from the logits of the whole catalogue."""
    ours = model(cold_audio=True)
    seeds = [[3, 55, 8], [], [1, 2, 3, 4, 5, 6, 7, 9, 11]]
    made = go_on(ours, seeds, length=7, k=1)
    for seed, added in zip(seeds, made, strict=True):
        playlist = list(seed)
        for track in added:
            logits = logits_of(ours, playlist)
            logits[playlist] = -torch.inf
            assert track == int(logits.argmax())
            playlist.append(track)


def test_tracks_are_drawn_by_the_softmax_of_the_best_k() -> None:
    ours = model()
    logits = logits_of(ours, [4])[:50]
    logits[4] = -torch.inf
    best = logits.topk(3)
    expected = dict(zip(best.indices.tolist(), best.values.softmax(0).tolist(), strict=True))
    index = index_of(ours)
    draws = [generate(ours, [4], 1, k=3, seed=n, index=index)[0] for n in range(500)]
    assert set(draws) <= set(expected)
    for track, share in expected.items():
        deviation = (share * (1 - share) / 500) ** 0.5
        assert abs(draws.count(track) / 500 - share) < 4 * deviation + 1e-9


def test_the_same_seed_gives_the_same_playlists() -> None:
    ours, seeds = model(), [[1, 2], [9], [30, 31, 32]]
    first = go_on(ours, seeds, 8, k=10, seed=4)
    torch.manual_seed(77)
    assert go_on(ours, seeds, 8, k=10, seed=4) == first
    assert go_on(ours, seeds, 8, k=10, seed=5) != first


def test_a_graph_writes_the_same_playlists_as_the_exact_search() -> None:
    ours, seeds = model(cold_audio=True), [[1, 2], [58]]
    assert len(index_of(ours).rows) == CATALOGUE
    graph = index_of(ours, approximate=True)
    assert go_on(ours, seeds, 6, k=5, index=graph) == go_on(ours, seeds, 6, k=5)


def test_more_tracks_than_there_are_is_refused() -> None:
    with pytest.raises(SslAudioError, match="50 tracks can be recommended"):
        go_on(model(), [list(range(45))], length=6)
    assert sorted(go_on(model(), [list(range(45))], length=5)[0]) == list(range(45, 50))
