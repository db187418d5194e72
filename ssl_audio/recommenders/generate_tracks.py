"""Tracks of generated playlists: audio, genre, hidden scene, popularity, artist and album."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import codes_of
from ssl_audio.recommenders.generate_settings import GeneratorSettings

SAMPLE = 1024  # tracks that the density of the audio around each track is estimated from
MIN_VARIANCE = 1e-6  # of the largest; components below it are rounding errors


@dataclass(frozen=True)
class Tracks:
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


def whitened(audio: np.ndarray, components: int) -> np.ndarray:
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


def draw_tracks(
    points: np.ndarray, genres: Sequence[str], settings: GeneratorSettings, rng: np.random.Generator
) -> Tracks:
    count = len(points)
    genre, names = codes_of(genres)
    if not names:
        raise SslAudioError("no track has a genre: give genres, or one name for all")
    scene = rng.permutation(np.arange(count) % settings.scenes).astype(np.int32)
    ranks = rng.permutation(count) + 1.0
    by_region = rng.normal(0, settings.regional, (settings.regions, count))
    log_popularity = (by_region - settings.zipf * np.log(ranks)).astype(np.float32)
    variance = _kernel_variances(points, settings.nearness, rng)
    return Tracks(points, variance, genre, scene, log_popularity)


def _kernel_variances(points: np.ndarray, nearness: float, rng: np.random.Generator) -> np.ndarray:
    """(tracks,) variance of a Gaussian around each track, so that all have as many near tracks.

    In d dimensions most of the mass lies at a squared distance of d variances, which is set to the
    squared distance that a share `nearness` of the tracks is within.
    """
    sample = points[rng.permutation(len(points))[:SAMPLE]]
    last = min(max(1, round(nearness * len(sample))), len(sample) - 1)
    limits = np.empty(len(points), np.float32)
    for first in range(0, len(points), SAMPLE):
        squares = squared_distances(points[first : first + SAMPLE], sample)
        limits[first : first + SAMPLE] = np.partition(squares, last, axis=1)[:, last]
    return np.maximum(limits / points.shape[1], 1e-6)


def squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, m) squared distances of (n, d) and (m, d)."""
    squares = a @ (-2.0 * b.T)
    squares += np.einsum("nd,nd->n", a, a)[:, None]
    squares += np.einsum("md,md->m", b, b)
    return squares


def artists_and_albums(
    tracks: Tracks, settings: GeneratorSettings, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(tracks,) numbers from 0: tracks of one genre and scene, by audio and cut at random."""
    count = len(tracks.genre)
    order = np.lexsort((tracks.points[:, 0], tracks.scene, tracks.genre))
    group = tracks.genre[order].astype(np.int64) * settings.scenes + tracks.scene[order]
    new_artist = rng.random(count) < 1 / settings.artist_tracks
    new_artist |= np.diff(group, prepend=group[0] - 1) != 0
    new_album = new_artist | (rng.random(count) < 1 / settings.album_tracks)
    artist, album = np.empty(count, np.int64), np.empty(count, np.int64)
    artist[order], album[order] = np.cumsum(new_artist) - 1, np.cumsum(new_album) - 1
    return artist, album
