"""What the benchmarks share: interleaved timing, a table of rates and ratios, their command.

Every figure is the median of interleaved repeats, so that a machine that slows down slows all
candidates down.
"""

import json
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch

from ssl_audio.settings.command import Command
from ssl_audio.settings.fields import Group

Candidates = dict[str, Callable[[], object]]


def race(candidates: Candidates, repeats: int) -> dict[str, float]:
    """Median seconds of each candidate; one run of each first, uncounted."""
    for run in candidates.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(repeats):
        for name, run in candidates.items():
            started = time.perf_counter()
            run()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


def table(title: str, seconds: dict[str, float], amount: int, unit: str) -> dict[str, dict]:
    """Print rates and ratios to the first candidate."""
    first = next(iter(seconds.values()))
    print(f"\n{title}")
    rows = {}
    for name, value in seconds.items():
        rows[name] = {"rate": amount / value, "unit": f"{unit}/s", "ratio": first / value}
        print(f"  {name:<44} {amount / value:10.1f} {unit}/s   {first / value:6.2f}x")
    return rows


def aim(ratio: float, minimum: float, what: str) -> None:
    """Print whether a ratio reaches its aim for two CPU cores."""
    verdict = "met" if ratio >= minimum else "MISSED"
    print(f"  aim {minimum:g}x for the {what}: {verdict} ({ratio:.2f}x)")


def benchmark(
    name: str, summary: str, examples: tuple[str, ...], settings: type[Group],
    parts: Mapping[str, Callable[[Any], Any]],
) -> Callable[..., int]:  # fmt: skip
    """The entry point of a benchmark, which returns the exit status.

    The setting `what` names the parts that are measured, none for all; `json`, where there is one,
    is the file of their figures. The status is 1 if the results of a part disagree ("agree").
    """
    command = Command(
        name=name, script=f"python tools/{name}.py", summary=summary,
        usage="[WHAT ...] [KEY=VALUE ...]", examples=examples, settings=settings,
        positional=("what",),
    )  # fmt: skip

    def run(options: Any) -> int:
        print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
        found = {part: parts[part](options) or {} for part in options.what or parts}
        if file := getattr(options, "json", None):
            file.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        return 0 if all(figures.get("agree", True) for figures in found.values()) else 1

    return partial(command.main, run)
