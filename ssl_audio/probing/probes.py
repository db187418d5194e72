"""Probes by name: how each kind is trained."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Protocol

import numpy as np

from ssl_audio.probing.batched import TrainedProbe, Validation, train_probes
from ssl_audio.probing.batches import TrainingRows
from ssl_audio.probing.logistic import LogisticProbe
from ssl_audio.settings.probe import LinearProbeSettings


class ProbeKind(Protocol):
    """How probes of one kind are trained: `train_probes` is the first example."""

    def __call__(
        self,
        train: TrainingRows,
        validation: Validation,
        subsets: Sequence[np.ndarray],
        settings: LinearProbeSettings,
        seed: int = 0,
        title: str | None = None,
    ) -> Sequence[TrainedProbe]:
        """Train one probe on each subset of the training rows."""


def train_logistic(
    train: TrainingRows,
    validation: Validation,
    subsets: Sequence[np.ndarray],
    settings: LinearProbeSettings,
    seed: int = 0,
    title: str | None = None,
) -> Sequence[TrainedProbe]:
    """scikit-learn's logistic regression: a reference for the probes that are trained here."""
    fitted = [
        LogisticProbe(train.single_label).fit(train.x[rows], train.y[rows], validation)
        for rows in subsets
    ]
    return [TrainedProbe([(one.weight_, one.bias_)], []) for one in fitted]


PROBES: dict[str, ProbeKind] = {
    "linear": train_probes,
    "mlp": partial(train_probes, hidden=True),
    "logistic": train_logistic,
}
