"""Estimates with their intervals, of which results consist."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """The paired difference `a` - `b` of two systems in one metric.

    Attributes:
        confidence: level of the interval from `low` to `high`, 0 to 1.
        p: p-value, corrected for multiple tests; None if no test was made.
    """

    a: str
    b: str
    metric: str
    mean: float
    low: float
    high: float
    confidence: float = 0.95
    p: float | None = None

    @property
    def excludes_zero(self) -> bool:
        """True if the confidence interval lies on one side of 0."""
        return self.low > 0 or self.high < 0
