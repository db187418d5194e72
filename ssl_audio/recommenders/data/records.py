"""Records that readers of playlist sources yield: playlists, and metadata of their tracks."""

from dataclasses import dataclass

DETAILS = ("title", "artist", "album", "genre")


@dataclass(frozen=True, slots=True)
class SourcePlaylist:
    """One playlist.

    Attributes:
        id: unique in its source.
        tracks: ids of its tracks in order; a track may be repeated.
    """

    id: str
    tracks: list[str]


@dataclass(frozen=True, slots=True)
class SourceTrack:
    """Metadata of a track; "" where the source has none."""

    id: str
    title: str = ""
    artist: str = ""
    album: str = ""
    genre: str = ""


Record = SourcePlaylist | SourceTrack


class Numbering(dict[str, int]):
    """Assigns names the numbers 0, 1, ... in the order of their first look-up."""

    def __missing__(self, name: str) -> int:
        self[name] = number = len(self)
        return number
