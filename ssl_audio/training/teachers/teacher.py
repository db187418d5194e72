"""A frozen teacher: a network that gives an output for each window of a track."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ssl_audio.audio.scan import Track
from ssl_audio.probing.features import track_features
from ssl_audio.probing.networks.windows import WindowedEncoder
from ssl_audio.training.targets import Targets


class Teacher(WindowedEncoder):
    """The outputs of a network for windows of tracks, which are cached; its window is a number."""

    def targets(
        self, tracks: Sequence[Track], cache: Path | None, trained: int | None = None
    ) -> Targets:
        """The targets of a run's tracks, computed as far as they are not cached.

        Args:
            tracks: of the run, as `index` in its batches refers to them.
            cache: folder of cached outputs; None is the user's cache.
            trained: the first so many are trained on, and the others held out; None: all.

        Raises:
            SslAudioError: no track can be read, or the cache cannot be written.
        """
        paths = [track.path for track in tracks]
        found = track_features(self, paths, list(map(Path, paths)), keep_segments=True, cache=cache)
        assert found.segments is not None and found.starts is not None and found.ends is not None
        assert self.hop is not None and self.window is not None
        centres = np.empty(len(found.segments))  # middle of each window in its track, seconds
        for first, last, track in zip(found.starts, found.ends, tracks, strict=True):
            starts = np.minimum(
                np.arange(last - first) * self.hop, max(0.0, track.duration - self.window)
            )
            centres[first:last] = starts + self.window / 2
        return Targets(found.segments, centres, found.starts, found.ends, trained)
