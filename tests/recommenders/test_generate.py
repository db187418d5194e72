"""Generated playlists have the given lengths, and show each of their sources."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders import generate_playlists as generator
from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.data.statistics import playlist_statistics
from ssl_audio.recommenders.generate import generate
from ssl_audio.recommenders.generate_settings import PRESETS, GeneratorSettings
from ssl_audio.recommenders.generate_tracks import draw_tracks
from ssl_audio.recommenders.generate_tracks import whitened as whitened_audio

NONE = 1e-3  # a Dirichlet parameter that leaves a source out of nearly all playlists
SHORT = dict(min_length=10, max_length=20)


def made(tracks=600, genres=8, dimensions=24, seed=0):
    """Sound with a spectrum of variances, about genres' centres."""
    rng = np.random.default_rng(seed)
    genre = rng.integers(genres, size=tracks)
    centres = rng.normal(size=(genres, dimensions)) * 0.5
    scale = np.exp(-np.arange(dimensions) / 6)
    audio = (centres[genre] + rng.normal(size=(tracks, dimensions))) * scale
    return audio.astype(np.float32), [f"genre-{k}" for k in genre]


def only(source, **more):
    """Settings whose playlists come from one source."""
    shares = {name: NONE for name in ("genre", "audio", "scene", "popularity")} | {source: 10.0}
    plain = dict(playlists=400, zipf=0.0, regional=0.0, min_popularity=1e-4, scenes=10) | SHORT
    return GeneratorSettings(**(plain | shares | more))


def purity(playlists, groups):
    """Mean share of pairs of a playlist's tracks that are of one group, and the same by chance."""
    found = []
    for k in range(len(playlists)):
        counts = np.bincount(groups[playlists[k]])
        n = counts.sum()
        found.append((counts * (counts - 1)).sum() / (n * (n - 1)))
    sizes = np.bincount(groups)
    return np.mean(found), (sizes * (sizes - 1)).sum() / (len(groups) * (len(groups) - 1))


def whitened(audio, components=8):
    """Principal components by a singular value decomposition, variance 1."""
    centred = audio - audio.mean(0)
    left, _, _ = np.linalg.svd(centred.astype(np.float64), full_matrices=False)
    return left[:, :components] * np.sqrt(len(audio))


def spread(points, playlists):
    """Mean squared distance of two tracks of a playlist over that of two tracks at all."""
    within = [2 * points[playlists[k]].var(0, ddof=1).sum() for k in range(len(playlists))]
    return np.mean(within) / (2 * points.var(0, ddof=1).sum())


def steps(points, playlists):
    """Mean squared distance of tracks that follow each other, over that of any two of theirs."""
    following, any_two = [], []
    for k in range(len(playlists)):
        mine = points[playlists[k]]
        following.append((np.diff(mine, axis=0) ** 2).sum(1).mean())
        any_two.append(2 * mine.var(0, ddof=1).sum())
    return np.mean(following) / np.mean(any_two)


def shuffled(playlists):
    """The same playlists in a random order."""
    rng = np.random.default_rng(0)
    order = np.lexsort((rng.random(len(playlists.tracks)), playlists.owners))
    return Playlists(playlists.tracks[order], playlists.offsets, playlists.ids)


def groups_of(names):
    return np.unique(names, return_inverse=True)[1]


@pytest.fixture(scope="module")
def usual():
    """With all four sources."""
    audio, genres = made()
    return audio, generate(audio, genres, GeneratorSettings(playlists=500, scenes=10, **SHORT))


# --- form ----------------------------------------------------------------------------------------


@effort(max_examples=25, deadline=None)
@given(
    tracks=st.integers(20, 90),
    playlists=st.integers(1, 30),
    min_length=st.integers(2, 12),
    more=st.integers(0, 8),
    shares=st.tuples(*[st.sampled_from([NONE, 0.3, 10.0])] * 4),
    seed=st.integers(0, 5),
)
def test_lengths_are_in_range_and_no_track_is_in_a_playlist_twice(
    tracks, playlists, min_length, more, shares, seed
):
    sources = dict(zip(("genre", "audio", "scene", "popularity"), shares, strict=True))
    asked = GeneratorSettings(
        playlists, min_length, min_length + more, seed, min_popularity=1e-6, **sources
    )
    found = generate(*made(tracks, seed=seed), asked).playlists
    assert len(found) == playlists
    assert found.lengths.min() >= min_length and found.lengths.max() <= min_length + more
    assert found.tracks.dtype == np.int32
    assert found.tracks.min() >= 0 and found.tracks.max() < tracks
    for k in range(playlists):
        assert len(set(found[k].tolist())) == len(found[k])


