"""Generated playlists over a catalogue of real sound, so that every task has something to learn.

Each playlist draws its tracks without repeats from a mixture of four sources: tracks of the one or
two genres that it prefers, tracks that sound like a seed track, tracks of a hidden scene, and
whatever is popular. The popularity that weighs all four is the playlist's own: mainstream or long
tail, and of a region. The four choices of a playlist are independent, and so are genre, scene,
popularity and sound of a track, but for what genre and sound share in the catalogue itself: no
source can stand in for another, and the scene shows in co-occurrence alone.

MUSIG (section 3.1) has 15.9 K tracks, 95 K playlists and 5.2 M pairs that share ten or more: 4 % of
all pairs, which the defaults come close to. How many pairs share ten grows with the mean over all
pairs, playlists x length^2 / tracks^2: for a like density 2,000 tracks want under 2,000 playlists,
or a higher threshold: 20 to 30 with 5,000.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Catalogue, Playlists

CELLS = 1 << 20  # playlists x tracks weighed at a time: 4 MiB a matrix
SAMPLE = 1024  # tracks that say how dense the sound is around each track
SMALLEST_VARIANCE = 1e-6  # of the greatest; components below it are rounding


@dataclass(frozen=True)
class GeneratorSettings:
    """What the playlists are like.

    Attributes:
        playlists: how many.
        shortest, longest: tracks in a playlist; lengths between are equally likely.
        seed: of everything.
        genre, sound, scene, popularity: Dirichlet parameters of the four sources' shares in a
            playlist. The shares' means are in their proportion; the smaller they are, the more a
            playlist has of one source alone.
        strays: least share of `popularity`, so that no playlist is of one piece. Above 0, since a
            playlist may be longer than its scene or genre has tracks.
        second_genre: chance that a playlist prefers two genres and not one.
        scenes: hidden groups of the tracks.
        components: principal components in which sound is compared.
        nearness: share of the catalogue that counts as near a seed track.
        zipf: exponent of popularity over rank.
        mainstream: chance that a playlist takes popularity as it is.
        tail: the power that the other playlists take of it; below 0, the obscure come first.
        regions: groups of playlists that each have their own popularity.
        regional: standard deviation of a region's log popularity about the global one.
        noise: standard deviation of the popularity features' error, as a share of theirs.
        set_length: tracks that follow each other in an order that is smooth in sound.
        artist_tracks, album_tracks: mean lengths of the runs that genre and scene then cut.

    Raises:
        SslAudioError: a number out of its range.
    """

    playlists: int = 5000
    shortest: int = 40
    longest: int = 120
    seed: int = 0
    genre: float = 0.5
    sound: float = 1.0
    scene: float = 0.4
    popularity: float = 0.2
    strays: float = 0.05
    second_genre: float = 0.3
    scenes: int = 40
    components: int = 8
    nearness: float = 0.02
    zipf: float = 0.6
    mainstream: float = 0.6
    tail: float = -0.3
    regions: int = 4
    regional: float = 0.5
    noise: float = 0.3
    set_length: int = 8
    artist_tracks: float = 8.0
    album_tracks: float = 4.0

    def __post_init__(self) -> None:
        self._at_least(1, "playlists", "scenes", "components", "regions", "set_length")
        self._at_least(1, "artist_tracks", "album_tracks")
        self._at_least(0, "seed", "zipf", "regional", "noise")
        self._within(0.0, 1.0, "second_genre", "mainstream")
        self._within(1e-6, 1.0, "strays")
        for name in ("genre", "sound", "scene", "popularity"):
            if not getattr(self, name) > 0:
                raise SslAudioError(f"{name}={getattr(self, name)}: above 0; 0.001 is next to none")
        if not 0 < self.nearness <= 1:
            raise SslAudioError(f"nearness={self.nearness}: above 0, at most 1")
        if not 2 <= self.shortest <= self.longest:
            raise SslAudioError(
                f"shortest={self.shortest}, longest={self.longest}: 2 <= shortest <= longest"
            )

    def _at_least(self, least: float, *names: str) -> None:
        for name in names:
            if not getattr(self, name) >= least:
                raise SslAudioError(f"{name}={getattr(self, name)}: {least} or more")

    def _within(self, low: float, high: float, *names: str) -> None:
        for name in names:
            if not low <= getattr(self, name) <= high:
                raise SslAudioError(f"{name}={getattr(self, name)}: {low:g} to {high:g}")


@dataclass(frozen=True)
class Generated:
    """Playlists and what is known of their tracks.

    Attributes:
        playlists: `playlist-0` and so on.
        popularity: (tracks, 2) float32, 0 to 1: global, and of the first region, each with noise.
        scene: (tracks,) int32, the hidden group; for tests, and no model's feature.
        artists, albums, genres: (tracks,). An artist is of one genre and one scene.
    """

    playlists: Playlists
    popularity: np.ndarray
    scene: np.ndarray
    artists: list[str]
    albums: list[str]
    genres: list[str]

    def catalogue(self, ids: Sequence[str]) -> Catalogue:
        """The tracks under their names, in the order in which their sound was given."""
        return Catalogue(ids, self.artists, self.albums, self.genres)


def generate(
    sound: np.ndarray, genres: Sequence[str], settings: GeneratorSettings | None = None
) -> Generated:
    """Draw playlists over a catalogue.

    Args:
        sound: (tracks, dimensions), such as frozen embeddings of their audio.
        genres: (tracks,); "" is unknown, and no playlist prefers it.
        settings: see there.

    Raises:
        SslAudioError: fewer tracks than the longest playlist has, sound that is not finite or the
            same for all, or no genre at all.
        ValueError: as many genres as tracks are wanted.
    """
    settings = settings or GeneratorSettings()
    if len(genres) != len(sound):
        raise ValueError(f"{len(genres)} genres of {len(sound)} tracks")
    if len(sound) < settings.longest:
        raise SslAudioError(
            f"longest={settings.longest}, but there are {len(sound)} tracks: at most that many"
        )
    rng = np.random.default_rng([settings.seed, 0])
    tracks = _draw_tracks(_whitened(sound, settings.components), genres, settings, rng)
    wishes = _draw_wishes(tracks, settings, rng)
    chosen = _draw_playlists(tracks, wishes, settings)
    offsets = np.concatenate([[0], np.cumsum(wishes.lengths)])
    ordered = _in_sets(chosen, wishes.lengths, tracks.points, settings.set_length, rng)
    names = [f"playlist-{k}" for k in range(settings.playlists)]
    popularity = _popularity_features(tracks, settings, rng)
    artists, albums = _artists_and_albums(tracks, settings, rng)
    return Generated(
        Playlists(ordered, offsets, names), popularity, tracks.scene, artists, albums, list(genres)
    )


# --- tracks --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Tracks:
    """What playlists choose by.

    Attributes:
        points: (tracks, components) float32, whitened sound.
        reach: (tracks,) float32, variance of the kernel around each.
        genre: (tracks,) int32, -1 where unknown.
        scene: (tracks,) int32.
        log_popularity: (regions, tracks) float32.
    """

    points: np.ndarray
    reach: np.ndarray
    genre: np.ndarray
    scene: np.ndarray
    log_popularity: np.ndarray


def _whitened(sound: np.ndarray, components: int) -> np.ndarray:
    """(tracks, components or fewer) float32: principal components of variance 1.

    Raises:
        SslAudioError: sound that is not finite or the same for all.
    """
    if not np.isfinite(sound).all():
        raise SslAudioError("the tracks' sound has values that are not finite: export it anew")
    centred = sound - sound.mean(0, dtype=np.float64)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(sound))
    kept = np.argsort(-values)[:components]
    kept = kept[values[kept] > max(SMALLEST_VARIANCE * values.max(), 1e-20)]
    if not len(kept):
        raise SslAudioError("all tracks sound the same: give vectors that tell them apart")
    return (centred @ (vectors[:, kept] / np.sqrt(values[kept]))).astype(np.float32)


def _draw_tracks(
    points: np.ndarray, genres: Sequence[str], settings: GeneratorSettings, rng: np.random.Generator
) -> _Tracks:
    count = len(points)
    names = sorted({genre for genre in genres if genre})
    if not names:
        raise SslAudioError("no track has a genre: give genres, or one name for all")
    number = {name: k for k, name in enumerate(names)}
    genre = np.array([number.get(name, -1) for name in genres], np.int32)
    scene = rng.permutation(np.arange(count) % settings.scenes).astype(np.int32)
    ranks = rng.permutation(count) + 1.0
    by_region = rng.normal(0, settings.regional, (settings.regions, count))
    log_popularity = (by_region - settings.zipf * np.log(ranks)).astype(np.float32)
    reach = _reach(points, settings.nearness, rng)
    return _Tracks(points, reach, genre, scene, log_popularity)


def _reach(points: np.ndarray, nearness: float, rng: np.random.Generator) -> np.ndarray:
    """(tracks,) variance of a Gaussian around each track that has most of its mass on its nearest.

    In d dimensions the mass lies at d variances, which is put where `nearness` of the tracks ends.
    So a track among many and one by itself have equally many that sound like it.
    """
    sample = points[rng.permutation(len(points))[:SAMPLE]]
    last = min(max(1, round(nearness * len(sample))), len(sample) - 1)
    reach = np.empty(len(points), np.float32)
    for first in range(0, len(points), SAMPLE):
        squares = _squares(points[first : first + SAMPLE], sample)
        reach[first : first + SAMPLE] = np.partition(squares, last, axis=1)[:, last]
    return np.maximum(reach / points.shape[1], 1e-6)


def _squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, m) squared distances of (n, d) and (m, d)."""
    squares = a @ (-2.0 * b.T)
    squares += np.einsum("nd,nd->n", a, a)[:, None]
    squares += np.einsum("md,md->m", b, b)
    return squares


