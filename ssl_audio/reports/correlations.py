"""Correlation of each feature with each tag, as a table and as a figure."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ssl_audio.io.atomic import write_text
from ssl_audio.io.csv_file import CsvWriter
from ssl_audio.reports import drawing


def save_correlations(
    correlations: np.ndarray, features: Sequence[str], tags: Sequence[str], tracks: int,
    output: Path,
) -> list[Path]:  # fmt: skip
    """Write `NAME-tags.csv`, `.png` and `.svg` beside `NAME.parquet`; returns the files.

    Args:
        correlations: (features, tags), -1 to 1, NaN where undefined.
        tracks: number of tracks they were computed over.
        output: the feature store.
    """
    from matplotlib.figure import Figure

    table = io.StringIO()
    writer = CsvWriter(table)
    writer.row(["feature", *tags])
    for name, row in zip(features, correlations, strict=True):
        writer.row([name, *("" if np.isnan(v) else f"{v:.4f}" for v in row)])
    base = output.with_name(f"{output.stem}-tags")
    write_text(Path(f"{base}.csv"), table.getvalue())
    with drawing.style():
        figure = Figure(figsize=(2.5 + 0.28 * len(tags), 1.5 + 0.2 * len(features)))
        axes = figure.subplots()
        image = axes.imshow(correlations, cmap="RdBu_r", vmin=-0.8, vmax=0.8, aspect="auto")
        axes.set_xticks(range(len(tags)), list(tags), rotation=60, ha="right")
        axes.set_yticks(range(len(features)), list(features))
        chance = f"|r| > {2 / np.sqrt(tracks):.2f} is unlikely to be chance"
        axes.set_title(f"Pearson correlation r over {tracks} tracks; {chance}")
        figure.colorbar(image, ax=axes, fraction=0.03)
        return [Path(f"{base}.csv"), *drawing.write_figure(base, figure)[1]]