def test_a_playlist_may_have_every_track():
    asked = GeneratorSettings(playlists=5, min_length=30, max_length=30)
    found = generate(*made(30), asked).playlists
    for k in range(5):
        assert sorted(found[k]) == list(range(30))


def test_playlists_are_a_function_of_the_seed():
    audio, genres = made(100)
    one, same, other = (
        generate(audio, genres, GeneratorSettings(playlists=50, seed=seed, **SHORT))
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(one.playlists.tracks, same.playlists.tracks)
    np.testing.assert_array_equal(one.scene, same.scene)
    assert one.artists == same.artists and one.albums == same.albums
    assert not np.array_equal(one.playlists.lengths, other.playlists.lengths)
    assert not np.array_equal(one.scene, other.scene)


def test_blocks_of_playlists_are_independent(monkeypatch):
    """And playlists of one block share nothing that those of two do not."""
    monkeypatch.setattr(generator, "CELLS", 600 * 16)
    audio, genres = made()
    found = generate(audio, genres, only("popularity", playlists=320, min_length=20, max_length=20))
    sets = np.zeros((320, 600), int)
    np.put_along_axis(sets, found.playlists.tracks.reshape(320, 20), 1, axis=1)
    shared = sets @ sets.T
    np.fill_diagonal(shared, 0)
    assert shared.sum() / (320 * 319) == pytest.approx(20 * 20 / 600, rel=0.03)
    assert shared.max() < 10


# --- each source ---------------------------------------------------------------------------------


def test_tracks_are_drawn_by_weight_without_replacement():
    """Against the chances of successive draws, worked out for three tracks of four."""
    weights = np.array([1.0, 2.0, 3.0, 6.0])
    rng = np.random.default_rng(0)
    arrivals = rng.standard_exponential((60_000, 4)) / weights
    found = generator._first(arrivals, 2)
    counts = np.zeros((4, 4))
    np.add.at(counts, (found[:, 0], found[:, 1]), 1 / 60_000)
    chance = weights[:, None] * weights / (12 * (12 - weights[:, None])) * (1 - np.eye(4))
    assert chance.sum() == pytest.approx(1)
    np.testing.assert_allclose(counts, chance, atol=0.006)


def test_the_weights_of_each_source_sum_to_its_share():
    audio, genres = made()
    settings = GeneratorSettings(playlists=20, scenes=10)
    rng = np.random.default_rng(0)
    points = whitened_audio(audio, 8)
    tracks = draw_tracks(points, genres, settings, rng)
    choices = generator.draw_choices(tracks, settings, rng)
    found = generator._weights(tracks, choices.take(slice(5, 15)))
    for k in range(5, 15):
        popularity = np.exp(
            tracks.log_popularity[choices.regions[k]].astype(float) * choices.powers[k]
        )
        squares = ((points - points[choices.seeds[k]]).astype(float) ** 2).sum(1)
        sources = np.stack([
            np.isin(tracks.genre, choices.genres[k]),
            np.exp(-squares / (2 * tracks.variance[choices.seeds[k]])),
            tracks.scene == choices.scenes[k],
            np.ones(len(audio)),
        ]) * popularity  # fmt: skip
        expected = (choices.shares[k, :, None] * sources / sources.sum(1, keepdims=True)).sum(0)
        np.testing.assert_allclose(found[k - 5], expected, rtol=1e-3, atol=1e-8)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-4)


@pytest.mark.parametrize("second, pure", [(0.0, 1.0), (1.0, 0.5)])
def test_playlists_of_genre_are_of_one_or_two(second, pure):
    audio, genres = made()
    found = generate(audio, genres, only("genre", second_genre=second))
    share, chance = purity(found.playlists, groups_of(genres))
    assert share == pytest.approx(pure, abs=0.08) and chance < 0.2
    scene, by_chance = purity(found.playlists, found.scene)
    assert scene == pytest.approx(by_chance, abs=0.02)  # and of nothing else


