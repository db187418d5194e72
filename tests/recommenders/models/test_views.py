"""Views of a catalogue, on one that is small enough to write down."""

import numpy as np

from ssl_audio.recommenders.data.collection import Catalogue, playlists_of
from ssl_audio.recommenders.models.views import CATEGORY, ITEM, SHOP, catalogue_views

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
