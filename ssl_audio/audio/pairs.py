"""Pairs of segments: an anchor and a positive from the same track, a few seconds apart.

`draw_pair` says where to cut, `PairDataset` reads these seconds, and `PairBatchSampler` gives the
order, each batch a function of its step. A run's pairs are a function of (seed, epoch, track),
whatever the number of workers, processes or restarts.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler

from ssl_audio.audio import SAMPLE_RATE, decode
from ssl_audio.io.errors import AudioError, SslAudioError

SHORT = ("drop", "wrap")
TRIES = 10
# streams of random numbers: the order of tracks and the positions of crops must not share one
_ORDER, _CROPS = 0, 1


class PairKey(NamedTuple):
    """Identifies a pair within a run."""

    epoch: int  # the pass over the tracks, from 0
    index: int  # type: ignore[assignment]  # the track, its place in `PairDataset.tracks`


class HasDuration(Protocol):
    """A track: `ssl_audio.audio.scan.Track`, or anything with its path and duration."""

    @property
    def path(self) -> str: ...

    @property
    def duration(self) -> float: ...


@dataclass(frozen=True)
class PairTrack:
    """A track of the dataset: its path, and its duration in seconds."""

    path: str
    duration: float


class TrackTable(Sequence[PairTrack]):
    """Tracks in three arrays.

    A million `Track` objects take hundreds of megabytes, are pickled one by one into every spawned
    worker, and have their pages copied into every forked one as reference counts change. Three
    arrays do neither.
    """

    def __init__(self, tracks: Iterable[HasDuration]) -> None:
        listed = list(tracks)
        names = [os.fsencode(track.path) for track in listed]
        self.durations = np.array([track.duration for track in listed], dtype=np.float64)
        self._ends = np.cumsum([len(name) for name in names], dtype=np.int64)
        self._names = np.frombuffer(b"".join(names), dtype=np.uint8)

    def __len__(self) -> int:
        return len(self.durations)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = range(len(self))[index]  # IndexError when outside, negative from the end
        start = int(self._ends[index - 1]) if index else 0
        name = self._names[start : int(self._ends[index])].tobytes()
        return PairTrack(os.fsdecode(name), float(self.durations[index]))


def draw_pair(
    duration: float, segment: float, min_offset: float, max_offset: float, rng: np.random.Generator
) -> tuple[float, float]:
    """Draw the starts of an anchor and its positive.

    The anchor is uniform over the starts in [0, duration - segment] that leave room for a positive
    on at least one side; given the anchor, the positive is uniform over every admissible start:
    before or after the anchor, at a distance in [min_offset, max_offset], and inside the track. So
    near an end of the track the positive lies more often, or always, on the other side.

    Args:
        duration: length of the track, seconds.
        segment: length of a segment, seconds.
        min_offset: min distance between the two starts, seconds, >= 0.
        max_offset: max distance, seconds, >= min_offset.
        rng: the only source of randomness.

    Returns:
        `(anchor_start, positive_start)` in seconds.

    Raises:
        SslAudioError: the track is shorter than segment + min_offset.
    """
    last = duration - segment
    if last < min_offset:
        raise SslAudioError(
            f"a track of {duration:g} s has no pair of {segment:g} s segments "
            f"{min_offset:g} s apart: {segment + min_offset:g} s are required"
        )
    if last >= 2 * min_offset:
        anchor = _uniform([(0.0, last)], rng)
    else:  # an anchor in the middle would have no room on either side
        anchor = _uniform([(0.0, last - min_offset), (min_offset, last)], rng)
    before = (max(0.0, anchor - max_offset), anchor - min_offset)
    after = (anchor + min_offset, min(last, anchor + max_offset))
    return anchor, _uniform([span for span in (before, after) if span[0] <= span[1]], rng)


def _uniform(spans: Sequence[tuple[float, float]], rng: np.random.Generator) -> float:
    """Draw uniformly from disjoint closed intervals; from their points if all are empty."""
    lengths = [high - low for low, high in spans]
    total = sum(lengths)
    if total <= 0.0:
        return spans[int(rng.integers(len(spans)))][0]
    place = rng.random() * total
    for (low, high), length in zip(spans, lengths, strict=True):
        if place < length:
            return min(low + place, high)
        place -= length
    return spans[-1][1]  # only by rounding


def draw_wrapped_pair(
    duration: float, min_offset: float, max_offset: float, rng: np.random.Generator
) -> tuple[float, float]:
    """Draw a pair from a track too short for one, read in a circle.

    The anchor is uniform over the circle, the distance uniform in [min_offset, max_offset], in
    either direction with equal probability; all in seconds. Both starts are in [0, duration).
    """
    anchor = rng.random() * duration
    offset = rng.uniform(min_offset, max_offset) * (1 if rng.random() < 0.5 else -1)
    return anchor, (anchor + offset) % duration


def long_enough(
    tracks: Iterable[HasDuration], segment: float = 4.0, min_offset: float = 4.0
) -> list[HasDuration]:
    """Keep the tracks that hold a pair: those of at least segment + min_offset seconds."""
    return [track for track in tracks if track.duration >= segment + min_offset]


class PairDataset(Dataset[dict[str, Any]]):
    """Anchor and positive, cut on the fly from the tracks.

    Positions are drawn from a generator seeded by (seed, epoch, index). A track that cannot be read
    is reported and replaced by another, drawn from the same generator, so that the same run
    replaces the same tracks with any number of workers. A replacement may already be in the batch.

    Args:
        tracks: of each, only path and duration are kept.
        segment: length of a segment, seconds.
        min_offset, max_offset: min and max distance between the two starts, seconds.
        seed: the run's seed, >= 0.
        short: tracks shorter than segment + min_offset are left out ("drop") or read in a circle
            ("wrap").
        sample_rate: of the segments, Hz.

    Attributes:
        tracks: those that an index refers to, in the order given, without those left out.
        dropped: number of tracks left out.

    Raises:
        SslAudioError: a setting out of range.
    """

    def __init__(
        self, tracks: Sequence[HasDuration], segment: float = 4.0, min_offset: float = 4.0,
        max_offset: float = 16.0, seed: int = 0, short: str = "drop",
        sample_rate: int = SAMPLE_RATE,
    ) -> None:  # fmt: skip
        _check_settings(segment, min_offset, max_offset, seed, short)
        self.segment, self.min_offset, self.max_offset = segment, min_offset, max_offset
        self.seed, self.short, self.sample_rate = seed, short, sample_rate
        if short == "drop":
            kept = long_enough(tracks, segment, min_offset)
        else:
            kept = [track for track in tracks if track.duration > 0]
        self.tracks = TrackTable(kept)
        self.dropped = len(tracks) - len(kept)

    def __len__(self) -> int:
        return len(self.tracks)

    def __getitem__(self, key: PairKey) -> dict[str, Any]:
        """Read the pair of a pass and a track.

        Returns:
            anchor, positive: (samples,) float32, mono at `sample_rate`.
            index: the track that was read, which may be a replacement.
            epoch: the pass.
            failures: "path: reason" of each unreadable track.

        Raises:
            SslAudioError: ten tracks in a row could not be read.
        """
        epoch, index = key
        rng = _generator(self.seed, _CROPS, epoch, index)
        failures: list[str] = []
        for _ in range(TRIES):
            try:
                anchor, positive = self._read_pair(self.tracks[index], rng)
            except AudioError as error:
                failures.append(str(error))
                index = int(rng.integers(len(self)))
                continue
            pair = {"anchor": torch.from_numpy(anchor), "positive": torch.from_numpy(positive)}
            return {**pair, "index": index, "epoch": epoch, "failures": failures}
        raise SslAudioError(
            f"{TRIES} tracks in a row could not be read, the last: {failures[-1]}. "
            "Check that the disk is mounted."
        )

    def _read_pair(
        self, track: PairTrack, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if track.duration < self.segment + self.min_offset:
            return self._read_wrapped(track, rng)
        starts = draw_pair(track.duration, self.segment, self.min_offset, self.max_offset, rng)
        # two reads are on average 1.4 times as fast as one of the whole span (wav, flac, ogg, mp3)
        anchor, positive = (
            decode.read(track.path, start, self.segment, self.sample_rate) for start in starts
        )
        return anchor, positive

    def _read_wrapped(
        self, track: PairTrack, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        starts = draw_wrapped_pair(track.duration, self.min_offset, self.max_offset, rng)
        whole = decode.read(track.path, sample_rate=self.sample_rate)
        if whole.size == 0:
            raise AudioError(track.path, "empty", "no samples")
        steps = np.arange(round(self.segment * self.sample_rate))
        anchor, positive = (
            whole[(round(start * self.sample_rate) + steps) % whole.size] for start in starts
        )
        return anchor, positive


def _check_settings(
    segment: float, min_offset: float, max_offset: float, seed: int, short: str
) -> None:
    if not segment > 0:
        raise SslAudioError(f"segment is {segment} s: it must be positive (data.segment)")
    if not 0 <= min_offset <= max_offset:
        raise SslAudioError(
            f"offsets from {min_offset} to {max_offset} s: "
            "they must hold 0 <= data.min_offset <= data.max_offset"
        )
    if seed < 0:
        raise SslAudioError(f"seed is {seed}: it must not be negative")
    if short not in SHORT:
        raise SslAudioError(f"short is {short!r}: choose one of {', '.join(SHORT)} (data.short)")


def collate_pairs(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Make a batch of the items of a `PairDataset`.

    Returns:
        anchor, positive: (pairs, samples) float32.
        index, epoch: (pairs,) int64.
        failures: those of all items.
    """
    return {
        **{key: torch.stack([item[key] for item in items]) for key in ("anchor", "positive")},
        **{key: torch.tensor([item[key] for item in items]) for key in ("index", "epoch")},
        "failures": [line for item in items for line in item["failures"]],
    }