def _popularity_features(
    tracks: _Tracks, settings: GeneratorSettings, rng: np.random.Generator
) -> np.ndarray:
    """(tracks, 2) log popularity over all regions and in the first, with noise, 0 to 1."""
    everywhere = np.log(np.exp(tracks.log_popularity.astype(np.float64)).mean(0))
    values = np.stack([everywhere, tracks.log_popularity[0]], axis=1)
    values += rng.normal(0, 1, values.shape) * (settings.noise * values.std(0))
    low, high = values.min(0), values.max(0)
    return ((values - low) / np.maximum(high - low, 1e-12)).astype(np.float32)


def _artists_and_albums(
    tracks: _Tracks, settings: GeneratorSettings, rng: np.random.Generator
) -> tuple[list[str], list[str]]:
    """(tracks,) names: runs of tracks of one genre and scene that sound alike, cut at random."""
    count = len(tracks.genre)
    order = np.lexsort((tracks.points[:, 0], tracks.scene, tracks.genre))
    group = tracks.genre[order].astype(np.int64) * settings.scenes + tracks.scene[order]
    new_artist = rng.random(count) < 1 / settings.artist_tracks
    new_artist |= np.diff(group, prepend=group[0] - 1) != 0
    new_album = new_artist | (rng.random(count) < 1 / settings.album_tracks)
    artist, album = np.empty(count, np.int64), np.empty(count, np.int64)
    artist[order], album[order] = np.cumsum(new_artist) - 1, np.cumsum(new_album) - 1
    return [f"artist-{k}" for k in artist], [f"album-{k}" for k in album]


