"""Synthetic playlists over a catalogue of real audio.

The tracks of each playlist are drawn without replacement from a mixture of four sources: the one or
two genres that it prefers, tracks that sound similar to a seed track, a hidden scene, and popular
tracks. All four are weighted by popularity, which is mainstream or long-tail and depends on the
playlist's region. The choices of a playlist are independent, and so are genre, scene, popularity
and audio of a track, except that genre and audio are correlated in the catalogue itself: no source
can replace another, and the scene shows in co-occurrence alone.

The presets add what real playlists have (`data/README.md`): a theme that drifts, runs of an artist,
repeated tracks.

MUSIG (section 3.1) has 15.9 K tracks, 95 K playlists and 5.2 M pairs of tracks that share ten or
more playlists: 4 % of all pairs. The number of such pairs grows with
playlists x length^2 / tracks^2, so that 2,000 tracks reach this density with less than 2,000
playlists, or 5,000 with a min weight of 20 to 30.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ssl_audio.io.console import say
from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Catalogue, Playlists
from ssl_audio.recommenders.data.csr import offsets_of
from ssl_audio.recommenders.data.splits import cold_tracks
from ssl_audio.recommenders.data.store import open_store, store_playlists
from ssl_audio.recommenders.data.tables import write_table
from ssl_audio.recommenders.generate_playlists import (
    draw_choices,
    draw_playlists,
    in_sets,
    with_repeats,
    with_runs,
)
from ssl_audio.recommenders.generate_settings import GeneratorSettings
from ssl_audio.recommenders.generate_tracks import artists_and_albums, draw_tracks, whitened


@dataclass(frozen=True)
class Generated:
    """Playlists and metadata of their tracks.

    Attributes:
        playlists: "playlist-0", "playlist-1", ...
        scene: (tracks,) int32, the hidden scene, which is no feature.
        artists, albums, genres: (tracks,). An artist has one genre and one scene.
    """

    playlists: Playlists
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

    Raises:
        SslAudioError: fewer tracks than the longest playlist, audio that is not finite or equal for
            all tracks, or no genre at all.
    """
    settings = settings or GeneratorSettings()
    if len(audio) < settings.max_length:
        raise SslAudioError(f"max_length={settings.max_length}, but there are {len(audio)} tracks")
    rng = np.random.default_rng([settings.seed, 0])
    tracks = draw_tracks(whitened(audio, settings.components), genres, settings, rng)
    choices = draw_choices(tracks, settings, rng)
    drawn = draw_playlists(tracks, choices, settings)
    offsets = offsets_of(choices.lengths)
    ordered = in_sets(drawn, offsets, tracks.points, settings, rng)
    artists, albums = artists_and_albums(tracks, settings, rng)
    popularity = np.exp(tracks.log_popularity.mean(0))
    ordered = with_runs(ordered, offsets, artists, popularity, settings.runs, rng)
    ordered = with_repeats(ordered, offsets, settings.repeats, rng)
    return Generated(
        Playlists(ordered, offsets, [f"playlist-{k}" for k in range(settings.playlists)]),
        tracks.scene,
        artists=[f"artist-{k}" for k in artists],
        albums=[f"album-{k}" for k in albums],
        genres=list(genres),
    )


def write_generated(
    generated: Generated, ids: Sequence[str], folder: Path, cold: float, seed: int
) -> None:
    """Write playlists.duckdb, and train.parquet for `acoustic kind=siamese`; print statistics.

    `cold` is the share of the tracks left out of train.parquet, as `recommend` leaves them out.
    """
    catalogue = generated.catalogue(ids)
    store = folder / "playlists.duckdb"
    report = store_playlists(generated.playlists, catalogue, store, seed=seed)
    say(f"{report}\n{report.statistics}")
    held_out = cold_tracks(ids, cold, seed)
    train = open_store(store).playlists("train").without_tracks(held_out)
    write_table(folder / "train.parquet", train, catalogue)
    say(f"{held_out.sum()} cold tracks are left out of {folder / 'train.parquet'}")
