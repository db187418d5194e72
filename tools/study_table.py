"""Tables and the figure of scale of a study."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from study_estimates import CONFIDENCE, Estimate, Estimates, estimate
from study_file import Study
from study_results import Finished, read_all

from ssl_audio.io.atomic import write_text
from ssl_audio.io.console import say
from ssl_audio.io.errors import SslAudioError
from ssl_audio.reports.drawing import style, write_figure
from ssl_audio.reports.figures import AXES, Curve, scaling
from ssl_audio.reports.grids import (
    Cell,
    Grid,
    difference_text,
    grid_markdown,
    grid_text,
    reach_text,
)
from ssl_audio.reports.tables import METRICS

SIGNIFICANT = 0.05  # p-values below are bold
Rows = Mapping[str, Sequence[Finished]]


def write_tables(study: Study, results: Path, resamples: int, seed: int) -> None:
    """Print a table for each labelled set, and write them in Markdown beside the results.

    Raises:
        SslAudioError: the reference has no finished run, or a file is damaged.
    """
    rows = read_all(study, results)
    found = estimate(rows, study.reference, resamples, seed)
    grids = [_grid(name, study.reference, rows, found, resamples) for name in found]
    print(
        "\n\n".join(f"{one.title}\n{grid_text(one)}" for one in grids) + f"\n\n{grids[0].caption}"
    )
    sections = [f"## {one.title}\n\n{grid_markdown(one)}" for one in grids]
    text = "\n\n".join([f"# {study.title}", *sections, grids[0].caption]) + "\n"
    write_text(results / "table.md", text)
    say(f"written: {results / 'table.md'}")


def _grid(
    name: str, reference: str, rows: Rows, found: Estimates, resamples: int
) -> Grid:  # fmt: skip
    header = ["row", "seeds", "training"]
    for title in METRICS.values():
        header += [title, "difference"]
    cells = [
        [Cell(row), Cell(str(len(runs))), Cell(_minutes(runs)),
         *(cell for metric in METRICS for cell in _cells(found[name][metric][row]))]
        for row, runs in rows.items()
    ]  # fmt: skip
    tests = sum(one.difference is not None for by in found.values() for m in by.values()
                for one in m.values())  # fmt: skip
    tracks = len(next(iter(rows.values()))[0].probes[name].ids)
    caption = (
        f"Means over the seeds, and differences to {reference}; ± is half of the "
        f"{CONFIDENCE:.0%} interval, and brackets are an interval, over seeds, artists and tracks "
        f"({resamples} resamples). p-values by Holm's correction of {tests} tests; bold: below "
        f"{SIGNIFICANT:g}. A row of one seed has no variance of training."
    )
    return Grid(f"{name}: {tracks} tracks", caption, tuple(header), cells)


def _cells(one: Estimate) -> tuple[Cell, Cell]:
    value = Cell(reach_text(one.value))
    if one.difference is None:
        return value, Cell("reference")
    sure = one.difference.p is not None and one.difference.p < SIGNIFICANT
    return value, Cell(difference_text(one.difference), "sure" if sure else "unsure")


def _minutes(runs: Sequence[Finished]) -> str:
    return f"{fmean(one.seconds['training'] for one in runs) / 60:.0f} min"


def write_figures(study: Study, results: Path, resamples: int, seed: int) -> None:
    """Draw mAP by hours and by steps, for each labelled set, as SVG and PNG beside the results.

    Raises:
        SslAudioError: no two rows differ in their hours or their steps alone.
    """
    rows = read_all(study, results)
    found = estimate(rows, study.reference, resamples, seed)
    written = []
    for name, by_metric in found.items():
        for axis, label in (("hours", "hours of audio"), ("steps", "training steps")):
            panels = _panels(axis, rows, by_metric["map"])
            if panels:
                stem = f"figure-{name}-{axis}"
                with style():
                    write_figure(results / stem, scaling(panels, label, AXES["map"]))
                written.append(stem)
    if not written:
        raise SslAudioError("no two finished rows differ in their hours or their steps alone")
    say("\n".join(f"written: {results / stem}.svg, {stem}.png" for stem in written))


def _panels(axis: str, rows: Rows, found: Mapping[str, Estimate]) -> dict[str, list[Curve]]:
    """Curves of two points or more, of rows that differ along an axis alone, by recipe."""
    lines: dict[str, dict[str, dict[float, Estimate]]] = {}
    for row, runs in rows.items():
        made = runs[0].pretrain
        hours, steps = f"{made.data.hours:.2g} h", f"{made.steps:,} steps"
        x, name = (made.data.hours, steps) if axis == "hours" else (float(made.steps), hours)
        lines.setdefault(made.recipe, {}).setdefault(name, {})[x] = found[row]
    panels = {
        recipe: [
            Curve(name, tuple((x, points[x].value) for x in sorted(points)))
            for name, points in curves.items()
            if len(points) > 1
        ]
        for recipe, curves in lines.items()
    }
    return {recipe: curves for recipe, curves in panels.items() if curves}
