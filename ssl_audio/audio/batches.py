"""The order of a run's batches, each a function of its step."""

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
    draw: int = 0  # how often the pass has drawn the track before
    part: int = 0  # which of the pairs of one draw


class Shares(NamedTuple):
    """How often each track is drawn, if not all equally often."""

    tracks: NDArray[np.float64]  # (n,) expected shares of the draws, of sum 1
    sources: NDArray[np.int64]  # (n,) of each track, for batches that mix sources evenly


class PairBatchSampler(Sampler[list[PairKey]]):
    """The order of a run's batches: one shuffled pass over the tracks after another.

    A pass is cut into as many whole batches as it holds, so no track is drawn twice for a batch,
    even for one that is shared by several processes; the tracks left over differ from pass to
    pass. Each batch is a function of its step, so that a run resumes at any step at no cost.

    With shares, a pass draws a track share * draws times, rounded up or down at random (systematic
    sampling), and its batches have equal numbers of each source but for one draw. With groups, a
    part of each batch is drawn from one group as far as a group has so many tracks left.

    Args:
        batch_size: pairs in a batch, over all processes.
        steps: batches in the whole run.
        seed: of the shuffling, >= 0.
        start_step: the first batch to yield.
        rank, world_size: this process reads the rank-th of `world_size` equal, contiguous parts of
            each batch.
        pairs_per_track: pairs of each track in a batch.
        shares: of the tracks; None: equal.
        groups: (n_tracks,) group of each track, whole numbers from 0; only without `shares`.
        group_share: part of each batch that is drawn from one group, 0 to 1.

    Raises:
        SslAudioError: fewer tracks than a batch takes, or a batch that does not divide.
    """

    def __init__(
        self, n_tracks: int, batch_size: int, steps: int, seed: int, start_step: int = 0,
        rank: int = 0, world_size: int = 1, pairs_per_track: int = 1, shares: Shares | None = None,
        groups: NDArray[np.int64] | None = None, group_share: float = 0.0,
    ) -> None:  # fmt: skip
        _check_batch(n_tracks, batch_size, world_size, pairs_per_track)
        self.n_tracks, self.batch_size, self.steps, self.seed = n_tracks, batch_size, steps, seed
        self.start_step, self.rank, self.world_size = start_step, rank, world_size
        self.pairs_per_track = pairs_per_track
        self.draws = batch_size // pairs_per_track  # tracks in a batch
        self._shares, self._groups = shares, groups
        self._from_group = round(group_share * self.draws)
        self._order: tuple[int, NDArray[np.int64]] | None = None  # of the last pass used

    @property
    def batches_per_pass(self) -> int:
        """Whole batches in one pass over the tracks."""
        return self.n_tracks // self.draws

    def batch(self, step: int) -> list[PairKey]:
        """Return this process's share of the batch of a step, counted from 0."""
        epoch, place = divmod(step, self.batches_per_pass)
        share = self.batch_size // self.world_size
        drawn = self._pass(epoch)[place * self.draws : (place + 1) * self.draws]
        keys = [
            PairKey(epoch, int(track), int(draw), part)
            for track, draw in drawn
            for part in range(self.pairs_per_track)
        ]
        return keys[self.rank * share : (self.rank + 1) * share]

    def _pass(self, epoch: int) -> NDArray[np.int64]:
        """(draws, 2): track and number of its earlier draws, one batch after the other."""
        if self._order is None or self._order[0] != epoch:
            rng = generator(self.seed, ORDER, epoch)
            if self._shares is not None:
                drawn = _weighted_pass(self._shares, self.batches_per_pass, self.draws, rng)
            else:
                order = rng.permutation(self.n_tracks)
                if self._groups is not None and self._from_group > 1:
                    used = order[: self.batches_per_pass * self.draws]
                    order = _grouped_pass(used, self._groups, self.draws, self._from_group, rng)
                drawn = np.column_stack([order, np.zeros_like(order)])
            self._order = (epoch, drawn)
        return self._order[1]

    def __iter__(self) -> Iterator[list[PairKey]]:
        for step in range(self.start_step, self.steps):
            yield self.batch(step)

    def __len__(self) -> int:
        """Batches of the whole run: the trainer counts those before `start_step` as fetched."""
        return self.steps


