"""The order of a run's batches, each a function of its step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from ssl_audio.audio.random_streams import ORDER, generator
from ssl_audio.io.errors import SslAudioError


class PairKey(NamedTuple):
    """Identifies a pair within a run."""

    epoch: int  # the pass over the tracks, from 0
    index: int  # type: ignore[assignment]  # the track, its place in `PairDataset.tracks`


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
            rng = generator(self.seed, ORDER, epoch)
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
