"""How each feature goes with each tag: a table, and a picture of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ssl_audio.io.atomic import write_bytes, write_text


def save_correlations(
    correlations: np.ndarray,
    features: Sequence[str],
    tags: Sequence[str],
    tracks: int,
    output: Path,
) -> list[Path]:
    """Write `OUTPUT-tags.csv`, `.png` and `.svg` beside an output.

    Args:
        correlations: (features, tags), -1 to 1, NaN where undefined.
        features, tags: names.
        tracks: that they are of; a correlation beyond 2 / sqrt(tracks) is hardly chance.
        output: whose name they take.

    Returns:
        The files.
    """
    base = output.with_name(f"{output.stem}-tags")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["feature", *tags])
    for name, row in zip(features, correlations, strict=True):
        writer.writerow([name, *("" if np.isnan(v) else f"{v:.4f}" for v in row)])
    table = base.with_suffix(".csv")
    write_text(table, text.getvalue())
    return [table, *_pictures(correlations, features, tags, tracks, base)]


def _pictures(
    correlations: np.ndarray, features: Sequence[str], tags: Sequence[str], tracks: int, base: Path
) -> list[Path]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.5 + 0.28 * len(tags), 1.5 + 0.2 * len(features)))
    axes = figure.subplots()
    shown = axes.imshow(correlations, cmap="RdBu_r", vmin=-0.8, vmax=0.8, aspect="auto")
    axes.set_xticks(range(len(tags)), list(tags), rotation=60, ha="right", fontsize=7)
    axes.set_yticks(range(len(features)), list(features), fontsize=7)
    axes.set_title(f"correlation over {tracks} tracks; beyond {2 / np.sqrt(tracks):.2f} it is "
                   "hardly chance", fontsize=8)  # fmt: skip
    figure.colorbar(shown, ax=axes, fraction=0.03)
    written = []
    for kind in ("png", "svg"):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, dpi=150, bbox_inches="tight")
        write_bytes(base.with_suffix(f".{kind}"), buffer.getvalue())
        written.append(base.with_suffix(f".{kind}"))
    return written