# --- playlists -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Wishes:
    """What each playlist is about.

    Attributes:
        lengths: (playlists,).
        shares: (playlists, 4) float32 of genre, sound, scene and popularity; they sum to 1.
        genres: (playlists, 2), the same twice where it prefers one.
        seeds: (playlists,) tracks.
        scenes, regions: (playlists,).
        tastes: (playlists,) float32, powers of popularity.
    """

    lengths: np.ndarray
    shares: np.ndarray
    genres: np.ndarray
    seeds: np.ndarray
    scenes: np.ndarray
    regions: np.ndarray
    tastes: np.ndarray


def _draw_wishes(tracks: _Tracks, settings: GeneratorSettings, rng: np.random.Generator) -> _Wishes:
    count = settings.playlists
    sources = (settings.genre, settings.sound, settings.scene, settings.popularity)
    shares = (1 - settings.strays) * rng.dirichlet(sources, count)
    shares[:, 3] += settings.strays
    known = tracks.genre[tracks.genre >= 0]  # so a genre is preferred as often as it has tracks
    genres = known[rng.integers(len(known), size=(count, 2))]
    one = rng.random(count) >= settings.second_genre
    genres[one, 1] = genres[one, 0]
    return _Wishes(
        lengths=rng.integers(settings.shortest, settings.longest + 1, count),
        shares=shares.astype(np.float32),
        genres=genres,
        seeds=rng.integers(len(tracks.genre), size=count),
        scenes=rng.integers(settings.scenes, size=count),
        regions=rng.integers(settings.regions, size=count),
        tastes=np.where(rng.random(count) < settings.mainstream, 1, settings.tail).astype("f4"),
    )


