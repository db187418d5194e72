"""How long a run trains: its steps and batch, from the hours of audio, the device and the settings.

`schedule=auto` leaves `trainer.max_steps` and `data.batch_size` open, and this module chooses them.
All constants of the rule are here, so that a study of scale can replace them in one place.
"""

import math
from dataclasses import dataclass
from typing import Literal

from ssl_audio.io.errors import SslAudioError

UNLIMITED = 1_000_000_000  # steps of a run that ends by its time alone


@dataclass(frozen=True)
class Rule:
    """How often a device trains on the same audio, and in which batches.

    The pairs of a run have `passes` times as many seconds as the audio. Passes fall with a power of
    the hours, since more audio is more varied: for P passes at H hours,
    P = passes * (hours / 24) ** -decay, and the number of steps grows as hours ** (1 - decay).

    Attributes:
        batch_size: pairs, over all processes; fewer where the tracks have fewer.
        passes: at 24 hours of audio.
        decay: 0 is the same number of passes for any audio, 1 the same number of steps.
        min_steps, max_steps: limits of the result.
        pairs_per_second: pairs of 4 s that one core or one GPU trains on per second with the
            default backbone; None where it was not measured.
    """

    batch_size: int
    passes: float
    decay: float
    min_steps: int
    max_steps: int
    pairs_per_second: float | None


CPU = Rule(batch_size=64, passes=23.7, decay=0.18, min_steps=150, max_steps=20_000,
           pairs_per_second=52.0)  # fmt: skip
GPU = Rule(batch_size=256, passes=380.0, decay=0.18, min_steps=150, max_steps=200_000,
           pairs_per_second=None)  # fmt: skip
REFERENCE_HOURS = 24.0
REFERENCE_SEGMENT = 4.0  # seconds
MAX_CORES = 16  # further ones do not make a step faster


@dataclass(frozen=True)
class Machine:
    """What a run trains on: the kind of device, their number (cores or GPUs), and processes."""

    kind: Literal["cpu", "gpu"]
    count: int
    processes: int = 1

    def __str__(self) -> str:
        name = "core" if self.kind == "cpu" else "GPU"
        return f"{self.count} {name}{'s' if self.count > 1 else ''}"


@dataclass(frozen=True)
class Audio:
    """What a run trains on.

    Attributes:
        hours, tracks: of the corpus.
        seconds_per_pair: seconds of a pair with its further crops.
        pairs_per_track: pairs of a track in a batch.
        trial: a corpus for trying the program: the shortest run.
    """

    hours: float
    tracks: int
    seconds_per_pair: float = 2 * REFERENCE_SEGMENT
    pairs_per_track: int = 1
    trial: bool = False


@dataclass(frozen=True)
class Budget:
    """The length of a run.

    Attributes:
        steps: limit of optimiser steps; None: the time is the only limit.
        batch_size: pairs in a step, over all processes.
        max_seconds: limit of the training time over all parts of a resumed run; None: no limit.
        pairs_per_second: expected speed; None where it is unknown.
    """

    steps: int | None
    batch_size: int
    max_seconds: float | None = None
    pairs_per_second: float | None = None

    @property
    def step_limit(self) -> int:
        return UNLIMITED if self.steps is None else self.steps

    def describe(self, audio: Audio, machine: Machine) -> str:
        """One line: "24.0 h, 2 cores: 4,000 steps of 64, about 40 min"."""
        limits = [] if self.steps is None else [f"{self.steps:,} steps of {self.batch_size}"]
        if self.max_seconds is not None:
            open_end = "" if limits else f", steps of {self.batch_size}"
            limits.append(f"{duration(self.max_seconds)}{open_end}")
        length = " or ".join(limits) + (", whichever ends first" if len(limits) > 1 else "")
        if self.max_seconds is None and self.steps is not None and self.pairs_per_second:
            seconds = self.steps * self.batch_size / self.pairs_per_second
            length += f", about {duration(seconds)}"
        return f"{audio.hours:.1f} h, {machine}: {length}"

    def check_unfinished(self, steps: int, seconds: float) -> None:
        """Refuse to resume a run that has used up its budget of steps or seconds.

        Raises:
            SslAudioError: names the limit to raise.
        """
        if steps >= self.step_limit:
            raise SslAudioError(
                f"this run has finished {steps} of {self.steps} steps; raise trainer.max_steps= to "
                "train further"
            )
        if self.max_seconds is not None and seconds >= self.max_seconds:
            raise SslAudioError(
                f"this run has used {duration(seconds)} of {duration(self.max_seconds)}; raise "
                "trainer.max_time= to train further"
            )


def plan(
    audio: Audio, machine: Machine, max_steps: int | None = None, batch_size: int | None = None,
    max_seconds: float | None = None, known_speed: bool = True,
) -> Budget:  # fmt: skip
    """The budget of a run.

    Args:
        audio: to train on.
        machine: to train with.
        max_steps, batch_size: given values, which the rule does not change; None: by the rule. With
            `max_seconds` and no `max_steps`, the time alone ends the run.
        max_seconds: limit of the training time.
        known_speed: False for a network whose speed is not known.
    """
    rule = CPU if machine.kind == "cpu" else GPU
    if batch_size is None:
        most = audio.tracks * audio.pairs_per_track
        size = min(CPU.batch_size if audio.trial else rule.batch_size, most)
        unit = math.lcm(machine.processes, audio.pairs_per_track)
        batch_size = max(unit, size - size % unit)
    if max_steps is None and max_seconds is None:
        max_steps = rule.min_steps if audio.trial else _steps(rule, audio, batch_size)
    speed = rule.pairs_per_second if known_speed else None
    if speed is not None:
        speed *= min(machine.count, MAX_CORES) * 2 * REFERENCE_SEGMENT / audio.seconds_per_pair
    return Budget(max_steps, batch_size, max_seconds, speed)


def _steps(rule: Rule, audio: Audio, batch_size: int) -> int:
    """The rule's steps, in two digits."""
    pairs_per_pass = REFERENCE_HOURS * 3600 / audio.seconds_per_pair
    growth = (audio.hours / REFERENCE_HOURS) ** (1 - rule.decay)  # hours times passes
    steps = rule.passes * pairs_per_pass * growth / batch_size
    return int(min(rule.max_steps, max(rule.min_steps, float(f"{steps:.1e}"))))


def seconds_of(max_time: str) -> int:
    """Seconds of DD:HH:MM:SS."""
    days, hours, minutes, seconds = map(int, max_time.split(":"))
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def duration(seconds: float) -> str:
    """A time in words, such as "35 min", "8 h" or "1 h 20 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    parts = [f"{hours} h"] if hours else []
    return " ".join([*parts, *([f"{minutes} min"] if minutes or not hours else [])])
