"""What the benchmarks share: interleaved timing, a table of rates and ratios, and their aims.

Every figure is the median of interleaved repeats, so that a machine that slows down slows all
candidates down.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import torch

Settings = TypeVar("Settings")
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


def measure(
    parts: Mapping[str, Callable[[Settings], dict]],
    settings: Settings,
    what: Sequence[str],
    json_file: Path | None,
) -> dict[str, dict]:
    """Run the parts of a benchmark that `what` names, or all; write the figures as JSON."""
    found = {name: parts[name](settings) for name in what or parts}
    if json_file:
        json_file.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return found
