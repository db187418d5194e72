"""Tracks with the same content, of which one is used."""

from collections.abc import Sequence

from ssl_audio.audio.scan import Manifest, Skipped, Track
from ssl_audio.io.files import file_sha256
from ssl_audio.io.identical_files import groups_by, identical_files

DUPLICATE = "duplicate"  # the reason of a skipped file


def without_duplicates(found: Manifest) -> Manifest:
    """Keep the first of all tracks with the same content; the others are among the skipped files.

    Equal are files with the same bytes, whatever their names, and tracks in shards that were made
    of such files. Only files of equal duration and size are opened, and only where a few of their
    bytes agree are they read: see `identical_files`. A file whose duration equals that of a track
    in a shard is read as well, since a shard keeps the hash of its source alone.
    """
    tracks = found.tracks
    copies: dict[int, int] = {}
    for group in groups_by(range(len(tracks)), lambda place: tracks[place].duration):
        for first, *others in _equal(tracks, group):
            copies |= dict.fromkeys(others, first)
    skipped = [
        Skipped(tracks[copy].path, DUPLICATE, f"same content as {tracks[first].path}")
        for copy, first in sorted(copies.items())
    ]
    kept = [track for place, track in enumerate(tracks) if place not in copies]
    return Manifest(kept, found.skipped + skipped, found.duplicates)


def _equal(tracks: Sequence[Track], group: list[int]) -> list[list[int]]:
    """Places of tracks with the same content, among those of one duration."""
    if any(tracks[place].sha256 for place in group):
        return groups_by(group, lambda place: _content(tracks[place]) or place)
    equal = identical_files([tracks[place].path for place in group])
    return [[group[k] for k in places] for places in equal]


def _content(track: Track) -> str:
    """SHA-256 of the track's file, or of that which it was made of; "" if it cannot be read."""
    try:
        return track.sha256 or file_sha256(track.path)
    except OSError:
        return ""
