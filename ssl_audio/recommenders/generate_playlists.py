"""Generated playlists: their random choices, their tracks, and the order of these."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ssl_audio.recommenders.data.csr import group_by, owners_of, places_of
from ssl_audio.recommenders.generate_settings import GeneratorSettings
from ssl_audio.recommenders.generate_tracks import Tracks, squared_distances

CELLS = 1 << 20  # playlists x tracks weighted at a time: 4 MiB per matrix


@dataclass(frozen=True)
class Choices:
    """Random choices of each playlist.

    Attributes:
        lengths: (playlists,).
        shares: (playlists, 4) float32 of genre, audio, scene and popularity; they sum to 1.
        genres: (playlists, 2), twice the same where it prefers one.
        seeds: (playlists,) tracks.
        scenes, regions: (playlists,).
        powers: (playlists,) float32, of popularity.
    """

    lengths: np.ndarray
    shares: np.ndarray
    genres: np.ndarray
    seeds: np.ndarray
    scenes: np.ndarray
    regions: np.ndarray
    powers: np.ndarray

    def take(self, these: slice) -> Choices:
        """Those of some playlists."""
        return Choices(*(values[these] for values in vars(self).values()))


def draw_choices(tracks: Tracks, settings: GeneratorSettings, rng: np.random.Generator) -> Choices:
    count = settings.playlists
    sources = (settings.genre, settings.audio, settings.scene, settings.popularity)
    shares = (1 - settings.min_popularity) * rng.dirichlet(sources, count)
    shares[:, 3] += settings.min_popularity
    genres = _preferred(tracks, count, settings, rng)
    return Choices(
        lengths=rng.integers(settings.min_length, settings.max_length + 1, count),
        shares=shares.astype(np.float32),
        genres=genres,
        seeds=rng.integers(len(tracks.genre), size=count),
        scenes=rng.integers(settings.scenes, size=count),
        regions=rng.integers(settings.regions, size=count),
        powers=np.where(rng.random(count) < settings.mainstream, 1, settings.tail).astype("f4"),
    )


def _preferred(
    tracks: Tracks, count: int, settings: GeneratorSettings, rng: np.random.Generator
) -> np.ndarray:
    """(count, 2) genres, as often as they have tracks; twice the same where one is preferred."""
    known = tracks.genre[tracks.genre >= 0]
    genres = known[rng.integers(len(known), size=(count, 2))]
    one = rng.random(count) >= settings.second_genre
    genres[one, 1] = genres[one, 0]
    return genres


def draw_playlists(tracks: Tracks, choices: Choices, settings: GeneratorSettings) -> np.ndarray:
    """(positions,) int32 tracks of all playlists, one after the other, no track twice in one.

    Tracks are drawn by weight without replacement, exactly: as the first arrivals of an exponential
    race, which equals Gumbel top-k.
    """
    rows = max(1, CELLS // len(tracks.genre))
    drawn = []
    for block, first in enumerate(range(0, settings.playlists, rows)):
        these = choices.take(slice(first, first + rows))
        rng = np.random.default_rng([settings.seed, 1, block])
        drawn.append(_draw_block(tracks, these, settings, rng))
    return np.concatenate(drawn)


def _draw_block(
    tracks: Tracks, choices: Choices, settings: GeneratorSettings, rng: np.random.Generator
) -> np.ndarray:
    """The tracks of some playlists, theme by theme."""
    longest = int(choices.lengths.max())
    theme = settings.theme_length or longest
    drawn = np.empty((len(choices.lengths), longest), np.int32)
    for start in range(0, longest, theme):
        if start:
            choices = _next_theme(tracks, choices, drawn[:, start - 1], settings, rng)
        weights = _weights(tracks, choices)
        arrivals = rng.standard_exponential(weights.shape, np.float32)
        arrivals /= weights
        if start:
            np.put_along_axis(arrivals, drawn[:, :start], np.inf, axis=1)
        drawn[:, start : start + theme] = _first(arrivals, min(theme, longest - start))
    return drawn[np.arange(longest) < choices.lengths[:, None]]


def _next_theme(
    tracks: Tracks,
    choices: Choices,
    last: np.ndarray,
    settings: GeneratorSettings,
    rng: np.random.Generator,
) -> Choices:
    """The choices with some genres, seed tracks and scenes changed; `last` are the last tracks."""
    count = len(last)
    genre, seed, scene = rng.random((3, count)) < settings.drift
    return replace(
        choices,
        genres=np.where(genre[:, None], _preferred(tracks, count, settings, rng), choices.genres),
        seeds=np.where(seed, last, choices.seeds),
        scenes=np.where(scene, rng.integers(settings.scenes, size=count), choices.scenes),
    )


def _weights(tracks: Tracks, choices: Choices) -> np.ndarray:
    """(playlists, tracks) float32; the weights of each source sum to its share in the playlist."""
    shares = choices.shares
    popularity = tracks.log_popularity[choices.regions]
    popularity *= choices.powers[:, None]
    np.exp(popularity, out=popularity)
    total = np.einsum("pt->p", popularity)
    mixture = np.repeat((shares[:, 3] / total)[:, None], popularity.shape[1], axis=1)
    sources = (
        _of_genre(tracks, choices.genres),
        _near_seed(tracks, choices.seeds),
        (tracks.scene == choices.scenes[:, None]).astype(np.float32),
    )
    for source, share in zip(sources, shares.T[:3], strict=True):
        total = np.einsum("pt,pt->p", source, popularity)
        source *= (share / np.maximum(total, 1e-30))[:, None]
        mixture += source
    mixture *= popularity
    return mixture


def _of_genre(tracks: Tracks, genres: np.ndarray) -> np.ndarray:
    """(playlists, tracks) 1 for tracks of the preferred genres, else 0."""
    preferred = np.zeros((len(genres), int(tracks.genre.max()) + 2), np.float32)
    np.put_along_axis(preferred, genres, 1.0, axis=1)
    return np.take(preferred, tracks.genre, axis=1)  # -1 is the last column, always 0


def _near_seed(tracks: Tracks, seeds: np.ndarray) -> np.ndarray:
    """(playlists, tracks) Gaussian of the distance to the seed tracks."""
    kernel = squared_distances(tracks.points[seeds], tracks.points)
    kernel *= (-0.5 / tracks.variance[seeds])[:, None]
    np.exp(kernel, out=kernel)
    return kernel


def _first(arrivals: np.ndarray, count: int) -> np.ndarray:
    """(playlists, count) int32: columns of the lowest values of each row, ascending by value."""
    columns = np.argpartition(arrivals, count - 1, axis=1)[:, :count]
    order = np.argsort(np.take_along_axis(arrivals, columns, 1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, 1).astype(np.int32)


def in_sets(
    drawn: np.ndarray,
    offsets: np.ndarray,
    points: np.ndarray,
    settings: GeneratorSettings,
    rng: np.random.Generator,
) -> np.ndarray:
    """(positions,) the same tracks, shuffled in each theme, then ordered by audio in each set.

    A set of adjacent tracks is sorted by the angle in the plane of the first two components.
    Sorting a whole playlist would place its two halves in different regions.
    """
    owners, places = owners_of(offsets), places_of(offsets)
    theme = places // (settings.theme_length or len(drawn))
    shuffled = drawn[np.lexsort((rng.random(len(drawn)), theme, owners))]
    sets = places // settings.set_length
    angles = np.arctan2(points[:, min(1, points.shape[1] - 1)], points[:, 0])
    return shuffled[np.lexsort((angles[shuffled], sets, theme, owners))]


def with_runs(
    drawn: np.ndarray,
    offsets: np.ndarray,
    artist: np.ndarray,
    popularity: np.ndarray,
    share: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """(positions,) the tracks, some of them replaced by another one of the artist before them.

    Args:
        drawn, offsets: the playlists.
        artist: (tracks,) numbers from 0.
        popularity: (tracks,) probability of an artist's tracks, up to a factor.
        share: of the positions; less where the playlist has the artist's other tracks already.
    """
    drawn, owners = drawn.copy(), owners_of(offsets)
    order, begins = group_by(artist, int(artist.max()) + 1)
    chosen = np.flatnonzero((rng.random(len(drawn)) < share) & (places_of(offsets) > 0))
    owner, present = -1, set[int]()
    for position in chosen.tolist():
        if owners[position] != owner:
            owner = owners[position]
            present = set(drawn[offsets[owner] : offsets[owner + 1]].tolist())
        previous = artist[drawn[position - 1]]
        others = [t for t in order[begins[previous] : begins[previous + 1]] if t not in present]
        if others:
            race = rng.standard_exponential(len(others)) / popularity[others]
            present.discard(int(drawn[position]))
            drawn[position] = others[int(race.argmin())]
            present.add(int(drawn[position]))
    return drawn


def with_repeats(
    drawn: np.ndarray, offsets: np.ndarray, share: float, rng: np.random.Generator
) -> np.ndarray:
    """(positions,) the tracks, some of them replaced by an earlier one, not the one before."""
    places = places_of(offsets)
    mask = (rng.random(len(drawn)) < share) & (places > 1)
    mask[1:] &= ~mask[:-1]  # two repeats in a row could be of the same track
    chosen = np.flatnonzero(mask)
    back = 2 + (rng.random(len(chosen)) * (places[chosen] - 1)).astype(np.int64)
    repeated = drawn.copy()
    repeated[chosen] = drawn[chosen - back]
    return repeated