def test_playlists_of_a_scene_have_it_and_no_genre():
    audio, genres = made()
    found = generate(audio, genres, only("scene"))
    share, chance = purity(found.playlists, found.scene)
    assert share > 0.95 and chance < 0.12
    genre, by_chance = purity(found.playlists, groups_of(genres))
    assert genre == pytest.approx(by_chance, abs=0.02)
    assert spread(whitened(audio), found.playlists) == pytest.approx(1, abs=0.03)


def test_playlists_of_audio_are_near_in_whitened_audio():
    audio, genres = made()
    found = generate(audio, genres, only("audio"))
    assert spread(whitened(audio), found.playlists) < 0.6
    wide = generate(audio, genres, only("audio", nearness=0.3))
    assert spread(whitened(audio), wide.playlists) > spread(whitened(audio), found.playlists) + 0.1


def test_scale_and_offset_of_the_vectors_do_not_matter():
    audio, genres = made()
    asked = only("audio", playlists=30)
    np.testing.assert_allclose(np.abs(whitened_audio(audio, 8)), np.abs(whitened(audio)), atol=2e-3)
    one, other = generate(audio, genres, asked), generate(audio * 64 + 1, genres, asked)
    same = np.isin(one.playlists.tracks, other.playlists.tracks).mean()
    assert same > 0.95


def test_popular_tracks_are_in_more_playlists_and_the_tail_prefers_others():
    audio, genres = made()
    usual = dict(zipf=1.0, regions=1)
    counts = {}
    for mainstream in (1.0, 0.0):
        asked = only("popularity", mainstream=mainstream, tail=-0.5, **usual)
        found = generate(audio, genres, asked)
        counts[mainstream] = np.bincount(found.playlists.tracks, minlength=600)
    rank = np.argsort(-counts[1.0], kind="stable")
    head, tail = rank[:60], rank[-60:]
    assert counts[1.0][head].mean() > 5 * counts[1.0][tail].mean()
    assert counts[0.0][head].mean() < 0.6 * counts[0.0][tail].mean()


def test_every_source_is_found_in_the_usual_mixture(usual):
    audio, found = usual
    for groups in (groups_of(found.genres), found.scene):
        share, chance = purity(found.playlists, groups)
        assert share > 1.5 * chance
    assert spread(whitened(audio), found.playlists) < 0.95
    counts = np.sort(np.bincount(found.playlists.tracks, minlength=len(audio)))[::-1]
    assert counts[:60].sum() > 0.2 * counts.sum()
    assert counts.min() > 0


def test_neighbours_in_a_playlist_are_slightly_more_similar(usual):
    audio, found = usual
    points, playlists = whitened(audio), found.playlists
    assert 0.7 < steps(points, playlists) < 0.97
    assert steps(points, shuffled(playlists)) == pytest.approx(1, abs=0.02)


def test_the_order_does_not_drift_from_one_set_to_the_next():
    """Two halves of whole sets are as far apart in audio as two random halves."""
    audio, genres = made()
    found = generate(audio, genres, GeneratorSettings(playlists=500, min_length=32, max_length=32))
    points = whitened(audio)
    of_halves = [
        points[one.tracks].reshape(500, 2, 16, 8).mean(2)
        for one in (found.playlists, shuffled(found.playlists))
    ]
    apart, by_chance = (((x[:, 0] - x[:, 1]) ** 2).sum(1).mean() for x in of_halves)
    assert apart == pytest.approx(by_chance, rel=0.1)


# --- presets -----------------------------------------------------------------------------------


def test_a_theme_drifts_and_its_tracks_stay_distinct():
    """Audio of parts that are further apart is less alike, and in one theme it is not."""
    audio, genres = made()
    points = whitened(audio)
    length = dict(min_length=40, max_length=40)
    for theme, drifts in ((8, True), (None, False)):
        asked = only("audio", theme_length=theme, drift=1.0, **length)
        found = generate(audio, genres, asked).playlists
        tracks = found.tracks.reshape(400, 40)
        assert all(len(set(row)) == 40 for row in tracks.tolist())
        parts = points[tracks].reshape(400, 5, 8, 8).mean(2)
        near, far = (((parts[:, 0] - parts[:, k]) ** 2).sum(1).mean() for k in (1, 4))
        assert (far > 1.3 * near) == drifts, (near, far)


