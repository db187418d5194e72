"""The figures of a comparison of playlist models as PNG and SVG."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssl_audio.reports.figures import COLOURS, save, style

Results = Mapping[str, Any]


def save_playlist_figures(results: Results, folder: Path) -> list[Path]:
    """Write every figure that the results have data for; returns the files."""
    import matplotlib

    folder.mkdir(parents=True, exist_ok=True)
    with style(), matplotlib.rc_context({"text.parse_math": False}):  # names may hold a $
        figures = {f"table-{k + 1}": _intervals(t) for k, t in enumerate(results["tables"])}
        for k, (name, history) in enumerate(results["losses"].items(), 1):
            figures[f"losses-{k}-{_file_name(name)}"] = _losses(name, history)
        if results["correlation"]:
            figures["correlation"] = _correlation(results["correlation"])
        return [
            save(figure, folder / f"{name}.{kind}")
            for name, figure in figures.items()
            for kind in ("png", "svg")
        ]


def _file_name(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name.lower()).strip("-")


def _intervals(table: Mapping[str, Any]) -> Any:
    """The table's first column, each system with its interval."""
    from matplotlib.figure import Figure

    column, rows = table["columns"][0], table["rows"]
    figure = Figure(figsize=(6.5, 0.8 + 0.26 * len(rows)))
    axes = figure.subplots()
    for k, row in enumerate(rows):
        found = row["figures"].get(column["key"])
        if found is None:
            continue
        colour = COLOURS[k % len(COLOURS)]
        axes.plot([found["low"], found["high"]], [k, k], color=colour, lw=2)
        axes.plot(found["mean"], k, "D", color=colour, ms=5)
    names = [" ".join(filter(None, (row["system"], row["features"]))) for row in rows]
    axes.set_yticks(range(len(rows)), names)
    axes.invert_yaxis()
    axes.set_xlabel(f"{table['name']}: {column['title']}")
    axes.grid(axis="x", alpha=0.3)
    return figure


def _losses(name: str, history: Mapping[str, Any]) -> Any:
    """Each task's loss by step, a panel each as their scales differ."""
    from matplotlib.figure import Figure

    terms = history["terms"]
    figure = Figure(figsize=(3.0 * len(terms), 2.4), layout="constrained")
    for k, (axes, (term, values)) in enumerate(
        zip(figure.subplots(1, len(terms), squeeze=False)[0], terms.items(), strict=True)
    ):
        axes.plot(history["step"], values, color=COLOURS[k % len(COLOURS)], lw=1)
        axes.set_title(term)
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
    figure.suptitle(name)
    return figure


def _correlation(found: Mapping[str, Any]) -> Any:
    """Figure 1, right, of MUSIG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2, 3.4))
    axes = figure.subplots()
    axes.plot(found["similarity"], found["co_occurrence"], "o", ms=2, mew=0, alpha=0.3,
              color=COLOURS[0])  # fmt: skip
    axes.set_xlabel(found["of"])
    axes.set_ylabel("playlists in common (%)")
    axes.set_title(f"r = {found['r']:+.3f}", fontsize=9)
    axes.grid(alpha=0.3)
    return figure
