"""Estimates with their intervals, of which results consist."""

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


@dataclass(frozen=True)
class Cost:
    """What an encoder takes.

    Attributes:
        parameters: of its network; None if it has none.
        operations: multiply-accumulates for a second of audio; None if they cannot be counted.
        tracks_per_second: decoded tracks of 30 s that are embedded in a second.
    """

    parameters: int | None
    operations: float | None
    tracks_per_second: float


@dataclass(frozen=True)
class Retrieval:
    """How well the nearest tracks are of the same artist, group or track.

    Attributes:
        of: "artist", "group", or "track": one half of a track among the other halves of all.
        queries: tracks with a relevant one among the others.
        map: mean average precision over the queries.
        hit: share of queries whose nearest track is relevant.
    """

    of: str
    queries: int
    map: Interval
    hit: Interval
