"""Random numbers of a training step, such as those of dropout, as a function of its number."""

import random
from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer

from ssl_audio.audio.random_streams import STEPS, generator


class SeededSteps(Callback):
    """Seeds the generators of torch, NumPy and Python before each step.

    The seeds are a function of the run's seed, the step and the process. A resumed run therefore
    draws the numbers of a run that was not interrupted, whatever else draws from the generators
    between steps: a probe, a validation, a loader that starts. A checkpoint holds no state of them.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        seeds = generator(self.seed, STEPS, batch_idx, trainer.global_rank).integers(2**32, size=3)
        first, second, third = map(int, seeds)
        torch.manual_seed(first)
        np.random.seed(second)
        random.seed(third)
