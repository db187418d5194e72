"""Probes by name: how each kind is trained."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from ssl_audio.probing.batched import TrainedProbe, Validation, train_probes
from ssl_audio.probing.batches import TrainingRows
from ssl_audio.probing.logistic import fit_logistic


def train_logistic(
    train: TrainingRows, validation: Validation, subsets: Sequence[np.ndarray], *_: object
) -> Sequence[TrainedProbe]:
    """scikit-learn's logistic regression: a reference for the probes that are trained here."""
    return [
        fit_logistic(train.x[rows], train.y[rows], validation, train.single_label)
        for rows in subsets
    ]


# functions that train one probe on each subset of the rows, with the arguments of `train_probes`
PROBES: dict[str, Callable[..., Sequence[TrainedProbe]]] = {
    "linear": train_probes,
    "mlp": partial(train_probes, hidden=True),
    "logistic": train_logistic,
}
