"""Batches of several probes at once: which rows, and their standardised features."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ssl_audio.io.errors import SslAudioError

MIN_DEVIATION = 1e-6  # features that vary less are centred and not scaled


@dataclass(frozen=True)
class TrainingRows:
    """Training data of probes.

    Attributes:
        x: (tracks, dimensions); with `starts`, (segments, dimensions), which may be mapped from
            disk: only a batch of it is in memory at a time.
        y: (tracks, tags): 0, 1 or UNLABELLED.
        starts, ends: (tracks,) rows of `x` between which each track's segments lie, one or more. A
            track is then represented by one of its segments, drawn anew for each batch.
        single_label: each track has exactly one tag, and probes are trained with softmax.
    """

    x: np.ndarray
    y: np.ndarray
    starts: np.ndarray | None = None
    ends: np.ndarray | None = None
    single_label: bool = False


@dataclass
class Order:
    """The batches of one probe: shuffled passes over its rows; each depends on its step alone."""

    rows: np.ndarray
    batch_size: int
    seed: int
    identity: int = field(init=False)

    def __post_init__(self) -> None:
        checksum = zlib.crc32(np.ascontiguousarray(self.rows, np.int64).tobytes())
        self.identity = (self.seed << 32) + checksum

    def batches(self, first: int, steps: int) -> np.ndarray:
        """(steps, batch_size) positions in `rows`; -1 pads the last batch of a pass."""
        size = self.batch_size
        per_pass = -(-len(self.rows) // size)
        passes = range(first // per_pass, (first + steps - 1) // per_pass + 1)
        padded = np.full((len(passes), per_pass * size), -1)
        for line, number in zip(padded, passes, strict=True):
            # a batch of all rows needs no new order
            rng = np.random.default_rng([self.identity, number if per_pass > 1 else 0])
            line[: len(self.rows)] = rng.permutation(len(self.rows))
        skipped = first - passes[0] * per_pass
        return padded.reshape(-1, size)[skipped : skipped + steps]


class TrackBatches:
    """Batches of tracks' mean features, from a standardised copy of each probe's rows."""

    def __init__(
        self,
        train: TrainingRows,
        subsets: Sequence[np.ndarray],
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        moments = [_moments(train.x[rows]) for rows in subsets]
        self.mean = torch.stack([mean for mean, _ in moments]).to(device)
        self.deviation = torch.stack([deviation for _, deviation in moments]).to(device)
        sizes = [len(rows) for rows in subsets]
        starts = np.cumsum(sizes) - sizes
        data = torch.empty(sum(sizes), train.x.shape[1], dtype=dtype)
        for rows, start, (mean, deviation) in zip(subsets, starts, moments, strict=True):
            part = torch.from_numpy(np.asarray(train.x[rows], np.float32))
            data[start : start + len(rows)] = part.sub_(mean).div_(deviation)
        self.data = data.to(device)
        self.rows = torch.from_numpy(np.concatenate(subsets)).to(device)
        self.start = starts[:, None]

    def batches(self, places: np.ndarray, first: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Features and rows of consecutive steps.

        Args:
            places: (steps, P, batch) of `Order.batches`.
            first: number of the first step.

        Yields:
            (P, batch, D), valid until the next step, and (P, batch) rows of the training set.
        """
        flat = torch.from_numpy(np.maximum(places, 0) + self.start).to(self.data.device)
        # reused in every step: allocating it costs as much as filling it
        x = self.data.new_empty(flat[0].numel(), self.data.shape[1])
        for place, rows in zip(flat, self.rows[flat], strict=True):
            torch.index_select(self.data, 0, place.view(-1), out=x)
            yield x.view(*place.shape, -1), rows


class SegmentBatches:
    """Batches of a random segment of each track, read from where the segments lie."""

    def __init__(
        self,
        train: TrainingRows,
        subsets: Sequence[np.ndarray],
        seed: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        assert train.starts is not None and train.ends is not None
        self.x, self.starts, self.ends, self.seed = train.x, train.starts, train.ends, seed
        self.subsets, self.dtype, self.device = subsets, dtype, device
        moments = _segment_moments(self.x, self.starts, self.ends, subsets)
        self.mean = torch.stack([mean for mean, _ in moments]).to(device)
        self.deviation = torch.stack([deviation for _, deviation in moments]).to(device)

    def batches(self, places: np.ndarray, first: int) -> Iterator[tuple[Tensor, Tensor]]:
        """As `TrackBatches.batches`."""
        for step, place in enumerate(places, first):
            yield self._batch(place, step)

    def _batch(self, place: np.ndarray, step: int) -> tuple[Tensor, Tensor]:
        rows = np.stack(
            [subset[np.maximum(p, 0)] for subset, p in zip(self.subsets, place, strict=True)]
        )
        # by step and row alone, so that a probe does not depend on those trained with it
        chance = np.random.default_rng([self.seed, step]).random(len(self.starts))[rows]
        count = self.ends[rows] - self.starts[rows]
        chosen = self.starts[rows] + (chance * count).astype(np.int64)
        needed, where = np.unique(chosen, return_inverse=True)  # in the order of the disk
        read = torch.from_numpy(np.asarray(self.x[needed], np.float32)).to(self.device)
        x = read[torch.from_numpy(where.reshape(rows.shape)).to(self.device)]
        x = (x - self.mean[:, None]) / self.deviation[:, None]
        return x.to(self.dtype), torch.from_numpy(rows).to(self.device)


def _moments(x: np.ndarray) -> tuple[Tensor, Tensor]:
    """(D,) mean and standard deviation, which is 1 for constant features."""
    mean = x.mean(0, dtype=np.float64)
    return _checked_moments(mean, np.sqrt(((x - mean) ** 2).mean(0, dtype=np.float64)))


def _checked_moments(mean: np.ndarray, deviation: np.ndarray) -> tuple[Tensor, Tensor]:
    if not np.isfinite(mean).all():
        raise SslAudioError("features must be finite: leave out the tracks that were not read")
    deviation = np.where(deviation < MIN_DEVIATION, 1.0, deviation)
    return torch.from_numpy(mean).float(), torch.from_numpy(deviation).float()


def _segment_moments(
    x: np.ndarray, starts: np.ndarray, ends: np.ndarray, subsets: Sequence[np.ndarray]
) -> list[tuple[Tensor, Tensor]]:
    """Moments of each subset's segments, all tracks weighing the same.

    Every track is read once, however many subsets it is in, and in the order of the disk.
    """
    subset_of = np.repeat(np.arange(len(subsets)), [len(rows) for rows in subsets])
    order = np.argsort(np.concatenate(subsets), kind="stable")
    tracks, first = np.unique(np.concatenate(subsets)[order], return_index=True)
    total = np.zeros((len(subsets), 2, x.shape[1]))
    for track, members in zip(tracks, np.split(subset_of[order], first[1:]), strict=True):
        part = np.asarray(x[starts[track] : ends[track]], np.float64)
        # np.add.at counts a track that a subset holds twice; `+=` by index would not
        np.add.at(total, members, np.stack([part.mean(0), (part**2).mean(0)]))
    sizes = np.array([len(rows) for rows in subsets])[:, None]
    mean, square = total[:, 0] / sizes, total[:, 1] / sizes
    return list(map(_checked_moments, mean, np.sqrt(np.maximum(square - mean**2, 0))))
