"""Values that change over a run, as functions of its progress from 0 to 1.

Schedules have no state, so that a resumed run needs its progress alone. A recipe names one by
`_target_`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from ssl_audio.io.errors import SslAudioError

Schedule = Callable[[float], float]


@dataclass(frozen=True)
class Constant:
    """The same value throughout."""

    value: float

    def __call__(self, progress: float) -> float:
        return self.value


@dataclass(frozen=True)
class Linear:
    """Linear from `start` to `end` over the first `until` of the run, then `end`.

    Raises:
        SslAudioError: `until` does not lie in [0, 1].
    """

    start: float
    end: float
    until: float = 1.0

    def __post_init__(self) -> None:
        _check_fraction("until", self.until)

    def __call__(self, progress: float) -> float:
        if progress >= self.until:
            return self.end
        return self.start + (self.end - self.start) * max(0.0, progress) / self.until


@dataclass(frozen=True)
class Cosine:
    """From `start` to `end` along half a cosine."""

    start: float
    end: float

    def __call__(self, progress: float) -> float:
        left = 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, progress))))
        return self.end + (self.start - self.end) * left


@dataclass(frozen=True)
class WarmupCosine:
    """Linear from 0 to 1 over the first `warmup` of the run, then half a cosine to `end`.

    Raises:
        SslAudioError: `warmup` does not lie in [0, 1].
    """

    warmup: float = 0.1
    end: float = 0.0

    def __post_init__(self) -> None:
        _check_fraction("warmup", self.warmup)

    def __call__(self, progress: float) -> float:
        if progress < self.warmup:
            return max(0.0, progress) / self.warmup
        if self.warmup == 1.0:
            return 1.0
        return Cosine(1.0, self.end)((progress - self.warmup) / (1 - self.warmup))


def _check_fraction(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise SslAudioError(f"{name}={value}: a fraction of the run, between 0 and 1")
