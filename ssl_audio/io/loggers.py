"""Loggers of Lightning by name, and what every log of a run has."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl_audio.io.errors import SslAudioError, first_line

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

LOGGERS = {
    "csv": "lightning.pytorch.loggers.CSVLogger",
    "tensorboard": "lightning.pytorch.loggers.TensorBoardLogger",
    "wandb": "lightning.pytorch.loggers.WandbLogger",
    "mlflow": "lightning.pytorch.loggers.MLFlowLogger",
}
PROJECT = "ssl_audio"  # of Weights & Biases, and the experiment of MLflow


def logger_arguments(name: str, folder: Path) -> dict[str, Any]:
    """The arguments of a named logger, which keeps its log below `logs` of a run's folder.

    `WANDB_MODE=offline` keeps Weights & Biases there; `MLFLOW_TRACKING_URI` sends MLflow elsewhere.

    Raises:
        SslAudioError: its package is not installed.
    """
    if name in ("wandb", "mlflow") and find_spec(name) is None:
        raise SslAudioError(f"logger={name}: no package {name}: pip install {name}")
    logs, run = folder.absolute() / "logs", folder.absolute().name
    if name == "wandb":
        project = os.environ.get("WANDB_PROJECT", PROJECT)
        return {"save_dir": str(logs), "name": run, "project": project}
    if name == "mlflow":
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        local = {
            "tracking_uri": f"sqlite:///{logs / 'mlflow.db'}",
            "artifact_location": (logs / "mlflow").as_uri(),
        }
        return {"experiment_name": PROJECT, "run_name": run, **({} if uri else local)}
    return {"save_dir": str(logs), "name": "", "version": name}


@contextmanager
def open_logs(
    loggers: Sequence[Logger], folder: Path, hyperparameters: Mapping[str, Any]
) -> Iterator[None]:
    """Write hyperparameters to each logger; at the end, close the run of Weights & Biases.

    Its run would otherwise stay open until the process ends, and take the next run's values.

    Raises:
        SslAudioError: a logger cannot start, for want of a network or a key.
    """
    from lightning.pytorch.loggers import WandbLogger

    (folder / "logs").mkdir(parents=True, exist_ok=True)
    for logger in loggers:
        try:
            logger.log_hyperparams(dict(hyperparameters))  # type: ignore[arg-type]
        except Exception as error:  # of many types, each package's own
            name = type(logger).__name__
            raise SslAudioError(f"logger: {name} cannot start: {first_line(error)}") from error
    status = 1
    try:
        yield
        status = 0
    finally:
        for logger in loggers:
            if isinstance(logger, WandbLogger):
                logger.experiment.finish(exit_code=status)


def log_figures(loggers: Sequence[Logger], figures: Mapping[str, float], step: int) -> None:
    """Add values to the logs of a run whose training has ended."""
    for logger in loggers:
        logger.log_metrics(dict(figures), step=step)
        logger.save()


def keep_earlier_log(folder: Path) -> None:
    """Rename the CSV log of the run so far: Lightning overwrites it when a run resumes."""
    log = folder / "logs" / "csv" / "metrics.csv"
    if log.is_file():
        number = 1 + len(list(log.parent.glob("metrics-*.csv")))
        log.rename(log.with_name(f"metrics-{number}.csv"))
