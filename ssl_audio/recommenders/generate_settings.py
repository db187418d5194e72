"""The distribution of generated playlists, and its presets."""

from dataclasses import dataclass


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
        set_length: adjacent tracks that are ordered smoothly by audio.
        theme_length: tracks until the theme may change; None: a playlist has one theme.
        drift: probability that genres, seed track and scene change with the theme, each; the new
            seed track is the last track so far.
        runs: probability that a track is replaced by another one of the artist before it.
        repeats: probability that a track is replaced by an earlier one of the playlist, but not two
            tracks in a row.
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
    set_length: int = 8
    theme_length: int | None = None
    drift: float = 0.5
    runs: float = 0.0
    repeats: float = 0.0
    artist_tracks: float = 8.0
    album_tracks: float = 4.0


# Their sizes are in settings/demo.py; what they share with real playlists is in data/README.md.
PRESETS = {
    "dense": GeneratorSettings(
        zipf=1.4, mainstream=0.9, runs=0.11, repeats=0.02,
    ),
    "sparse": GeneratorSettings(
        zipf=1.5, mainstream=0.8, audio=2.0, popularity=0.1, min_popularity=0.02, nearness=0.01,
        theme_length=8, drift=0.3, runs=0.17, repeats=0.02,
    ),
}  # fmt: skip
