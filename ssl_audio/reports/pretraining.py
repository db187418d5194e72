"""Parts of the results of a pretraining run."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Selection:
    """The encoder of a run with the best score of a probe on validation: the metric, its value, and
    the finished steps."""

    metric: str
    score: float
    step: int


@dataclass(frozen=True, kw_only=True)
class TrainingAudio:
    """The audio of a run: tracks and hours trained on, tracks held out for validation, files
    skipped by the scan, files that failed later."""

    hash: str
    tracks: int
    skipped: int
    hours: float = math.nan
    held_out: int = 0
    unreadable_while_training: tuple[str, ...] = ()