def _draw_playlists(tracks: _Tracks, wishes: _Wishes, settings: GeneratorSettings) -> np.ndarray:
    """(positions,) int32 tracks of all playlists, one after the other.

    Tracks are drawn one at a time, by weight, from those that are left: the first to arrive in an
    exponential race, which is what Gumbel top-k does, without its logarithms. Nothing is
    approximate, and no candidate is left out.
    """
    rows = max(1, CELLS // len(tracks.genre))
    drawn = []
    for block, first in enumerate(range(0, settings.playlists, rows)):
        these = slice(first, min(first + rows, settings.playlists))
        weights = _weights(tracks, wishes, these)
        rng = np.random.default_rng([settings.seed, 1, block])
        arrivals = rng.standard_exponential(weights.shape, np.float32)
        arrivals /= weights
        drawn.append(_first(arrivals, wishes.lengths[these]))
    return np.concatenate(drawn)


def _weights(tracks: _Tracks, wishes: _Wishes, these: slice) -> np.ndarray:
    """(playlists, tracks) float32: each source's weights sum to its share in the playlist."""
    shares = wishes.shares[these]
    popularity = tracks.log_popularity[wishes.regions[these]]
    popularity *= wishes.tastes[these, None]
    np.exp(popularity, out=popularity)
    total = np.einsum("pt->p", popularity)
    mixture = np.repeat((shares[:, 3] / total)[:, None], popularity.shape[1], axis=1)
    sources = (
        _of_genre(tracks, wishes.genres[these]),
        _near_seed(tracks, wishes.seeds[these]),
        (tracks.scene == wishes.scenes[these, None]).astype(np.float32),
    )
    for source, share in zip(sources, shares.T[:3], strict=True):
        total = np.einsum("pt,pt->p", source, popularity)
        source *= (share / np.maximum(total, 1e-30))[:, None]
        mixture += source
    mixture *= popularity
    return mixture


def _of_genre(tracks: _Tracks, genres: np.ndarray) -> np.ndarray:
    """(playlists, tracks) 1 for the genres that are preferred, else 0."""
    wanted = np.zeros((len(genres), int(tracks.genre.max()) + 2), np.float32)
    np.put_along_axis(wanted, genres, 1.0, axis=1)
    return np.take(wanted, tracks.genre, axis=1)  # -1 is the last column, which none prefers


def _near_seed(tracks: _Tracks, seeds: np.ndarray) -> np.ndarray:
    """(playlists, tracks) Gaussian of the distance in sound to the seed tracks."""
    kernel = _squares(tracks.points[seeds], tracks.points)
    kernel *= (-0.5 / tracks.reach[seeds])[:, None]
    np.exp(kernel, out=kernel)
    return kernel


def _first(arrivals: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """(sum of lengths,) int32: in each row the `lengths` columns of the least values, in order."""
    most = int(lengths.max())
    columns = np.argpartition(arrivals, most - 1, axis=1)[:, :most]
    order = np.argsort(np.take_along_axis(arrivals, columns, 1), axis=1, kind="stable")
    columns = np.take_along_axis(columns, order, 1)
    return columns[np.arange(most) < lengths[:, None]].astype(np.int32)


def _in_sets(
    chosen: np.ndarray, lengths: np.ndarray, points: np.ndarray, size: int, rng: np.random.Generator
) -> np.ndarray:
    """(positions,) the same tracks, shuffled within each playlist and smooth within each set.

    A set goes around the plane of the two first components, so that neighbours sound alike. A
    whole playlist in such an order would end far from where it began, and its first half would say
    little of its second.
    """
    owners = np.repeat(np.arange(len(lengths)), lengths)
    starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
    shuffled = chosen[np.lexsort((rng.random(len(chosen)), owners))]
    sets = (np.arange(len(chosen)) - starts) // size
    angles = np.arctan2(points[:, min(1, points.shape[1] - 1)], points[:, 0])
    return shuffled[np.lexsort((angles[shuffled], sets, owners))]
