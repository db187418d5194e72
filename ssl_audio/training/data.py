"""From a source of audio to the batches of a run."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

import lightning
import numpy as np
import torch
from torch.utils.data import DataLoader

from ssl_audio.audio import manifest, shards
from ssl_audio.audio.manifest import Manifest, Track
from ssl_audio.audio.pairs import PairBatchSampler, PairDataset, collate_pairs, long_enough
from ssl_audio.io.errors import SslAudioError

MOST_WORKERS = 16  # each holds two batches of shared memory, 131 MB for 256 pairs of 4 s


class Source(Protocol):
    """Where audio comes from; what a recipe's `data.source` names."""

    def sources(self) -> list[Any]:
        """List what `ssl_audio.audio.manifest.scan` is to look at."""


@dataclass
class DemoSource:
    """The corpus that the package synthesises itself, made on first use and kept.

    Args:
        tracks: how many tracks to make.
        seconds: length of each.
        seed: of the music.
        folder: where it lies; None is the user's cache folder.
    """

    tracks: int = 240
    seconds: float = 30.0
    seed: int = 0
    folder: str | None = None

    def make(self) -> Path:
        """Make the corpus if it is not there yet; returns its folder."""
        from ssl_audio.audio.synthesis import demo_folder, make_demo

        chosen: dict[str, Any] = {"tracks": self.tracks, "seconds": self.seconds, "seed": self.seed}
        folder = Path(self.folder) if self.folder else demo_folder(**chosen)
        return make_demo(folder, **chosen)

    def sources(self) -> list[Any]:
        made = self.make()
        return manifest.read_jamendo(made / "demo-train.tsv", made)


@dataclass
class FolderSource:
    """Every audio file below a folder."""

    root: str

    def sources(self) -> list[Any]:
        return manifest.find_audio(self.root)


@dataclass
class ManifestSource:
    """The files of a list: .txt with a path a line, or .csv or .parquet with a column `path`."""

    root: str

    def sources(self) -> list[Any]:
        if Path(self.root).suffix.lower() == ".txt":
            return manifest.read_list(self.root)
        return manifest.read_table(self.root)


@dataclass
class JamendoSource:
    """The tracks of MTG-Jamendo TSV files.

    Args:
        root: the folder of the audio.
        tsv: a TSV file, or several.
    """

    root: str
    tsv: str | PathLike[str] | Sequence[str]

    def sources(self) -> list[Any]:
        one = isinstance(self.tsv, str | PathLike)
        paths: Iterable[Any] = [self.tsv] if one else self.tsv  # type: ignore[list-item,assignment]
        return [source for path in paths for source in manifest.read_jamendo(path, self.root)]


@dataclass
class ShardSource:
    """The tracks of a folder that `tools/prepare.py` has written."""

    root: str

    def sources(self) -> list[Any]:
        return [manifest.Source(track.path) for track in self.manifest().tracks]

    def manifest(self) -> Manifest:
        """List the tracks as they were measured when the shards were written."""
        return shards.read_manifest(self.root)


