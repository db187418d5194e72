"""A feature store as a teacher: the outputs of any network that were computed before."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ssl_audio.audio.scan import Track
from ssl_audio.io.console import warn
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.remote import Url, is_url
from ssl_audio.stores.feature_store import read_about, read_segments, read_tables
from ssl_audio.stores.remote import fetched
from ssl_audio.training.targets import Targets


class StoredTeacher:
    """`NAME.parquet`, a feature store at a path or a URL, written with segments=true.

    Raises:
        SslAudioError: it cannot be read or has no segments.
    """

    def __init__(self, name: str) -> None:
        self._name, self._path = name, fetched(Url(name) if is_url(name) else Path(name))
        self._about = read_about(self._path)
        if not self._about.get("segments"):
            raise SslAudioError(f"teacher={name}: it has no segments: write it with segments=true")
        self.size = next(read_segments(self._path))[2].shape[1]

    def targets(
        self, tracks: Sequence[Track], cache: Path | None, trained: int | None = None
    ) -> Targets:
        """The targets of a run's tracks, found by path or by the hash of the file.

        Raises:
            SslAudioError: none of them is in the store.
        """
        places = _places(tracks)
        names = self._names()
        half = float(self._about.get("segment", 0.0)) / 2
        rows: list[NDArray[np.float32]] = []
        centres: list[NDArray[np.float64]] = []
        first, last = np.zeros((2, len(tracks)), np.int64)
        for track, times, segments in read_segments(self._path):
            for place in {places[name] for name in names[track] if name in places}:
                first[place] = last.max()
                last[place] = first[place] + len(segments)
                rows.append(segments)
                centres.append(times + half)
        missing = int((first == last).sum())
        if missing == len(tracks):
            raise SslAudioError(f"teacher={self._name}: it has none of the {missing} tracks")
        if missing:
            warn(f"teacher={self._name}: {missing} of {len(tracks)} tracks are not in it")
        return Targets(np.concatenate(rows), np.concatenate(centres), first, last, trained)

    def _names(self) -> dict[str, tuple[str, str]]:
        """Path and hash of each track of the store, by id."""
        found = {}
        for table in read_tables(self._path, ["id", "path", "sha256"]):
            for row in table.to_pylist():
                found[row["id"]] = (str(Path(row["path"]).resolve()), row["sha256"])
        return found


def _places(tracks: Sequence[Track]) -> dict[str, int]:
    """The number of each track in a run, by path and by the hash of its file where it is known."""
    places = {str(Path(track.path).resolve()): place for place, track in enumerate(tracks)}
    return places | {track.sha256: place for place, track in enumerate(tracks) if track.sha256}
