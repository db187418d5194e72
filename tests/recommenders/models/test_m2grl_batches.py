"""M2GRL's views of a small catalogue, its links, and batches."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Catalogue, playlists_of
from ssl_audio.recommenders.models.m2grl_batches import (
    CATEGORY,
    ITEM,
    SHOP,
    LinkSampler,
    M2GRLBatches,
    catalogue_views,
)
from ssl_audio.settings.recommend import M2GRLSettings

ITEMS, CATEGORIES = 120, 12
IDS = ["a", "b", "c", "d", "e"]
LISTS = [[0, 1, 2], [4, 3, 3, 0], [2]]


def as_lists(playlists):
    return [playlists[k].tolist() for k in range(len(playlists))]


def test_sequences_links_and_sizes_of_a_small_catalogue():
    genres = ["rock", "rock", "jazz", "folk", "jazz"]
    artists = ["Zed", "Ann", "Ann", "Zed", "Ann"]
    playlists = playlists_of(LISTS)
    views, links, sizes = catalogue_views(playlists, Catalogue(IDS, artists, genres=genres))
    assert views[ITEM] is playlists and sizes == {ITEM: 5, CATEGORY: 3, SHOP: 2}
    # folk 0, jazz 1, rock 2; a genre that follows itself is there once
    assert as_lists(views[CATEGORY]) == [[2, 1], [1, 0, 2], [1]]
    assert as_lists(views[SHOP]) == [[1, 0], [0, 1], [0]]
    assert [part.tolist() for part in links[CATEGORY]] == [[0, 1, 2, 3, 4], [2, 2, 1, 0, 1]]
    assert [part.tolist() for part in links[SHOP]] == [[0, 1, 2, 3, 4], [1, 0, 0, 1, 0]]
    assert list(views) == [ITEM, CATEGORY, SHOP] and list(links) == [CATEGORY, SHOP]


def test_tracks_of_unknown_genre_are_in_no_sequence_and_no_link():
    catalogue = Catalogue(IDS, genres=["", "rock", "jazz", "", "rock"])
    views, links, sizes = catalogue_views(playlists_of(LISTS), catalogue)
    assert sizes == {ITEM: 5, CATEGORY: 2}
    assert as_lists(views[CATEGORY]) == [[1, 0], [1], [0]]
    tracks, nodes = links[CATEGORY]
    assert tracks.tolist() == [1, 2, 4] and nodes.tolist() == [1, 0, 1]
    assert views[CATEGORY].ids == views[ITEM].ids  # as many sequences as playlists


def test_a_playlist_of_unknown_genres_alone_is_empty():
    catalogue = Catalogue(IDS, genres=["rock", "jazz", "", "", ""])
    views, _, _ = catalogue_views(playlists_of([[0, 1], [2, 3]]), catalogue)
    assert as_lists(views[CATEGORY]) == [[1, 0], []]


def test_one_genre_is_no_view():
    for genres in (["rock"] * 5, ["rock", "", "rock", "", ""]):
        views, links, sizes = catalogue_views(
            playlists_of(LISTS), Catalogue(IDS, artists=["A", "B", "A", "B", "B"], genres=genres)
        )
        assert set(views) == set(sizes) == {ITEM, SHOP} and set(links) == {SHOP}


def test_nothing_known_leaves_the_tracks():
    for catalogue in (Catalogue(IDS), Catalogue(IDS, genres=[""] * 5)):
        views, links, sizes = catalogue_views(playlists_of(LISTS), catalogue)
        assert list(views) == [ITEM] and links == {} and sizes == {ITEM: 5}


def test_every_link_and_node_is_within_its_size():
    rng = np.random.default_rng(0)
    names = ["", "x", "y", "z é", "<b>"]
    catalogue = Catalogue(
        [str(k) for k in range(200)],
        artists=[names[k] for k in rng.integers(5, size=200)],
        genres=[names[k] for k in rng.integers(5, size=200)],
    )
    playlists = playlists_of([rng.integers(200, size=9).tolist() for _ in range(30)])
    views, links, sizes = catalogue_views(playlists, catalogue)
    for view, column in ((CATEGORY, catalogue.genres), (SHOP, catalogue.artists)):
        tracks, nodes = links[view]
        name = dict(zip(nodes.tolist(), (column[t] for t in tracks), strict=True))
        assert len(name) == sizes[view] == 4 and set(name.values()) == set(names) - {""}
        assert [name[k] for k in nodes] == [column[t] for t in tracks]
        assert views[view].tracks.max() < sizes[view] and views[view].tracks.min() >= 0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4)), min_size=1, max_size=25),
    st.lists(st.integers(0, 3), min_size=6, max_size=6),
    st.integers(0, 2**31),
)
def test_draws_are_links_of_items_that_occur_and_negatives_are_not(links, counts, seed):
    items, attributes = np.array(links).T
    counts, known = np.array(counts), set(links)
    usable = {i for i, _ in known if counts[i] and any((i, a) not in known for a in range(5))}
    if not usable:
        with pytest.raises(SslAudioError, match="lacks an attribute"):
            LinkSampler(items, attributes, counts, 5)
        return
    owner, drawn = LinkSampler(items, attributes, counts, 5).draw(
        np.random.default_rng(seed), 200, 6
    )
    assert drawn.shape == (200, 7) and set(owner.tolist()) <= usable
    assert set(zip(owner.tolist(), drawn[:, 0].tolist(), strict=True)) <= known
    for k in range(1, 7):
        assert not set(zip(owner.tolist(), drawn[:, k].tolist(), strict=True)) & known
    assert drawn.min() >= 0 and drawn.max() < 5


def test_links_are_drawn_by_their_items_counts_and_negatives_uniformly():
    items, attributes = np.array([0, 0, 1, 3, 3, 3]), np.array([1, 5, 0, 2, 3, 4])
    repeated = np.concatenate([items, items[:1]]), np.concatenate([attributes, attributes[:1]])
    counts = np.array([1, 5, 9, 2])  # 2 + 5 + 6 over the links
    owner, drawn = LinkSampler(*repeated, counts, 8).draw(np.random.default_rng(0), 65_000, 1)
    found = np.bincount(owner * 8 + drawn[:, 0], minlength=32)
    np.testing.assert_allclose(found[items * 8 + attributes], 5_000 * counts[items], rtol=0.05)
    negatives = np.bincount(drawn[owner == 3, 1], minlength=8)
    np.testing.assert_allclose(negatives[[0, 1, 5, 6, 7]], 6_000, rtol=0.06)


def planted_views():
    rng = np.random.default_rng(0)
    items = [rng.integers(ITEMS, size=20).tolist() for _ in range(30)]
    categories = [[item % CATEGORIES for item in one] for one in items]
    return {"item": playlists_of(items), "category": playlists_of(categories)}


def batches_of(seed):
    links = {"category": (np.arange(ITEMS), np.arange(ITEMS) % CATEGORIES)}
    sizes = {"item": ITEMS, "category": CATEGORIES}
    return M2GRLBatches(planted_views(), links, sizes, M2GRLSettings(batch_size=64), seed)


def test_batches_are_a_function_of_seed_and_step():
    batches, other = batches_of(0), batches_of(1)
    again = batches_of(0)(7)
    again_first = batches(7)
    batches(3)
    for name, tensor in batches(7).items():
        assert torch.equal(tensor, again[name]) and torch.equal(tensor, again_first[name])
        assert tensor.dtype == torch.int64
        assert tensor.shape == ((64,) if name.endswith("from") else (64, 11))
        assert not torch.equal(tensor, batches(8)[name])
        assert not torch.equal(tensor, other(7)[name])