def test_runs_of_an_artist_and_repeats_have_their_shares():
    audio, genres = made(2000)
    plain = GeneratorSettings(playlists=200, min_length=30, max_length=50)
    before = generate(audio, genres, plain)
    base = playlist_statistics(before.playlists, before.artists)
    assert base.repeats == 0 and base.same_artist < 0.03
    runs = generate(audio, genres, replace(plain, runs=0.2))
    found = playlist_statistics(runs.playlists, runs.artists)
    assert found.repeats == 0 and 0.15 < found.same_artist < 0.22
    repeats = generate(audio, genres, replace(plain, repeats=0.1))
    found = playlist_statistics(repeats.playlists, repeats.artists)
    assert 0.07 < found.repeats < 0.1
    lists = [repeats.playlists[k] for k in range(200)]
    assert not any((one[1:] == one[:-1]).any() for one in lists)
    assert np.array_equal(runs.playlists.lengths, before.playlists.lengths)


def test_presets_are_as_real_playlists():
    """Between the real sets of data/README.md, or near them."""
    audio, genres = made(2000)
    short = dict(playlists=800, min_length=10, max_length=30)
    for name, sizes in (("dense", dict(playlists=400)), ("sparse", short)):
        found = generate(audio, genres, replace(PRESETS[name], **sizes))
        found = playlist_statistics(found.playlists, found.artists)
        assert 0.08 < found.same_artist < 0.24 and 0.01 < found.repeats < 0.08
        assert 0.5 < found.gini < 0.8 and 0.6 < found.zipf < 1.1
    assert found.mean_plays < 10 and found.median_plays < 5  # sparse


# --- metadata of the tracks -----------------------------------------------------------------


def test_artists_are_of_one_genre_and_scene_and_albums_of_one_artist():
    audio, genres = made(3000)
    found = generate(audio, genres, GeneratorSettings(playlists=1, scenes=10))
    of_artist, of_album = {}, {}
    for k, (artist, album) in enumerate(zip(found.artists, found.albums, strict=True)):
        of_artist.setdefault(artist, set()).add((genres[k], int(found.scene[k])))
        of_album.setdefault(album, set()).add(artist)
    assert all(len(kinds) == 1 for kinds in of_artist.values())
    assert all(len(artists) == 1 for artists in of_album.values())
    assert 4 < 3000 / len(of_artist) < 9
    assert 2 < 3000 / len(of_album) < 4


def test_scenes_are_of_one_size_and_independent_of_genre():
    audio, genres = made(3000)
    scene = generate(audio, genres, GeneratorSettings(playlists=1, scenes=10)).scene
    assert np.ptp(np.bincount(scene)) <= 1
    table = np.zeros((8, 10))
    np.add.at(table, (groups_of(genres), scene), 1)
    expected = table.sum(1, keepdims=True) * table.sum(0) / 3000
    assert ((table - expected) ** 2 / expected).sum() < 110  # chi-squared with 63: 110 is p = 2e-4


def test_the_catalogue_has_the_tracks_in_order(usual):
    _, found = usual
    catalogue = found.catalogue([f"track-{k}" for k in range(600)])
    assert catalogue.row["track-7"] == 7
    assert catalogue.artists[7] == found.artists[7] and catalogue.albums[7] == found.albums[7]
    assert catalogue.genres[7] == found.genres[7]


def test_tracks_without_genre_are_in_no_playlist_of_genre():
    audio, genres = made()
    known = np.random.default_rng(0).random(600) < 0.5
    partly = [genre if k else "" for genre, k in zip(genres, known, strict=True)]
    found = generate(audio, partly, only("genre"))
    assert known[found.playlists.tracks].mean() > 0.95


# --- refused inputs ------------------------------------------------------------------------------


def test_catalogues_without_playlists_are_refused():
    audio, genres = made(50)
    asked = GeneratorSettings(playlists=2, **SHORT)
    with pytest.raises(SslAudioError, match="max_length=120, but there are 50 tracks"):
        generate(audio, genres)
    with pytest.raises(SslAudioError, match="no track has a genre"):
        generate(audio, [""] * 50, asked)
    with pytest.raises(SslAudioError, match="vectors of all tracks are equal"):
        generate(np.ones((50, 4), np.float32), genres, asked)
    audio[3, 1] = np.nan
    with pytest.raises(SslAudioError, match="not finite"):
        generate(audio, genres, asked)
