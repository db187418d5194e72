"""The batches of a training run."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Literal

import lightning
import numpy as np
import torch
from torch.utils.data import DataLoader

from ssl_audio.audio import SAMPLE_RATE
from ssl_audio.audio.batches import PairBatchSampler, PairKey
from ssl_audio.audio.crops import seconds_of_pairs
from ssl_audio.audio.pairs import PairDataset, collate_pairs
from ssl_audio.audio.scan import Manifest, Track
from ssl_audio.audio.shares import track_shares
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.lightning_run import ResumableLoader
from ssl_audio.io.parallel import available_processors
from ssl_audio.settings.pretrain import DataSettings, DemoData, MixData, ValidationSettings
from ssl_audio.settings.tree import NAME
from ssl_audio.training import validation
from ssl_audio.training.budget import Audio, Budget
from ssl_audio.training.sources import load_manifest

MAX_WORKERS = 16  # each holds two batches of shared memory, 131 MB for 256 pairs of 4 s


class PairDataModule(lightning.LightningDataModule):
    """Scans the audio once and gives all batches of a run as one epoch of the trainer.

    One epoch, because Lightning repeats the first batches of an epoch when it resumes at the end of
    one. Passes over the tracks belong to the batch sampler. The number of finished batches is part
    of a checkpoint: a resumed run reads exactly the pairs that it had not seen yet. Trainers of
    several processes need `use_distributed_sampler=False`, since the sampler shares out a batch.

    Args:
        settings: the source of the audio, lengths and distances of segments.
        seed: seed of the order and of the pairs.
        sample_rate: of the segments, Hz: that of the encoder.
        validation: the tracks that are held out; None: none.

    Attributes:
        manifest: result of the scan (after `setup`).
        dataset: the pairs to train on (after `setup`).
        held_out: those of the held-out tracks; empty without any (after `setup`).
        tracks: what `index` in a batch refers to: those of `dataset`, then of `held_out`.
        budget: number and size of the batches of the whole run (after `follow`).
    """

    manifest: Manifest
    dataset: PairDataset
    held_out: PairDataset
    tracks: list[Track]
    budget: Budget

    def __init__(
        self, settings: DataSettings, seed: int = 0, sample_rate: int = SAMPLE_RATE,
        validation: ValidationSettings | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.validation = validation or ValidationSettings(share=0.0)
        self.settings, self.seed, self.sample_rate = settings, seed, sample_rate
        self._start_step = 0

    def prepare_data(self) -> None:
        """Scan on one process of a machine; the other processes read its cache."""
        if not hasattr(self, "manifest"):
            self.manifest = load_manifest(self.settings)

    def setup(self, stage: str | None = None) -> None:
        """Build the datasets.

        Raises:
            SslAudioError: no usable audio, no track long enough, or all or no tracks held out.
        """
        if hasattr(self, "dataset"):
            return
        self.prepare_data()
        chosen = self.settings
        tracks, held_out = validation.split(self.manifest.tracks, self.validation)
        # only tracks in shards have the hash of their source
        if self.sample_rate != SAMPLE_RATE and any(track.sha256 for track in tracks):
            raise SslAudioError(
                f"the encoder takes {self.sample_rate} Hz and shards hold {SAMPLE_RATE} Hz: train "
                "on the files themselves, such as data=folder"
            )
        dataset = self._pairs(tracks, self.seed)
        if not len(dataset):
            longest = max(track.duration for track in tracks)
            several = chosen.pairs_per_track > 1
            what = f"{chosen.pairs_per_track} pairs take" if several else "a pair takes"
            lower = "data.pairs_per_track" if several else "data.segment"
            wrap = "" if several else ", or set data.short=wrap to repeat short tracks"
            raise SslAudioError(
                f"no track is long enough: {what} {self._min_duration:g} s and the longest of "
                f"{len(tracks)} tracks has {longest:.1f} s. Lower {lower} or data.min_offset{wrap}"
            )
        self.dataset, self.held_out = dataset, self._pairs(held_out, validation.SEED)
        self._training = [tracks[place] for place in self.dataset.kept]
        self.tracks = self._training + [held_out[place] for place in self.held_out.kept]

    def _pairs(self, tracks: Sequence[Track], seed: int) -> PairDataset:
        chosen = self.settings
        return PairDataset(
            tracks, chosen.segment, chosen.min_offset, chosen.max_offset, seed, chosen.short,
            self.sample_rate, chosen.crops, chosen.crop_segment, chosen.pairs_per_track,
            chosen.track_distance,
        )  # fmt: skip

    @property
    def audio(self) -> Audio:
        """What the length of a run depends on (after `setup`)."""
        chosen = self.settings
        crops = chosen.crops * (chosen.crop_segment or chosen.segment)
        return Audio(
            self.dataset.tracks.durations.sum() / 3600, len(self.dataset),
            2 * chosen.segment + crops, chosen.pairs_per_track, trial=isinstance(chosen, DemoData),
        )  # fmt: skip

    def follow(self, budget: Budget) -> None:
        """Set number and size of the batches.

        Raises:
            SslAudioError: too few tracks for a batch, or in a source for its weight.
        """
        self.budget = budget
        self._plan()
        self._sampler()  # refuses a batch that is too large
        self.held_out_batches()  # refuses too few tracks

    def _plan(self) -> None:
        """Shares and groups of the tracks, where the settings say so."""
        chosen = self.settings
        used = self._training
        self._groups = None
        if chosen.group_share:
            names = np.unique([track.group for track in used], return_inverse=True)[1]
            self._groups = names.astype(np.int64)
        draws = self.budget.batch_size // chosen.pairs_per_track
        self._shares = track_shares(
            self.dataset.tracks.durations,
            np.array([track.source for track in used], dtype=np.int64),
            chosen.weights if isinstance(chosen, MixData) else None,
            draws,
            chosen.max_track_seconds if chosen.track_weight == "duration" else None,
        )

    @property
    def _min_duration(self) -> float:
        chosen = self.settings
        return seconds_of_pairs(
            chosen.pairs_per_track, chosen.segment, chosen.min_offset, chosen.track_distance
        )

    def summary(self) -> str:
        """Numbers of tracks: found, skipped, too short, used; for a mix, by source."""
        chosen, durations = self.settings, self.dataset.tracks.durations
        lines = [self.manifest.summary()]
        if len(self.held_out):
            lines.append(f"{len(self.held_out)} tracks held out for validation")
        if short := len(self.manifest.tracks) - len(self.dataset) - len(self.held_out):
            lines.append(f"{short} tracks left out: shorter than {self._min_duration:g} s")
        if wrapped := np.count_nonzero(durations < self._min_duration):
            near = np.count_nonzero(durations < min(2 * chosen.min_offset, self._min_duration))
            lines.append(
                f"{wrapped} tracks shorter than {self._min_duration:g} s are repeated; in {near} "
                f"of them, which are shorter than {2 * chosen.min_offset:g} s, the pair is half a "
                f"track apart instead of {chosen.min_offset:g} s"
            )
        lines.append(f"training on {self.audio.tracks} tracks, {self.audio.hours:.2f} hours")
        return "\n".join([*lines, *self._by_source()])

    def _by_source(self) -> Iterator[str]:
        """A line for each source of a mix."""
        if not isinstance(self.settings, MixData):
            return
        durations = self.dataset.tracks.durations
        numbers = np.array([track.source for track in self._training])
        shares = np.full(len(numbers), 1 / len(numbers))
        if self._shares is not None:
            shares = self._shares.tracks
        for number, source in enumerate(self.settings.sources):
            own = numbers == number
            yield (
                f"  {source[NAME]} {source.get('root', '')}: {own.sum()} tracks, "
                f"{durations[own].sum() / 3600:.2f} hours, {shares[own].sum():.1%} of the pairs"
            )

    def _sampler(self) -> PairBatchSampler:
        return self._batches(self.budget.step_limit, self._start_step, *self._process)

    @property
    def _process(self) -> tuple[int, int]:
        """The number of this process, and of all."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def _batches(
        self, steps: int, start_step: int = 0, rank: int = 0, world_size: int = 1
    ) -> PairBatchSampler:
        return PairBatchSampler(
            len(self.dataset), self.budget.batch_size, steps, self.seed, start_step, rank,
            world_size, self.settings.pairs_per_track, self._shares, self._groups,
            self.settings.group_share,
        )  # fmt: skip

    def train_dataloader(self) -> DataLoader[dict[str, Any]]:
        """The remaining batches of the run, as `collate_pairs` makes them."""
        return self._loader(self.dataset, self._sampler())

    def first_batches(self, steps: int) -> DataLoader[dict[str, Any]]:
        """The whole batches of the run's first steps, for one process."""
        return self._loader(self.dataset, self._batches(steps))

    def held_out_batches(self) -> Iterable[dict[str, Any]]:
        """Batches of held-out pairs, as `collate_pairs` makes them; none without such tracks."""
        if self.validation.share in ("auto", 0.0) and len(self.held_out) < 2:
            return []
        keys = validation.held_out_keys(
            self.held_out, self.budget.batch_size, self.validation.batches, *self._process
        )
        return self._loader(self.held_out, keys, first_index=len(self.dataset))

    def _loader(
        self, dataset: PairDataset, batches: Iterable[list[PairKey]], first_index: int = 0
    ) -> DataLoader[dict[str, Any]]:
        return ResumableLoader(
            dataset, batch_sampler=batches, num_workers=self._workers(),
            collate_fn=partial(_collate, first_index=first_index),
            pin_memory=torch.cuda.is_available(),
            # the default generator would advance the one that the model draws from
            generator=torch.Generator().manual_seed(self.seed),
        )  # fmt: skip

    def _workers(self) -> int:
        processes = getattr(self.trainer, "num_devices", 1) if self.trainer else 1
        return worker_count(self.settings.workers, processes)

    def state_dict(self) -> dict[str, Any]:
        """The number of finished batches and a description of the data, for checkpoints."""
        finished = 0
        if self.trainer is not None:
            # not `ready`: a checkpoint made in the middle of a step repeats that step
            batches: Any = self.trainer.fit_loop.epoch_loop.batch_progress.current
            finished = batches.processed
        return {"step": finished, "data": self._description()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue after the finished batches; warns if the data differs.

        The trainer's own counters are not restored yet when the loader is built.
        """
        self._start_step = state_dict["step"]
        then, now = state_dict["data"], self._description()
        changed = [f"{k} {then.get(k)} -> {now[k]}" for k in now if now[k] != then.get(k)]
        if changed:
            warnings.warn(
                "the data differs from that of the checkpoint, so the resumed run sees other pairs "
                f"than an uninterrupted one: {', '.join(changed)}",
                stacklevel=2,
            )

    def _description(self) -> dict[str, Any]:
        names = (
            "segment", "min_offset", "max_offset", "short", "crops", "crop_segment",
            "track_weight", "max_track_seconds", "pairs_per_track", "track_distance", "group_share",
        )  # fmt: skip
        found: dict[str, Any] = {name: getattr(self.settings, name) for name in names}
        if isinstance(self.settings, MixData):
            found["weights"] = self.settings.weights
        if len(self.held_out):
            found["held_out"] = len(self.held_out)
        return found | {
            "batch_size": self.budget.batch_size, "seed": self.seed,
            "tracks": len(self.dataset), "manifest": self.manifest.hash,
        }  # fmt: skip

    def teardown(self, stage: str) -> None:
        self._start_step = 0  # the next run starts from its beginning


def _collate(items: Sequence[dict[str, Any]], first_index: int) -> dict[str, Any]:
    """A batch of pairs of tracks whose numbers begin with `first_index`."""
    batch = collate_pairs(items)
    return {**batch, "index": batch["index"] + first_index}


def worker_count(workers: int | Literal["auto"], processes: int = 1) -> int:
    """Decoding processes for each of `processes` training processes on this machine.

    "auto" takes all processors with a GPU, and half of them without, since the model needs the
    others.
    """
    if workers != "auto":
        return workers
    share = available_processors() // processes
    return min(MAX_WORKERS, max(1, share if torch.cuda.is_available() else share // 2))
