"""What every training run of the package has: resuming, logs, checkpoints, a bar, Ctrl-C."""

from __future__ import annotations

from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger

from ssl_audio.io.console import say
from ssl_audio.io.errors import SslAudioError


def resume_path(
    ckpt_path: str | None, folder: Path, max_steps: int, key: str = "trainer.max_steps"
) -> Path | None:
    """The Lightning checkpoint that `ckpt_path=` names; "last" is the run folder's own.

    Args:
        ckpt_path: what the user gave.
        folder: of the run.
        max_steps: of the run.
        key: what the user sets to have more steps.

    Raises:
        SslAudioError: there is none, it is damaged, or it has all its steps behind it.
    """
    if ckpt_path is None:
        return None
    path = folder / "checkpoints" / "last.ckpt" if ckpt_path == "last" else Path(ckpt_path)
    if not path.is_file():
        raise SslAudioError(f"ckpt_path={ckpt_path}: no file {path}")
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        done = int(saved["global_step"]) if saved["state_dict"] else 0
    except Exception as error:  # torch names a dozen kinds of damage by as many exceptions
        raise SslAudioError(
            f"{path} is damaged or no training checkpoint: {str(error).splitlines()[0]}"
        ) from error
    if done >= max_steps:
        raise SslAudioError(
            f"this run has finished: {done} steps of {max_steps}; to go on give more of them with "
            f"{key}="
        )
    return path


def pick_precision(precision: str, accelerator: str) -> str:
    """Lightning's precision; "auto" is bf16 where the device computes in it, else float32."""
    if precision != "auto":
        return precision
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    return "bf16-mixed" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "32-true"


def loggers(folder: Path) -> list[Logger]:
    """CSV for reading back, TensorBoard for looking at, both below `folder/logs`."""
    return [
        CSVLogger(folder / "logs", name="", version="csv"),
        TensorBoardLogger(folder / "logs", name="", version="tensorboard"),
    ]


def keep_earlier_log(folder: Path) -> None:
    """Lightning starts its CSV file anew when a run goes on; what stands in it is moved aside."""
    log = folder / "logs" / "csv" / "metrics.csv"
    if log.is_file():
        number = 1 + len(list(log.parent.glob("metrics-*.csv")))
        log.rename(log.with_name(f"metrics-{number}.csv"))


def checkpoints(folder: Path, every: int, monitor: str) -> ModelCheckpoint:
    return ModelCheckpoint(
        dirpath=folder / "checkpoints",
        filename="best",
        monitor=monitor,
        save_top_k=1,
        save_last=True,
        every_n_train_steps=every,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )


class Interrupted(lightning.Callback):
    """Say on Ctrl-C how the run goes on.

    Args:
        folder: of its checkpoints.
        run_dir: what the user names to go on; None: the folder.
    """

    def __init__(self, folder: Path, run_dir: Path | None = None) -> None:
        self.folder, self.run_dir = folder, run_dir or folder

    def on_exception(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        exception: BaseException,
    ) -> None:
        if not isinstance(exception, KeyboardInterrupt) or not trainer.is_global_zero:
            return
        last = self.folder / "checkpoints" / "last.ckpt"
        onward = f"run_dir={self.run_dir} ckpt_path=last" if last.exists() else "nothing saved yet"
        say(f"interrupted at step {trainer.global_step}; from the last checkpoint on: {onward}")


class ProgressBar(RichProgressBar):
    """Lightning's, without the logger's version number and the count of epochs: there is one."""

    def _get_train_description(self, current_epoch: int) -> str:
        return "training"

    def get_metrics(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics
