"""Synthetic playlists over a catalogue of real audio.

The tracks of each playlist are drawn without replacement from a mixture of four sources: the one or
two genres that it prefers, tracks that sound similar to a seed track, a hidden scene, and popular
tracks. All four are weighted by popularity, which is mainstream or long-tail and depends on the
playlist's region. The choices of a playlist are independent, and so are genre, scene, popularity
and audio of a track, except that genre and audio are correlated in the catalogue itself: no source
can replace another, and the scene shows in co-occurrence alone.

MUSIG (section 3.1) has 15.9 K tracks, 95 K playlists and 5.2 M pairs of tracks that share ten or
more playlists: 4 % of all pairs. The number of such pairs grows with
playlists x length^2 / tracks^2, so that 2,000 tracks reach this density with less than 2,000
playlists, or 5,000 with a min weight of 20 to 30.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ssl_audio.io.console import say
from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Catalogue, Playlists
from ssl_audio.recommenders.data.csr import offsets_of, owners_of, places_of
from ssl_audio.recommenders.data.splits import cold_tracks
from ssl_audio.recommenders.data.store import open_store, store_playlists
from ssl_audio.recommenders.data.tables import write_table
from ssl_audio.stores.feature_store import Row
from ssl_audio.stores.writer import write_store

CELLS = 1 << 20  # playlists x tracks weighted at a time: 4 MiB per matrix
SAMPLE = 1024  # tracks that the density of the audio around each track is estimated from
MIN_VARIANCE = 1e-6  # of the largest; components below it are rounding errors


@dataclass(frozen=True)
class GeneratorSettings:
    """Distribution of the playlists.

    Attributes:
        playlists: number of playlists.
        min_length, max_length: tracks in a playlist; lengths are uniform between them.
        seed: of all random numbers.
        genre, audio, scene, popularity: Dirichlet parameters of the shares of the four sources in a
            playlist. Mean shares are proportional to them; the smaller they are, the more a
            playlist has of one source alone.
        min_popularity: min share of `popularity`, above 0, as a playlist may be longer than its
            scene or genre.
        second_genre: probability that a playlist prefers two genres.
        scenes: number of hidden scenes.
        components: principal components in which audio is compared.
        nearness: share of the catalogue that counts as similar to a seed track.
        zipf: exponent of popularity over rank.
        mainstream: probability that a playlist uses popularity as it is.
        tail: power of popularity in the other playlists; below 0, unpopular tracks come first.
        regions: number of groups of playlists with their own popularity.
        regional: standard deviation of a region's log popularity around the global one.
        noise: standard deviation of the error of the popularity features, relative to theirs.
        set_length: adjacent tracks that are ordered smoothly by audio.
        artist_tracks, album_tracks: mean tracks of an artist and of an album, before they are cut
            at the borders of genres and scenes.
    """

    playlists: int = 5000
    min_length: int = 40
    max_length: int = 120
    seed: int = 0
    genre: float = 0.5
    audio: float = 1.0
    scene: float = 0.4
    popularity: float = 0.2
    min_popularity: float = 0.05
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


@dataclass(frozen=True)
class Generated:
    """Playlists and metadata of their tracks.

    Attributes:
        playlists: "playlist-0", "playlist-1", ...
        popularity: (tracks, 2) float32, 0 to 1: global, and of the first region, each with noise.
        scene: (tracks,) int32, the hidden scene, which is no feature.
        artists, albums, genres: (tracks,). An artist has one genre and one scene.
    """

    playlists: Playlists
    popularity: np.ndarray
    scene: np.ndarray
    artists: list[str]
    albums: list[str]
    genres: list[str]

    def catalogue(self, ids: Sequence[str]) -> Catalogue:
        """The tracks under these ids, in the order in which their audio was given."""
        return Catalogue(ids, self.artists, self.albums, self.genres)


def generate(
    audio: np.ndarray, genres: Sequence[str], settings: GeneratorSettings | None = None
) -> Generated:
    """Draw playlists over a catalogue.

    Args:
        audio: (tracks, dimensions), such as embeddings of a frozen encoder.
        genres: (tracks,); "" is unknown, and no playlist prefers it.
        settings: None: the defaults.

    Raises:
        SslAudioError: fewer tracks than the longest playlist, audio that is not finite or equal for
            all tracks, or no genre at all.
    """
    settings = settings or GeneratorSettings()
    if len(audio) < settings.max_length:
        raise SslAudioError(f"max_length={settings.max_length}, but there are {len(audio)} tracks")
    rng = np.random.default_rng([settings.seed, 0])
    tracks = _draw_tracks(_whitened(audio, settings.components), genres, settings, rng)
    choices = _draw_choices(tracks, settings, rng)
    drawn = _draw_playlists(tracks, choices, settings)
    offsets = offsets_of(choices.lengths)
    ordered = _in_sets(drawn, offsets, tracks.points, settings.set_length, rng)
    names = [f"playlist-{k}" for k in range(settings.playlists)]
    popularity = _popularity_features(tracks, settings, rng)
    artists, albums = _artists_and_albums(tracks, settings, rng)
    return Generated(
        Playlists(ordered, offsets, names), popularity, tracks.scene, artists, albums, list(genres)
    )


def write_generated(
    generated: Generated, rows: Sequence[Row], folder: Path, cold: float, seed: int
) -> None:
    """Write playlists.duckdb, popularity.parquet, and train.parquet for `acoustic kind=siamese`.

    Args:
        generated: from `generate`.
        rows: (tracks,) of a feature store of the tracks, for their ids and paths.
        folder: of the files.
        cold: share of the tracks left out of train.parquet, as `recommend` leaves them out.
        seed: of the splits and of the cold tracks.
    """
    ids = [row.id for row in rows]
    catalogue = generated.catalogue(ids)
    about = {"kind": "popularity", "model": "2", "names": ["global", "regional"]}
    popular = (replace(row, vector=p) for row, p in zip(rows, generated.popularity, strict=True))
    write_store(folder / "popularity.parquet", about, popular)
    store = folder / "playlists.duckdb"
    say(str(store_playlists(generated.playlists, catalogue, store, seed=seed)))
    held_out = cold_tracks(ids, cold, seed)
    train = open_store(store).playlists("train").without_tracks(held_out)
    write_table(folder / "train.parquet", train, catalogue)
    say(f"{held_out.sum()} cold tracks are left out of {folder / 'train.parquet'}")


# --- tracks --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Tracks:
    """What the weights of the tracks in a playlist depend on.

    Attributes:
        points: (tracks, components) float32, whitened audio.
        variance: (tracks,) float32, of the Gaussian kernel around each track.
        genre: (tracks,) int32, -1 for tracks without a genre.
        scene: (tracks,) int32.
        log_popularity: (regions, tracks) float32.
    """

    points: np.ndarray
    variance: np.ndarray
    genre: np.ndarray
    scene: np.ndarray
    log_popularity: np.ndarray


def _whitened(audio: np.ndarray, components: int) -> np.ndarray:
    """(tracks, components or fewer) float32: principal components of variance 1.

    Raises:
        SslAudioError: audio that is not finite or equal for all tracks.
    """
    if not np.isfinite(audio).all():
        raise SslAudioError("the vectors of the tracks are not finite: embed them again")
    centred = audio - audio.mean(0, dtype=np.float64)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(audio))
    kept = np.argsort(-values)[:components]
    kept = kept[values[kept] > max(MIN_VARIANCE * values.max(), 1e-20)]
    if not len(kept):
        raise SslAudioError("the vectors of all tracks are equal: use another encoder")
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
    variance = _kernel_variances(points, settings.nearness, rng)
    return _Tracks(points, variance, genre, scene, log_popularity)


def _kernel_variances(points: np.ndarray, nearness: float, rng: np.random.Generator) -> np.ndarray:
    """(tracks,) variance of a Gaussian around each track, so that all have as many near tracks.

    In d dimensions most of the mass lies at a squared distance of d variances, which is set to the
    squared distance that a share `nearness` of the tracks is within.
    """
    sample = points[rng.permutation(len(points))[:SAMPLE]]
    last = min(max(1, round(nearness * len(sample))), len(sample) - 1)
    limits = np.empty(len(points), np.float32)
    for first in range(0, len(points), SAMPLE):
        squares = _squares(points[first : first + SAMPLE], sample)
        limits[first : first + SAMPLE] = np.partition(squares, last, axis=1)[:, last]
    return np.maximum(limits / points.shape[1], 1e-6)


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
    """(tracks,) names: tracks of one genre and scene, sorted by audio and cut at random."""
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
class _Choices:
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


def _draw_choices(
    tracks: _Tracks, settings: GeneratorSettings, rng: np.random.Generator
) -> _Choices:
    count = settings.playlists
    sources = (settings.genre, settings.audio, settings.scene, settings.popularity)
    shares = (1 - settings.min_popularity) * rng.dirichlet(sources, count)
    shares[:, 3] += settings.min_popularity
    known = tracks.genre[tracks.genre >= 0]  # genres are preferred as often as they have tracks
    genres = known[rng.integers(len(known), size=(count, 2))]
    one = rng.random(count) >= settings.second_genre
    genres[one, 1] = genres[one, 0]
    return _Choices(
        lengths=rng.integers(settings.min_length, settings.max_length + 1, count),
        shares=shares.astype(np.float32),
        genres=genres,
        seeds=rng.integers(len(tracks.genre), size=count),
        scenes=rng.integers(settings.scenes, size=count),
        regions=rng.integers(settings.regions, size=count),
        powers=np.where(rng.random(count) < settings.mainstream, 1, settings.tail).astype("f4"),
    )


def _draw_playlists(tracks: _Tracks, choices: _Choices, settings: GeneratorSettings) -> np.ndarray:
    """(positions,) int32 tracks of all playlists, one after the other.

    Tracks are drawn by weight without replacement, exactly: as the first arrivals of an exponential
    race, which equals Gumbel top-k.
    """
    rows = max(1, CELLS // len(tracks.genre))
    drawn = []
    for block, first in enumerate(range(0, settings.playlists, rows)):
        these = slice(first, min(first + rows, settings.playlists))
        weights = _weights(tracks, choices, these)
        rng = np.random.default_rng([settings.seed, 1, block])
        arrivals = rng.standard_exponential(weights.shape, np.float32)
        arrivals /= weights
        drawn.append(_first(arrivals, choices.lengths[these]))
    return np.concatenate(drawn)


def _weights(tracks: _Tracks, choices: _Choices, these: slice) -> np.ndarray:
    """(playlists, tracks) float32; the weights of each source sum to its share in the playlist."""
    shares = choices.shares[these]
    popularity = tracks.log_popularity[choices.regions[these]]
    popularity *= choices.powers[these, None]
    np.exp(popularity, out=popularity)
    total = np.einsum("pt->p", popularity)
    mixture = np.repeat((shares[:, 3] / total)[:, None], popularity.shape[1], axis=1)
    sources = (
        _of_genre(tracks, choices.genres[these]),
        _near_seed(tracks, choices.seeds[these]),
        (tracks.scene == choices.scenes[these, None]).astype(np.float32),
    )
    for source, share in zip(sources, shares.T[:3], strict=True):
        total = np.einsum("pt,pt->p", source, popularity)
        source *= (share / np.maximum(total, 1e-30))[:, None]
        mixture += source
    mixture *= popularity
    return mixture


def _of_genre(tracks: _Tracks, genres: np.ndarray) -> np.ndarray:
    """(playlists, tracks) 1 for tracks of the preferred genres, else 0."""
    preferred = np.zeros((len(genres), int(tracks.genre.max()) + 2), np.float32)
    np.put_along_axis(preferred, genres, 1.0, axis=1)
    return np.take(preferred, tracks.genre, axis=1)  # -1 is the last column, always 0


def _near_seed(tracks: _Tracks, seeds: np.ndarray) -> np.ndarray:
    """(playlists, tracks) Gaussian of the distance to the seed tracks."""
    kernel = _squares(tracks.points[seeds], tracks.points)
    kernel *= (-0.5 / tracks.variance[seeds])[:, None]
    np.exp(kernel, out=kernel)
    return kernel


def _first(arrivals: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """(sum of lengths,) int32: the columns of the `lengths` lowest values of each row."""
    longest = int(lengths.max())
    columns = np.argpartition(arrivals, longest - 1, axis=1)[:, :longest]
    order = np.argsort(np.take_along_axis(arrivals, columns, 1), axis=1, kind="stable")
    columns = np.take_along_axis(columns, order, 1)
    return columns[np.arange(longest) < lengths[:, None]].astype(np.int32)


def _in_sets(
    tracks: np.ndarray, offsets: np.ndarray, points: np.ndarray, size: int, rng: np.random.Generator
) -> np.ndarray:
    """(positions,) the same tracks, shuffled in each playlist, then ordered by audio in each set.

    A set of `size` adjacent tracks is sorted by the angle in the plane of the first two components.
    Sorting a whole playlist would place its two halves in different regions.
    """
    owners = owners_of(offsets)
    shuffled = tracks[np.lexsort((rng.random(len(tracks)), owners))]
    sets = places_of(offsets) // size
    angles = np.arctan2(points[:, min(1, points.shape[1] - 1)], points[:, 0])
    return shuffled[np.lexsort((angles[shuffled], sets, owners))]
