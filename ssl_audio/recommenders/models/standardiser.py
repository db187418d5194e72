"""Inputs of a network, standardised by statistics that are kept with its weights."""

import numpy as np
import torch
from torch import Tensor, nn


class Standardiser(nn.Module):
    """(x - mean) / deviation in each column of x; the identity before `fit`."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(columns))
        self.register_buffer("deviation", torch.ones(columns))

    def fit(self, rows: np.ndarray) -> None:
        """Take the statistics of rows (n, columns); a constant column becomes 0."""
        deviation = rows.std(0, dtype=np.float64)
        deviation[deviation < 1e-6] = 1.0
        self.mean.copy_(torch.from_numpy(rows.mean(0, dtype=np.float64)))
        self.deviation.copy_(torch.from_numpy(deviation))

    def forward(self, x: Tensor) -> Tensor:
        """(n, columns), or only the first of the columns, to the same shape."""
        given = x.shape[1]
        return (x - self.mean[:given]) / self.deviation[:given]
