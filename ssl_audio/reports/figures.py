"""The figures of a comparison as PNG and SVG."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ssl_audio.io.atomic import write_bytes
from ssl_audio.reports.tables import NAMES

# Okabe and Ito's colours, which people who see colours differently can tell apart, and four more
COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#8B5A2B",
    "#5D3A9B", "#A6A600", "#882255", "#000000",
)  # fmt: skip
Results = Mapping[str, Any]


def save_figures(results: Results, folder: Path) -> list[Path]:
    """Write every figure that the results have data for; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with style():
        figures = {"bootstrap": _bootstrap(results), "tags": _tags(results)}
        if any(system["limited"] for system in results["systems"]):
            figures["limited_data"] = _curves(results, "limited")
        if any(system["few_shot"] for system in results["systems"]):
            figures["few_shot"] = _curves(results, "few_shot")
        for name, figure in figures.items():
            written += [save(figure, folder / f"{name}.{kind}") for kind in ("png", "svg")]
    return written


@contextmanager
def style() -> Iterator[None]:
    """How every figure looks, without a window."""
    import matplotlib

    matplotlib.use("Agg")
    settings: Any = {"svg.hashsalt": "ssl_audio", "font.size": 9, "axes.spines.top": False,
                "axes.spines.right": False}  # fmt: skip
    with matplotlib.rc_context(settings):
        yield


def save(figure: Any, path: Path) -> Path:
    """Write a figure in one step, the same bytes for the same figure."""
    buffer = io.BytesIO()
    metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
    figure.savefig(buffer, format=path.suffix[1:], dpi=200, bbox_inches="tight", metadata=metadata)
    write_bytes(path, buffer.getvalue())
    return path


def _bootstrap(results: Results) -> Any:
    """Figure 1 of the multi-view comparison: a dot a resample, a marker at their mean."""
    from matplotlib.figure import Figure

    systems = results["systems"]
    figure = Figure(figsize=(8, 0.8 + 0.32 * len(systems)))
    for axes, (metric, title) in zip(
        figure.subplots(1, 2, sharey=True), NAMES.items(), strict=True
    ):
        for row, system in enumerate(systems):
            values, colour = system[metric]["resamples"], COLOURS[row % len(COLOURS)]
            defined = [v for v in values if v is not None]
            axes.plot(defined, [row] * len(defined), "o", color=colour, alpha=0.25, ms=4, mew=0)
            if not defined:
                continue
            axes.plot(system[metric]["mean"], row, "D", color=colour, ms=6, mec="white")
        axes.set_xlabel(title)
        axes.set_yticks(range(len(systems)), [system["name"] for system in systems])
        axes.grid(axis="x", alpha=0.3)
    axes.invert_yaxis()
    return figure


def _curves(results: Results, part: str) -> Any:
    """Figure 2 of the multi-view comparison: figures against the share of the labels."""
    from matplotlib.figure import Figure

    key, label = ("fraction", "training labels (%)") if part == "limited" else (
        "shots", "positives a tag")  # fmt: skip
    figure = Figure(figsize=(8, 3.2))
    for axes, (metric, title) in zip(figure.subplots(1, 2), NAMES.items(), strict=True):
        for row, system in enumerate(results["systems"]):
            if not system[part]:
                continue
            x = [p[key] * (100 if key == "fraction" else 1) for p in system[part]]
            draws = [[v for v in p[metric] if v is not None] or [math.nan] for p in system[part]]
            y = [sum(values) / len(values) for values in draws]
            low, high = list(map(min, draws)), list(map(max, draws))
            if key == "fraction":
                whole = system[metric]["test"]
                x, y = [*x, 100], [*y, math.nan if whole is None else whole]
                low, high = [*low, y[-1]], [*high, y[-1]]
            colour = COLOURS[row % len(COLOURS)]
            axes.fill_between(x, low, high, color=colour, alpha=0.12, lw=0)
            axes.plot(x, y, "o-", color=colour, ms=3, lw=1.2, label=system["name"])
        axes.set_xscale("log")
        axes.set_xticks(x, [f"{v:g}" for v in x])
        axes.minorticks_off()
        axes.set_xlabel(label)
        axes.set_ylabel(title)
        axes.grid(alpha=0.3)
    axes.legend(frameon=False, bbox_to_anchor=(1.02, 1), loc="upper left", fontsize=8)
    return figure


def _tags(results: Results) -> Any:
    """Average precision of each tag, of the first system, with the resamples' deviation."""
    from matplotlib.figure import Figure

    system = results["systems"][0]
    tags = [t for t, f in system["per_tag"].items() if f["map"]["mean"] is not None]
    tags.sort(key=lambda tag: system["per_tag"][tag]["map"]["mean"])
    figure = Figure(figsize=(5, 0.8 + 0.18 * len(tags)))
    axes = figure.subplots()
    figures = [system["per_tag"][tag]["map"] for tag in tags]
    axes.barh(
        tags, [f["mean"] for f in figures], xerr=[f["std"] for f in figures], color=COLOURS[0],
        error_kw={"lw": 0.8},
    )  # fmt: skip
    axes.set_xlabel(f"average precision, {system['name']}")
    axes.margins(y=0.01)
    return figure
