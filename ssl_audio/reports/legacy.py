"""Results of rooms that still produce dictionaries, as dataclasses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssl_audio.io.run_folder import RESULTS
from ssl_audio.reports.plain import from_plain, to_plain
from ssl_audio.reports.results import PlaylistResults, ProbeResults, read_results


def typed(results: Any) -> Any:
    """Results as dataclasses; those that are already stay as they are."""
    if not isinstance(results, Mapping):
        return results
    values = {k: v for k, v in to_plain(results).items() if k not in ("kind", "format")}
    if results["kind"] == "playlists":
        return from_plain(PlaylistResults, values)
    old = values["protocol"]
    values["protocol"] = {
        "probe": old["probe"]["kind"], "train_on": old["train_on"], "hop": old.get("hop"),
        "knn": old.get("knn"), "resamples": old["bootstrap"]["resamples"],
        "fraction": old["bootstrap"]["fraction"],
        "confidence": old["bootstrap"].get("confidence", 0.95),
    }  # fmt: skip
    return from_plain(ProbeResults, values)


def read_any(path: Path) -> Any:
    """`read_results`, of format 1 as well."""
    file = path / RESULTS if path.is_dir() else path
    try:
        values = json.loads(file.read_text())
        if values["format"] == 1:
            return typed(values)
    except (KeyError, TypeError, ValueError, OSError):
        pass
    return read_results(path)
