"""Pairs of segments: an anchor and a positive from the same track, a few seconds apart.

`crops.draw_pair` says where to cut, `PairDataset` reads these seconds, and
`batches.PairBatchSampler` gives the order, each batch a function of its step. A run's pairs are a
function of (seed, epoch, track), whatever the number of workers, processes or restarts.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from ssl_audio.audio import SAMPLE_RATE, decode
from ssl_audio.audio.batches import PairKey
from ssl_audio.audio.crops import (
    draw_crop,
    draw_distant_pairs,
    draw_pair,
    draw_wrapped_pair,
    seconds_of_pairs,
)
from ssl_audio.audio.random_streams import CROPS, EXTRA_CROPS, generator
from ssl_audio.audio.track_table import HasDuration, PairTrack, TrackTable
from ssl_audio.io.errors import AudioError, SslAudioError

TRIES = 10

Starts = Sequence[float]  # seconds
Views = list[NDArray[np.float32]]


class PairDataset(Dataset[dict[str, Any]]):
    """Anchor and positive, cut on the fly from the tracks.

    Positions are drawn from a generator seeded by (seed, epoch, index, draw). A track that cannot
    be read is reported and replaced by another, drawn from the same generator, so that the same run
    replaces the same tracks with any number of workers. A replacement may already be in the batch.

    Args:
        tracks: of each, only path and duration are kept.
        segment: length of a segment, seconds.
        min_offset, max_offset: min and max distance between the two starts, seconds.
        seed: the run's seed, >= 0.
        short: tracks shorter than segment + min_offset are left out ("drop") or read in a circle
            ("wrap"), where those shorter than 2 min_offset cannot keep it.
        sample_rate: of the segments, Hz.
        crops: further crops of the track, from a random stream of their own: the pairs are the same
            for any number of them. At most `max_offset` seconds from the anchor, or anywhere in a
            track that is read in a circle.
        crop_segment: their length, seconds, at most `segment`, which is the default.
        pairs_per_track: pairs that are cut for one draw of a track; tracks that do not hold so many
            are left out.
        track_distance: min seconds between them.

    Attributes:
        tracks: those that an index refers to, in the order given, without those left out.
        kept: (tracks,) their places among the tracks given.
    """

    def __init__(
        self, tracks: Sequence[HasDuration], segment: float = 4.0, min_offset: float = 4.0,
        max_offset: float = 16.0, seed: int = 0, short: str = "drop",
        sample_rate: int = SAMPLE_RATE, crops: int = 0, crop_segment: float | None = None,
        pairs_per_track: int = 1, track_distance: float = 0.0,
    ) -> None:  # fmt: skip
        self.segment, self.min_offset, self.max_offset = segment, min_offset, max_offset
        self.seed, self.short, self.sample_rate = seed, short, sample_rate
        self.crops, self.crop_segment = crops, crop_segment or segment
        self.pairs_per_track, self.track_distance = pairs_per_track, track_distance
        needed = seconds_of_pairs(pairs_per_track, segment, min_offset, track_distance)
        wraps = short == "wrap" and pairs_per_track == 1
        durations = np.array([track.duration for track in tracks], dtype=np.float64)
        self.kept = np.flatnonzero(durations > 0 if wraps else durations >= needed)
        self.tracks = TrackTable([tracks[place] for place in self.kept.tolist()])

    def __len__(self) -> int:
        return len(self.tracks)

    def __getitem__(self, key: PairKey) -> dict[str, Any]:
        """Read a pair of a pass and a track.

        Returns:
            anchor, positive: (samples,) float32, mono at `sample_rate`.
            crops: (crops, samples) float32, if there are any.
            starts: (2 + crops,) float64, where all views start in the track, seconds.
            index: the track that was read, which may be a replacement.
            epoch: the pass.
            failures: "path: reason" of each unreadable track.

        Raises:
            SslAudioError: ten tracks in a row could not be read.
        """
        epoch, index, draw, part = key
        # all parts of a draw share their random numbers, and so does a track that replaces them
        rng = generator(self.seed, CROPS, epoch, index, *((draw,) if draw else ()))
        further = (draw, part) if draw or part else ()
        crop_rng = generator(self.seed, EXTRA_CROPS, epoch, index, *further) if self.crops else None
        failures: list[str] = []
        for _ in range(TRIES):
            try:
                starts, views = self._read_views(self.tracks[index], part, rng, crop_rng)
            except AudioError as error:
                failures.append(str(error))
                index = int(rng.integers(len(self)))
                continue
            anchor, positive, *crops = map(torch.from_numpy, views)
            return {
                "anchor": anchor, "positive": positive,
                **({"crops": torch.stack(crops)} if crops else {}),
                "starts": torch.tensor(starts, dtype=torch.float64),
                "index": index, "epoch": epoch, "failures": failures,
            }  # fmt: skip
        raise SslAudioError(
            f"{TRIES} tracks in a row could not be read, the last: {failures[-1]}. "
            "Check that the disk is mounted."
        )

    def _read_views(
        self, track: PairTrack, part: int, rng: np.random.Generator,
        crop_rng: np.random.Generator | None,
    ) -> tuple[Starts, Views]:  # fmt: skip
        """Starts and samples of anchor, positive and further crops, if there is `crop_rng`."""
        duration, rate = track.duration, self.sample_rate
        lengths = (duration, self.segment, self.min_offset, self.max_offset)
        if wraps := duration < self.segment + self.min_offset:
            starts = draw_wrapped_pair(duration, self.min_offset, self.max_offset, rng)
        elif self.pairs_per_track == 1:
            starts = draw_pair(*lengths, rng)
        else:
            count, distance = self.pairs_per_track, self.track_distance
            starts = draw_distant_pairs(*lengths, count, distance, rng)[part]
        more: list[float] = []
        if crop_rng and wraps:
            more = [crop_rng.random() * duration for _ in range(self.crops)]
        elif crop_rng:
            where = (duration, self.crop_segment, starts[0], self.max_offset)
            more = [draw_crop(*where, crop_rng) for _ in range(self.crops)]
        cuts = [*((s, self.segment) for s in starts), *((s, self.crop_segment) for s in more)]
        if wraps:
            whole = decode.read(track.path, sample_rate=rate)
            views = [
                whole[(round(s * rate) + np.arange(round(length * rate))) % whole.size]
                for s, length in cuts
            ]
        else:  # two reads are on average 1.4 times as fast as one of the span (wav, flac, ogg, mp3)
            views = [decode.read(track.path, *cut, rate) for cut in cuts]
        return [*starts, *more], views


def collate_pairs(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Make a batch of the items of a `PairDataset`.

    Returns:
        anchor, positive: (pairs, samples) float32.
        crops: (crops, pairs, samples) float32, if there are any.
        starts: (2 + crops, pairs) float64, seconds in the track.
        index, epoch: (pairs,) int64.
        failures: those of all items.
    """
    return {
        **{key: torch.stack([item[key] for item in items]) for key in ("anchor", "positive")},
        **{
            key: torch.stack([item[key] for item in items], dim=1)
            for key in ("crops", "starts")
            if key in items[0]
        },
        **{key: torch.tensor([item[key] for item in items]) for key in ("index", "epoch")},
        "failures": [line for item in items for line in item["failures"]],
    }
