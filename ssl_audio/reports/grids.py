"""Grids of cells as text, Markdown and LaTeX, and the one formatter of numbers."""

import math
import re
from dataclasses import dataclass

from ssl_audio.reports.estimates import Difference, Interval

_LATEX = str.maketrans(
    {c: f"\\{c}" for c in "_%&#${}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
)


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        mark: "best": the best value of its column; "sure" or "unsure": a difference whose interval
            excludes or includes 0; or "".
        series: number of the series whose colour is shown beside the text.
    """

    text: str
    mark: str = ""
    series: int | None = None


@dataclass(frozen=True)
class Grid:
    """A table of cells."""

    title: str
    caption: str
    header: tuple[str, ...]
    rows: list[list[Cell]]


def number(value: float, digits: int = 3, sign: bool = False) -> str:
    """A number with `digits` decimals; a dash for NaN."""
    if math.isnan(value):
        return "–"
    return f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"


def reach_text(one: Interval) -> str:
    """`0.861 ±0.004`: a mean and half the width of its interval."""
    return f"{number(one.mean)} ±{number((one.high - one.low) / 2)}"


def difference_text(one: Difference, digits: int = 3) -> str:
    """`+0.030 [+0.010, +0.050], p = 0.012`."""
    if math.isnan(one.mean):
        return "–"
    mean, low, high = (number(v, digits, sign=True) for v in (one.mean, one.low, one.high))
    p = "" if one.p is None else ", p < 0.001" if one.p < 0.001 else f", p = {one.p:.3f}"
    return f"{mean} [{low}, {high}]{p}"


def grid_text(grid: Grid) -> str:
    """A table in columns."""
    rows = [list(grid.header), *([cell.text for cell in row] for row in grid.rows)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(grid.header))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def grid_markdown(grid: Grid) -> str:
    """A table in Markdown; the best values and the differences from 0 are bold."""
    rows = [list(grid.header), ["---"] * len(grid.header)]
    rows += [[_markdown_cell(cell) for cell in row] for row in grid.rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _markdown_cell(cell: Cell) -> str:
    text = cell.text.replace("|", "\\|")
    return f"**{text}**" if cell.mark in ("best", "sure") else text


def grid_latex(grid: Grid) -> str:
    """A table for a paper (booktabs)."""
    columns = "ll" + "c" * (len(grid.header) - 2)
    rows = [[_latex_cell(cell.text) for cell in row] for row in grid.rows]
    lines = [" & ".join(row) + r" \\" for row in [[*map(_escaped, grid.header)], *rows]]
    return "\n".join(
        [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", lines[0], r"\midrule", *lines[1:],
         r"\bottomrule", r"\end{tabular}", ""]
    )  # fmt: skip


def _latex_cell(text: str) -> str:
    if text == "–":
        return "--"
    if re.fullmatch(r"[-+]?\d+\.\d+( ± ?\d+\.\d+)?", text):
        return "$" + re.sub(" ± ?", r" \\pm ", text) + "$"
    return _escaped(text)


def _escaped(text: str) -> str:
    return text.translate(_LATEX)