class PairBatchSampler(Sampler[list[PairKey]]):
    """The order of a run's batches: one shuffled pass over the tracks after another.

    A pass is cut into as many whole batches as it holds, so no track is twice in a batch, even
    in one that is shared by several processes; the tracks left over differ from pass to pass. Each
    batch is a function of its step, so that a run resumes at any step at no cost.

    Args:
        n_tracks: number of tracks.
        batch_size: pairs in a batch, over all processes.
        steps: batches in the whole run.
        seed: of the shuffling, >= 0.
        start_step: the first batch to yield.
        rank, world_size: this process reads the rank-th of `world_size` equal, contiguous parts of
            each batch.

    Raises:
        SslAudioError: fewer tracks than a batch takes, or a batch that does not divide.
    """

    def __init__(
        self, n_tracks: int, batch_size: int, steps: int, seed: int, start_step: int = 0,
        rank: int = 0, world_size: int = 1,
    ) -> None:  # fmt: skip
        _check_batch(n_tracks, batch_size, world_size)
        self.n_tracks, self.batch_size, self.steps, self.seed = n_tracks, batch_size, steps, seed
        self.start_step, self.rank, self.world_size = start_step, rank, world_size
        self._order: tuple[int, NDArray[np.int64]] | None = None  # of the last pass used

    @property
    def batches_per_pass(self) -> int:
        """Whole batches in one pass over the tracks."""
        return self.n_tracks // self.batch_size

    def batch(self, step: int) -> list[PairKey]:
        """Return this process's share of the batch of a step, counted from 0."""
        epoch, place = divmod(step, self.batches_per_pass)
        share = self.batch_size // self.world_size
        start = place * self.batch_size + self.rank * share
        return [PairKey(epoch, int(i)) for i in self._pass(epoch)[start : start + share]]

    def _pass(self, epoch: int) -> NDArray[np.int64]:
        if self._order is None or self._order[0] != epoch:
            rng = _generator(self.seed, _ORDER, epoch)
            self._order = (epoch, rng.permutation(self.n_tracks))
        return self._order[1]

    def __iter__(self) -> Iterator[list[PairKey]]:
        for step in range(self.start_step, self.steps):
            yield self.batch(step)

    def __len__(self) -> int:
        """Batches of the whole run: the trainer counts those before `start_step` as fetched."""
        return self.steps


def _check_batch(n_tracks: int, batch_size: int, world_size: int) -> None:
    if batch_size < 1:
        raise SslAudioError(f"data.batch_size is {batch_size}: it must be at least 1")
    if n_tracks < batch_size:
        raise SslAudioError(
            f"a batch needs {batch_size} different tracks and there are {n_tracks}: "
            f"lower data.batch_size to {n_tracks} or less, or give more audio"
            if n_tracks
            else "no track is long enough for a pair: give longer audio, lower data.segment or "
            "data.min_offset, or set data.short=wrap"
        )
    if batch_size % world_size:
        raise SslAudioError(
            f"data.batch_size is {batch_size}, over all processes: it must be a multiple of "
            f"their number, {world_size}"
        )


def _generator(seed: int, stream: int, *key: int) -> np.random.Generator:
    # spawn keys (1, 2) and (1, 2, 0) give different streams; as entropy they would give the same
    sequence = np.random.SeedSequence(entropy=seed, spawn_key=(stream, *key))
    return np.random.Generator(np.random.PCG64(sequence))
