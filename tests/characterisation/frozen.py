"""Figures that must not change: `figures.json` and `arrays.npz`, written when asked to record."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).resolve().parent
FIGURES, ARRAYS = FOLDER / "figures.json", FOLDER / "arrays.npz"
RECORD = os.environ.get("RECORD_CHARACTERISATION") == "1"


def check(name: str, value: Any, rel: float = 0.0, abs: float = 0.0) -> None:
    """Compare a tree of dicts, lists, numbers and strings with the stored one.

    Args:
        name: of the entry in `figures.json`.
        value: floats are compared within the tolerances, everything else exactly.
        rel, abs: a float may differ by `abs + rel * |stored|`.
    """
    value = json.loads(json.dumps(value))
    stored = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    if RECORD:
        stored[name] = _rounded(value)
        lines = (f"{json.dumps(key)}: {json.dumps(stored[key])}" for key in sorted(stored))
        FIGURES.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    wrong = list(_differences(name, value, stored[name], rel, abs))
    assert not wrong, f"{len(wrong)} figures differ:\n" + "\n".join(wrong[:20])


def check_array(name: str, value: np.ndarray, tolerance: float) -> None:
    """Compare an array with the stored one.

    Args:
        name: of the entry in `arrays.npz`.
        value: same shape and type as the stored one.
        tolerance: greatest difference, as a fraction of the largest stored absolute value.
    """
    stored = dict(np.load(ARRAYS)) if ARRAYS.exists() else {}
    if RECORD:
        stored[name] = value
        np.savez_compressed(ARRAYS, **stored)
    expected = stored[name]
    assert value.shape == expected.shape and value.dtype == expected.dtype, name
    difference = np.abs(value - expected).max() / np.abs(expected).max()
    assert difference <= tolerance, f"{name}: differs by {difference:.2g} of the largest value"


def _rounded(value: Any) -> Any:
    """To nine significant digits."""
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return float(f"{value:.9g}") if isinstance(value, float) else value


def _differences(name: str, value: Any, stored: Any, rel: float, abs_: float) -> Any:
    if isinstance(stored, dict) and isinstance(value, dict):
        if value.keys() != stored.keys():
            yield f"{name}: other keys: {sorted(value.keys() ^ stored.keys())[:10]}"
        for key in stored.keys() & value.keys():
            yield from _differences(f"{name}/{key}", value[key], stored[key], rel, abs_)
    elif isinstance(stored, list) and isinstance(value, list) and len(value) == len(stored):
        for index, (one, other) in enumerate(zip(value, stored, strict=True)):
            yield from _differences(f"{name}/{index}", one, other, rel, abs_)
    elif isinstance(stored, float) and isinstance(value, float):
        if not abs(value - stored) <= abs_ + rel * abs(stored):
            yield f"{name}: {value!r}, stored {stored!r}"
    elif value != stored:
        yield f"{name}: {value!r}, stored {stored!r}"