def _weighted_pass(
    shares: Shares, batches: int, size: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """(batches * size, 2) tracks in proportion to their shares, and how often each came before.

    Equidistant points are laid over the cumulated shares of the tracks, shuffled within sources
    (systematic sampling): a track gets its expected number of draws, rounded up or down, and so
    does a source. The draws are dealt to the batches in turn, so that those of one track, which
    are neighbours, come into different batches.
    """
    order = rng.permutation(len(shares.tracks))
    order = order[np.argsort(shares.sources[order], kind="stable")]
    total = batches * size
    ends = np.cumsum(shares.tracks[order]) * total
    points = rng.random() + np.arange(total)
    places = np.minimum(np.searchsorted(ends, points, side="right"), len(order) - 1)
    first = np.searchsorted(places, places, side="left")
    drawn = np.column_stack([order[places], np.arange(total) - first])
    dealt = drawn.reshape(size, batches, 2).transpose(1, 0, 2)[rng.permutation(batches)]
    return _shuffled(dealt, rng)


def _shuffled(batches: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """(batches, size, 2) to (batches * size, 2), the rows of each batch in random order."""
    places = rng.random(batches.shape[:2]).argsort(axis=1)
    return np.take_along_axis(batches, places[..., None], axis=1).reshape(-1, 2)


def _grouped_pass(
    order: NDArray[np.int64], groups: NDArray[np.int64], size: int, together: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:  # fmt: skip
    """The tracks of a pass, rearranged: `together` tracks of one group begin each batch.

    Groups are cut into sets of `together` tracks, of which each batch gets one, drawn at random;
    all other tracks fill the batches. Where there are fewer sets than batches, the last batches of
    a random order have none.
    """
    by_group = order[np.argsort(groups[order], kind="stable")]
    _, starts, counts = np.unique(groups[by_group], return_index=True, return_counts=True)
    within = np.arange(len(by_group)) - np.repeat(starts, counts)
    whole = within < np.repeat(counts // together * together, counts)
    sets = rng.permutation(by_group[whole].reshape(-1, together))
    batches = len(order) // size
    rest = rng.permutation(np.concatenate([by_group[~whole], sets[batches:].ravel()]))
    sets = sets[:batches]
    fill = size - together
    first = np.column_stack([sets, rest[: len(sets) * fill].reshape(len(sets), fill)])
    last = rest[len(sets) * fill :].reshape(-1, size)
    return rng.permutation(np.concatenate([first, last])).ravel()


def _check_batch(n_tracks: int, batch_size: int, world_size: int, pairs_per_track: int) -> None:
    if batch_size < 1:
        raise SslAudioError(f"data.batch_size is {batch_size}: it must be at least 1")
    if batch_size % pairs_per_track:
        raise SslAudioError(
            f"data.batch_size is {batch_size}: it must be a multiple of data.pairs_per_track, "
            f"{pairs_per_track}"
        )
    if n_tracks < batch_size // pairs_per_track:
        most = n_tracks * pairs_per_track
        raise SslAudioError(
            f"a batch needs {batch_size // pairs_per_track} different tracks and there are "
            f"{n_tracks}: lower data.batch_size to {most} or less, raise data.pairs_per_track, or "
            "give more audio"
            if n_tracks
            else "no track is long enough for a pair: give longer audio, lower data.segment or "
            "data.min_offset, or set data.short=wrap"
        )
    if batch_size % world_size:
        raise SslAudioError(
            f"data.batch_size is {batch_size}, over all processes: it must be a multiple of "
            f"their number, {world_size}"
        )
