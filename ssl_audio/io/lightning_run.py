"""Shared parts of Lightning runs: resuming, logs, checkpoints, progress bar, Ctrl-C."""

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch.utils.data import DataLoader

from ssl_audio.io import log
from ssl_audio.io.atomic import atomic_file, recover
from ssl_audio.io.console import say
from ssl_audio.io.errors import SslAudioError, first_line
from ssl_audio.io.loggers import logger_arguments
from ssl_audio.io.precision import multiplies_bfloat16


@dataclass(frozen=True)
class Checkpoint:
    """A Lightning checkpoint to resume from: its file, finished steps and states of callbacks."""

    path: Path
    steps: int
    callbacks: Mapping[str, Any]


def find_checkpoint(ckpt_path: Path | str | None, folder: Path) -> Checkpoint | None:
    """The Lightning checkpoint that `ckpt_path=` names; "last" is the newest of the run folder.

    Args:
        ckpt_path: "last", a file, or None for a new run.

    Raises:
        SslAudioError: no such file, or a damaged one.
    """
    if ckpt_path is None:
        return None
    last = str(ckpt_path) == "last"
    path = folder / "checkpoints" / "last.ckpt" if last else Path(ckpt_path)
    if not path.is_file():
        raise SslAudioError(f"ckpt_path={ckpt_path}: no file {path}")
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        done = int(saved["global_step"]) if saved["state_dict"] else 0
        return Checkpoint(path, done, saved.get("callbacks", {}))
    except Exception as error:  # torch raises a dozen types for damaged files
        reason = first_line(error)
        raise SslAudioError(f"{path} is damaged or not a training checkpoint: {reason}") from error


def pick_precision(precision: str, accelerator: str) -> str:
    """Lightning's precision; "auto" is bf16-mixed where the device computes in it, else float32."""
    if precision != "auto":
        return precision
    gpu = accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    return "bf16-mixed" if multiplies_bfloat16("cuda" if gpu else "cpu") else "32-true"


def make_trainer(
    folder: Path,
    *,
    batches: int,
    checkpoint_every: int,
    monitor: str,
    accelerator: str,
    precision: str,
    callbacks: Sequence[lightning.Callback] = (),
    loggers: Sequence[Logger] | None = None,
    run_dir: Path | None = None,
    **options: Any,
) -> lightning.Trainer:
    """A trainer whose whole run is one epoch, so that it can resume at any step.

    Args:
        folder: for logs and checkpoints.
        monitor: the logged value whose smallest value makes a checkpoint the best.
        precision: as Lightning's, or "auto".
        loggers: of the run; None: CSV and TensorBoard, below `folder`.
        run_dir: shown in the message on how to resume; None: `folder`.
        options: further arguments of `lightning.Trainer`.

    Raises:
        SslAudioError: Lightning refuses an option, or this machine has no such accelerator.
    """
    if loggers is None:
        loggers = [
            CSVLogger(**logger_arguments("csv", folder)),
            TensorBoardLogger(**logger_arguments("tensorboard", folder)),
        ]
    bar = ProgressEvents if log.as_json() else ProgressBar
    try:
        return lightning.Trainer(
            default_root_dir=folder,
            logger=list(loggers),
            callbacks=[
                *callbacks, _checkpoints(folder, checkpoint_every, monitor),
                Interrupted(folder, run_dir or folder), bar(),
            ],
            accelerator=accelerator,
            precision=pick_precision(precision, accelerator),  # type: ignore[arg-type]
            max_epochs=-1,  # 1 would end a finished run that is resumed with more steps
            limit_train_batches=batches,
            use_distributed_sampler=False,
            enable_model_summary=False,
            plugins=[AtomicCheckpoints()],
            enable_progress_bar=not log.as_json(),
            **options,
        )  # fmt: skip
    except (ValueError, TypeError, RuntimeError, MisconfigurationException) as error:
        raise SslAudioError(f"trainer: {first_line(error)}") from error


def fit(trainer: lightning.Trainer, module: lightning.LightningModule, **options: Any) -> None:
    """`trainer.fit`, which raises KeyboardInterrupt on Ctrl-C where Lightning ends the process."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module, weights_only=True, **options)
    except SystemExit as error:
        if not trainer.interrupted:
            raise
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from error


def _checkpoints(folder: Path, every: int, monitor: str) -> ModelCheckpoint:
    """Keeps the newest checkpoint, and the one with the smallest `monitor`."""
    return ModelCheckpoint(
        dirpath=folder / "checkpoints", filename="best", monitor=monitor, save_top_k=1,
        save_last=True, every_n_train_steps=every, save_on_train_epoch_end=True,
        enable_version_counter=False,
    )  # fmt: skip


class AtomicCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its name, and then renames it.

    Lightning writes into the system's temporary folder: where that is another file system, a kill
    leaves half a checkpoint under the name of the last one.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        recover(Path(path).parent, Path(path).name)
        with atomic_file(path, durable=True) as temporary:
            torch.save(checkpoint, temporary)


class Interrupted(lightning.Callback):
    """Prints on Ctrl-C how to resume: with `run_dir`, if there are checkpoints below `folder`."""

    def __init__(self, folder: Path, run_dir: Path) -> None:
        self.folder, self.run_dir = folder, run_dir

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule,
        exception: BaseException,
    ) -> None:  # fmt: skip
        if not isinstance(exception, KeyboardInterrupt) or not trainer.is_global_zero:
            return
        last = self.folder / "checkpoints" / "last.ckpt"
        resume = f"resume with run_dir={self.run_dir} ckpt_path=last"
        say(
            f"interrupted at step {trainer.global_step}: "
            + (resume if last.exists() else "there is no checkpoint yet")
        )


class ProgressBar(RichProgressBar):
    """Lightning's, without the version of the logger and the number of the only epoch.

    Attributes:
        notes: further values to show, as text with its unit.
    """

    def __init__(self) -> None:
        # in a notebook too as text: a widget would need one more package
        super().__init__(console_kwargs={"stderr": True, "force_jupyter": False})
        self.notes: dict[str, str] = {}

    def set_total(self, steps: int) -> None:
        """Correct the expected number of steps, for a run that ends by its time."""
        if self.progress is not None and self.train_progress_bar_id is not None:
            self.progress.update(self.train_progress_bar_id, total=steps)

    def _get_train_description(self, current_epoch: int) -> str:
        return "training"

    def get_metrics(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return {**metrics, **self.notes}


class ProgressEvents(lightning.Callback):
    """The progress of training as events, with the newest logged values as `metrics`."""

    def __init__(self) -> None:
        self._progress: log.Progress | None = None

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        if trainer.is_global_zero:
            steps = trainer.max_steps if trainer.max_steps > 0 else None
            self._progress = log.Progress("training", steps, "steps", trainer.global_step)

    def on_train_batch_end(self, *arguments: Any) -> None:
        if self._progress is not None and self._progress.is_due():
            self._write(arguments[0])

    def on_train_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        self._write(trainer)

    def _write(self, trainer: lightning.Trainer) -> None:
        if self._progress is not None:
            metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
            self._progress.done = trainer.global_step
            self._progress.write(metrics=metrics)


class ResumableLoader(DataLoader[Any]):
    """A loader that Lightning takes as able to resume: its batches start at the right step."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        pass