class PairDataModule(lightning.LightningDataModule):
    """Scan a source once, and give the whole run's batches as one epoch of the trainer.

    One epoch, because a trainer that resumes at an epoch's end replays that epoch's first batches;
    within an epoch it does not. Passes over the tracks are the batch sampler's affair. Which batch
    comes next is part of a checkpoint, so a resumed run goes on with exactly the pairs that the
    uninterrupted one would have seen, and reads none of those before. Trainers of several
    processes need `use_distributed_sampler=False`: every batch is shared out already.

    Args:
        source: where the audio comes from.
        steps: batches of the whole run.
        batch_size: pairs in a batch, over all processes.
        segment: length of a segment, seconds.
        min_offset, max_offset: least and greatest distance of a pair's starts, seconds.
        short: tracks too short for a pair: "drop" or "wrap".
        workers: decoding processes, 0 for none; "auto" goes by the processors.
        seed: of the order and of the pairs.
        cache: folder of the cached scan; None is the user's cache folder.
        limit_tracks: train on that many tracks, drawn by `seed`; None is all.
        progress: show a bar while scanning.

    Attributes:
        manifest: what the scan found (after `setup`).
        dataset: the pairs (after `setup`).
        report: how many tracks are used, and how many were left out why (after `setup`).
    """

    manifest: Manifest
    dataset: PairDataset
    report: str

    def __init__(
        self,
        source: Source,
        steps: int,
        batch_size: int = 64,
        segment: float = 4.0,
        min_offset: float = 4.0,
        max_offset: float = 16.0,
        short: str = "drop",
        workers: int | str = "auto",
        seed: int = 0,
        cache: str | PathLike[str] | None = None,
        limit_tracks: int | None = None,
        progress: bool = True,
    ) -> None:
        super().__init__()
        self.source, self.steps, self.batch_size = source, steps, batch_size
        self.segment, self.min_offset, self.max_offset = segment, min_offset, max_offset
        self.short, self.workers, self.seed = short, _checked_workers(workers), seed
        self.cache, self.limit_tracks, self.progress = cache, limit_tracks, progress
        self._start_step = 0

    def prepare_data(self) -> None:
        """Make the corpus and scan it, on one process of a machine; the others read its cache."""
        if not hasattr(self, "manifest"):
            self._scan(self.progress)

    def setup(self, stage: str | None = None) -> None:
        """Build the dataset.

        Raises:
            SslAudioError: no audio, no track long enough, or fewer tracks than a batch takes.
        """
        if hasattr(self, "dataset"):
            return
        if not hasattr(self, "manifest"):
            self._scan(self.progress)
        tracks, left_out = self._usable()
        self.dataset = PairDataset(
            tracks, self.segment, self.min_offset, self.max_offset, self.seed, self.short
        )
        self.report = self._describe(left_out)
        self._sampler()  # complain now, before anything is built around the data

    def _scan(self, progress: bool) -> None:
        if isinstance(self.source, ShardSource):
            self.manifest = self.source.manifest()
            return
        self.manifest = manifest.scan(self.source.sources(), cache=self.cache, progress=progress)
        if not self.manifest.tracks:
            raise SslAudioError(
                f"no usable audio in {self.source}: {self.manifest.summary()}. "
                "Point data.root at audio, or train without any of your own: data=demo"
            )

    def _usable(self) -> tuple[list[Track], int]:
        """Return the tracks to train on, and how many were too short."""
        tracks: list[Any] = self.manifest.tracks
        if self.short == "drop":
            tracks = long_enough(tracks, self.segment, self.min_offset)
        left_out = len(self.manifest.tracks) - len(tracks)
        if not tracks:
            longest = max(track.duration for track in self.manifest.tracks)
            raise SslAudioError(
                f"no track is long enough: a pair takes {self.segment + self.min_offset:g} s "
                f"and the longest of {left_out} tracks has {longest:.1f} s. Lower data.segment or "
                "data.min_offset, or set data.short=wrap to read short tracks in a circle"
            )
        if self.limit_tracks is not None and self.limit_tracks < len(tracks):
            chosen = np.random.default_rng(self.seed).permutation(len(tracks))[: self.limit_tracks]
            tracks = [tracks[i] for i in sorted(chosen)]
        return tracks, left_out

    def _describe(self, left_out: int) -> str:
        lines = [self.manifest.summary()]
        if left_out:
            least = self.segment + self.min_offset
            lines.append(f"{left_out} tracks left out: shorter than {least:g} s")
        hours = self.dataset.tracks.durations.sum() / 3600
        lines.append(f"training on {len(self.dataset)} tracks, {hours:.2f} hours")
        return "\n".join(lines)

    def _sampler(self) -> PairBatchSampler:
        return PairBatchSampler(
            len(self.dataset),
            self.batch_size,
            self.steps,
            self.seed,
            start_step=self._start_step,
            rank=self.trainer.global_rank if self.trainer else 0,
            world_size=self.trainer.world_size if self.trainer else 1,
        )

    def train_dataloader(self) -> DataLoader[dict[str, Any]]:
        """Give the batches of `collate_pairs`, from the step where the run is, to its end."""
        ranks_here = getattr(self.trainer, "num_devices", 1) if self.trainer else 1
        # A worker limits itself to one thread of torch, as every worker of a DataLoader does
        return _PairLoader(
            self.dataset,
            batch_sampler=self._sampler(),
            num_workers=worker_count(self.workers, ranks_here),
            collate_fn=collate_pairs,
            pin_memory=torch.cuda.is_available(),
            # a generator of its own: the loader must not advance the one the model draws from
            generator=torch.Generator().manual_seed(self.seed),
        )

    def state_dict(self) -> dict[str, Any]:
        """Say how many batches are done, and of what data."""
        done = 0
        if self.trainer is not None:
            # not `ready`: a checkpoint made in the middle of a step repeats that step
            batches: Any = self.trainer.fit_loop.epoch_loop.batch_progress.current
            done = batches.processed
        return {"step": done, "data": self._identity()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on after the batches that are done.

        The trainer's own counters cannot be asked for it: whoever asks the trainer for the length
        of the run makes it build the loader before they are restored.
        """
        self._start_step = state_dict["step"]
        then, now = state_dict["data"], self._identity()
        changed = [
            f"{key} {then.get(key)} -> {now[key]}" for key in now if now[key] != then.get(key)
        ]
        if changed:
            warnings.warn(
                "the data is not what the checkpoint was trained on, so the run goes on with other "
                f"pairs than it would have: {', '.join(changed)}",
                stacklevel=2,
            )

    def _identity(self) -> dict[str, Any]:
        names = ("batch_size", "segment", "min_offset", "max_offset", "short", "seed")
        identity: dict[str, Any] = {name: getattr(self, name) for name in names}
        return identity | {"tracks": len(self.dataset), "manifest": self.manifest.hash}

    def teardown(self, stage: str) -> None:
        """Forget where the run was: the next one starts from its own beginning."""
        self._start_step = 0


class _PairLoader(DataLoader[dict[str, Any]]):
    """A loader that the trainer knows can resume: the sampler has been told where to start."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        pass


def worker_count(workers: int | str, processes: int = 1) -> int:
    """Resolve "auto" for one of `processes` training processes on this machine.

    On a GPU every processor decodes; without one half of them do, as the model needs the rest.
    """
    if workers != "auto":
        return int(workers)
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    share = (available or 1) // processes
    return min(MOST_WORKERS, max(1, share if torch.cuda.is_available() else share // 2))


def _checked_workers(workers: int | str) -> int | str:
    if workers == "auto" or (isinstance(workers, int) and workers >= 0):
        return workers
    raise SslAudioError(f"workers is {workers!r}: give auto, or a number from 0 (data.workers)")
