"""Draws of numbers with given weights, by inversion of their distribution function."""

import numpy as np

from ssl_audio.io.compiled import compiled


class WeightedNumbers:
    """The numbers 0, 1, ..., each drawn in proportion to its weight.

    A table of as many equal parts of the total as there are numbers gives where the search of a
    part starts ("guide table", Chen and Asau 1974): a draw takes two steps on average, for any
    weights, instead of the logarithm of their number.

    Args:
        weights: (n,) 0 or more, one of them above 0.
    """

    def __init__(self, weights: np.ndarray) -> None:
        self.ends = np.cumsum(weights, dtype=np.float64)
        self.scale = len(weights) / self.ends[-1]
        starts = np.arange(len(weights) + 1) / self.scale
        self.guide = np.searchsorted(self.ends, starts, side="right")

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Numbers of a shape, int64."""
        drawn = rng.random(shape) * self.ends[-1]
        return _find(self.ends, self.guide, self.scale, drawn.ravel()).reshape(shape)


@compiled()
def _find(  # type: ignore[no-untyped-def]
    ends, guide, scale, values
):
    """(n,) of each value, the first number whose end is above it."""
    found = np.empty(len(values), np.int64)
    for k in range(len(values)):
        number = guide[int(values[k] * scale)]
        while number > 0 and ends[number - 1] > values[k]:  # by rounding of the product
            number -= 1
        while ends[number] <= values[k] and number < len(ends) - 1:
            number += 1
        found[k] = number
    return found
