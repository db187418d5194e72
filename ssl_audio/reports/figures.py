"""Figures of probe and playlist results: by group, then by label (such as the system)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ssl_audio.reports.drawing import INK, PAPER, SOFT, colour, describe, marker
from ssl_audio.reports.grids import difference_text, number
from ssl_audio.reports.results import (
    CoOccurrence,
    Difference,
    FractionDraws,
    Interval,
    LossHistory,
    PlaylistResults,
    ProbeResults,
    ShotDraws,
    SystemResults,
    Table,
)
from ssl_audio.reports.tables import CHANGES, METRICS, metric_titles, pairs_of, probe_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW = 0.22  # height of a row of labels, inches
AXES = {"roc_auc": "ROC-AUC, mean over tags", "map": "mean average precision (mAP)"}
Figures = dict[str, dict[str, "Figure"]]


def probe_figures(results: ProbeResults) -> Figures:
    """Resamples, differences, limited data, few shots, tags by system, and calibration."""
    systems = results.systems
    found: Figures = {"bootstrap": {"": _intervals(_resamples(results))}}
    if results.differences:
        found["differences"] = {"": _differences(results.differences, probe_metrics(results))}
    if any(one.limited for one in systems):
        found["limited_data"] = {"": _subsets(systems, "limited", "training labels, %")}
    if any(one.few_shot for one in systems):
        found["few_shot"] = {"": _subsets(systems, "few_shot", "positives per tag")}
    if systems[0].robustness:
        found["robustness"] = {
            change: _robustness(results, change)
            for change in dict.fromkeys(one.change for one in systems[0].robustness)
        }
    found["tags"] = {one.name: _tags(one, k) for k, one in enumerate(systems)}
    if any(one.calibration for one in systems):
        found["calibration"] = {"": _calibration(systems)}
    return found


def playlist_figures(results: PlaylistResults) -> Figures:
    """Intervals and differences of each table, losses by system, and co-occurrence."""
    found: Figures = {}
    for k, table in enumerate(results.tables, 1):
        found[f"table-{k}"] = {"": _table(table)}
        if table.differences:
            titles = metric_titles(table)
            found[f"differences-{k}"] = {"": _differences(table.differences, titles)}
    if results.losses:
        found["losses"] = {name: _losses(one) for name, one in results.losses.items()}
    if results.correlation:
        found["correlation"] = {"": _co_occurrence(results.correlation)}
    return found


# --- means with intervals ------------------------------------------------------------------------


@dataclass(frozen=True)
class _Estimate:
    """A row of a panel: a mean, error bars from `low` to `high`, and dots of the sample."""

    label: str
    mean: float
    low: float
    high: float
    text: str
    series: int = 0
    dots: Sequence[float] = ()


def _intervals(panels: dict[str, list[_Estimate]], zero: bool = False) -> Figure:
    """One panel per axis title; all panels have the same rows. `zero` draws a line at 0."""
    rows = next(iter(panels.values()))
    height = 0.6 + ROW * len(rows)
    figure, all_axes = _figure(4 * max(len(panels), 1.4), height, len(panels))
    for axes, (title, estimates) in zip(all_axes, panels.items(), strict=True):
        if zero:
            axes.axvline(0, color=SOFT, lw=1, ls="--")
        for y, one in enumerate(estimates):
            _estimate(axes, y, one)
        axes.set_xlabel(_short(title, 48))
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_yticks(range(len(rows)), [""] * len(rows))
        axes.grid(axis="x")
    all_axes[0].set_yticks(range(len(rows)), [_short(one.label, 60) for one in rows])
    return figure


def _estimate(axes: Axes, y: int, one: _Estimate) -> None:
    shade = colour(one.series)
    dots = [v for v in one.dots if not math.isnan(v)]
    axes.plot(dots, [y] * len(dots), "o", color=shade, alpha=0.25, ms=4, mew=0)
    if math.isnan(one.mean):
        return
    _bar(axes, [one.low, one.high], [y, y], shade)
    _point(axes, one.mean, y, one.series, f"{one.label}: {one.text}")


def _resamples(results: ProbeResults) -> dict[str, list[_Estimate]]:
    """Figure 1 of the multi-view comparison: the metrics on each resample, mean and deviation."""
    panels = {}
    for metric, title in probe_metrics(results).items():
        panels[AXES.get(metric, title)] = [
            _Estimate(
                one.name, f.mean, f.mean - f.std, f.mean + f.std,
                f"{number(f.mean)} ± {number(f.std)}, whole test set {number(f.test)}", k,
                f.resamples,
            )
            for k, one in enumerate(results.systems) for f in [one.metric(metric)]
        ]  # fmt: skip
    return panels


def _differences(differences: Sequence[Difference], titles: dict[str, str]) -> Figure:
    """Paired differences with their confidence intervals, one panel per metric."""
    pairs = pairs_of(differences)
    panels = {
        f"difference in {titles[metric]}": [
            _Estimate(f"{a} − {b}", one.mean, one.low, one.high, difference_text(one))
            if (one := found.get(metric))
            else _Estimate(f"{a} − {b}", math.nan, math.nan, math.nan, "")
            for (a, b), found in pairs.items()
        ]
        for metric in dict.fromkeys(one.metric for one in differences)
    }
    return _intervals(panels, zero=True)


def _table(table: Table) -> Figure:
    """The metrics whose differences are tested, or else the first metric of the table."""
    tested = dict.fromkeys(one.metric for one in table.differences) or [table.columns[0].key]
    titles = {column.key: column.words or column.title for column in table.columns}
    panels: dict[str, list[_Estimate]] = {}
    for metric in tested:
        rows = panels[titles[metric]] = []
        for k, row in enumerate(table.rows):
            label, found = f"{row.system} {row.features}".strip(), row.figures.get(metric)
            low, mean, high = (found.low, found.mean, found.high) if found else [math.nan] * 3
            text = f"{number(mean)}, 95 % interval {number(low)} to {number(high)}"
            rows.append(_Estimate(label, mean, low, high, text, k))
    return _intervals(panels)


# --- curves --------------------------------------------------------------------------------------


def _subsets(systems: Sequence[SystemResults], part: str, label: str) -> Figure:
    """Figure 2 of the multi-view comparison: metrics by size of the training subset, log axis.

    Means of the draws, with bars from the lowest to the highest; `part` is limited or few_shot.
    """
    names = {k: one.name for k, one in enumerate(systems) if getattr(one, part)}
    sizes = sorted({_size(draws) for one in systems for draws in getattr(one, part)})
    ticks = sizes if part == "few_shot" else [*sizes, 100.0]
    figure, all_axes = _figure(8.4, 3.4, 2, sharey=False)
    for axes, metric in zip(all_axes, METRICS, strict=True):
        for k in names:
            line = [(_size(d), getattr(d, metric)) for d in getattr(systems[k], part)]
            if part == "limited":
                line.append((100.0, (getattr(systems[k], metric).test,)))
            # points are moved aside, so that error bars do not hide each other
            _curve(axes, k, names[k], line, 1.03 ** (k - len(systems) / 2))
        axes.set_xscale("log")
        axes.set_xlim(ticks[0] / 1.3, ticks[-1] * 1.3)
        axes.set_xticks(ticks, [f"{x:g}" for x in ticks])
        axes.minorticks_off()
        axes.set(xlabel=label, ylabel=AXES[metric])
        axes.grid()
    _legend(all_axes[-1], names)
    return figure


def _size(draws: FractionDraws | ShotDraws) -> float:
    return 100 * draws.fraction if isinstance(draws, FractionDraws) else float(draws.shots)


def _curve(
    axes: Axes, k: int, name: str, line: Sequence[tuple[float, Sequence[float]]], shift: float
) -> None:
    defined = [(x * shift, [v for v in values if not math.isnan(v)]) for x, values in line]
    points = [(x, sum(v) / len(v), min(v), max(v), len(v)) for x, v in defined if v]
    axes.plot([p[0] for p in points], [p[1] for p in points], color=colour(k), lw=1.3)
    for x, mean, low, high, draws in points:
        _bar(axes, [x, x], [low, high], colour(k))
        text = f", {draws} draws from {number(low)} to {number(high)}" if draws > 1 else ""
        _point(axes, x, mean, k, f"{name}: {number(mean)}{text}")


@dataclass(frozen=True)
class Curve:
    """A metric by the size of something, with its intervals."""

    name: str
    points: tuple[tuple[float, Interval], ...]


def scaling(
    panels: Mapping[str, Sequence[Curve]], size: str, metric: str = "", common: bool = True
) -> Figure:
    """Curves by size, on a log axis: one panel per title.

    Args:
        panels: curves by the panel's title; those of one name have one colour.
        size: label of the log axis.
        metric: label of the other axis.
        common: the panels have one axis of the metric; else each has its own.
    """
    names = list(dict.fromkeys(one.name for curves in panels.values() for one in curves))
    sizes = sorted({x for curves in panels.values() for one in curves for x, _ in one.points})
    figure, all_axes = _figure(4.2 * len(panels), 3.4, len(panels), sharey=common)
    for axes, (title, curves) in zip(all_axes, panels.items(), strict=True):
        for curve in curves:
            k = names.index(curve.name)
            # points are moved aside, so that error bars do not hide each other
            points = [(x * 1.02 ** (k - len(names) / 2), one) for x, one in curve.points]
            axes.plot([x for x, _ in points], [y.mean for _, y in points], color=colour(k), lw=1.3)
            for x, one in points:
                _bar(axes, [x, x], [one.low, one.high], colour(k))
                text = f"{number(one.mean)} [{number(one.low)}, {number(one.high)}]"
                _point(axes, x, one.mean, k, f"{curve.name}: {text}")
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{x:.3g}" for x in sizes])
        axes.minorticks_off()
        axes.set(xlabel=size, title=title)
        axes.grid()
    all_axes[0].set_ylabel(metric)
    _legend(all_axes[-1], dict(enumerate(names)))
    return figure


def _robustness(results: ProbeResults, change: str) -> Figure:
    """The two first metrics by the strength of a change, and dashed without the change."""
    titles = dict(list(probe_metrics(results).items())[:2])
    figure, all_axes = _figure(8.4, 3.4, 2, sharey=False)
    for axes, (metric, title) in zip(all_axes, titles.items(), strict=True):
        for k, system in enumerate(results.systems):
            axes.axhline(system.metric(metric).mean, color=colour(k), lw=1, ls="--")
            points = [(o.strength, o.metrics[metric]) for o in system.robustness
                      if o.change == change]  # fmt: skip
            points.sort(key=lambda point: point[0])
            axes.plot([x for x, _ in points], [v.mean for _, v in points], color=colour(k), lw=1.3)
            for x, value in points:
                low, high = value.mean - value.std, value.mean + value.std
                _bar(axes, [x, x], [low, high], colour(k))
                text = f"{number(value.mean)} ± {number(value.std)}"
                _point(axes, x, value.mean, k, f"{system.name}, {change} {x:g}: {text}")
        axes.set(xlabel=CHANGES[change], ylabel=AXES.get(metric, title))
        axes.grid()
    _legend(all_axes[-1], {k: one.name for k, one in enumerate(results.systems)})
    return figure


def _losses(history: LossHistory) -> Figure:
    """One panel per term, since their scales differ."""
    terms = history.terms
    figure, all_axes = _figure(3.4 * len(terms), 2.4, len(terms), sharey=False)
    for k, (axes, (term, values)) in enumerate(zip(all_axes, terms.items(), strict=True)):
        axes.plot(history.step, values, color=colour(k), lw=1.2)
        text = f"{term} at step {history.step[-1]}: {number(values[-1], 4)}"
        _point(axes, history.step[-1], values[-1], k, text)
        axes.set(xlabel="training step", ylabel=f"loss: {_short(term, 40)}")
        axes.grid()
    return figure


# --- tags, calibration, co-occurrence ------------------------------------------------------------


def _tags(system: SystemResults, series: int) -> Figure:
    """Both metrics of every tag."""
    tags, _ = tag_orders(system)
    found = [system.per_tag[tag] for tag in tags]
    height = 0.8 + ROW * len(tags)
    figure, all_axes = _figure(7.2, height, 2)
    figure.subplots_adjust(top=1 - 0.3 / height, bottom=0.5 / height, wspace=0.12)
    for axes, (metric, title) in zip(all_axes, METRICS.items(), strict=True):
        values = [getattr(one, metric) for one in found]
        bars = axes.barh(range(len(tags)), [v.mean for v in values], 0.7, color=colour(series))
        for row, (bar, value) in enumerate(zip(bars, values, strict=True)):
            if math.isnan(value.mean):
                continue
            text = f"{tags[row]}: {title} {number(value.mean)} ± {number(value.std)}"
            describe(bar, f"{text}, {found[row].positives} positives", row)
            low, high = max(0, value.mean - value.std), min(1, value.mean + value.std)
            describe(_bar(axes, [low, high], [row, row], INK), row=row)
        axes.set(xlim=(0, 1), ylim=(len(tags) - 0.5, -0.5), yticks=[])
        label = {"roc_auc": "ROC-AUC", "map": "average precision"}[metric]
        axes.set(xlabel=label, title=label)  # the chart is higher than a screen
        axes.grid(axis="x")
    for row, (tag, one) in enumerate(zip(tags, found, strict=True)):
        name = all_axes[0].text(-0.03, row, _short(tag, 40), va="center", ha="right")
        count = all_axes[1].text(1.04, row, f"{one.positives} positives", va="center", color=SOFT)
        describe(name, tag, row)
        describe(count, row=row)
    return figure


def tag_orders(system: SystemResults) -> tuple[list[str], dict[str, list[int]]]:
    """Tags by falling average precision; and for each order, the position of each of these tags."""
    by = system.per_tag
    names = sorted(by)
    rows = sorted(names, key=lambda t: (math.isnan(by[t].map.mean), -by[t].map.mean))
    orders = {
        "score": rows, "frequency": sorted(names, key=lambda t: -by[t].positives), "name": names
    }  # fmt: skip
    return rows, {name: [order.index(tag) for tag in rows] for name, order in orders.items()}


def _calibration(systems: Sequence[SystemResults]) -> Figure:
    """Frequency of positives by predicted probability, with the expected calibration error."""
    figure, (axes,) = _figure(4.6, 4.2, 1)
    axes.plot([0, 1], [0, 1], color=SOFT, lw=1, ls="--")
    names = {}
    for k, system in enumerate(systems):
        if not system.calibration:
            continue
        names[k] = f"{system.name} (ECE {number(system.calibration.ece)})"
        bins = system.calibration.bins
        x, y = [one.confidence for one in bins], [one.frequency for one in bins]
        axes.plot(x, y, color=colour(k), lw=1.3)
        for one in bins:
            reach = 1.96 * math.sqrt(one.frequency * (1 - one.frequency) / one.count)
            low, high = max(0, one.frequency - reach), min(1, one.frequency + reach)
            _bar(axes, [one.confidence] * 2, [low, high], colour(k))
            text = f"predicted {number(one.confidence, 2)}, observed {number(one.frequency, 2)}"
            text = f"{system.name}: {text} ({one.count} cases)"
            _point(axes, one.confidence, one.frequency, k, text)
    axes.set(xlabel="predicted probability of a tag", ylabel="observed frequency of the tag")
    axes.grid()
    _legend(axes, names)
    return figure


def _co_occurrence(found: CoOccurrence) -> Figure:
    """Figure 1, right, of MUSIG."""
    figure, (axes,) = _figure(5.5, 4, 1)
    axes.plot(found.similarity, found.co_occurrence, "o", ms=3, mew=0, alpha=0.3, color=colour(0))
    axes.set(xlabel=found.of, ylabel="playlists with both tracks, %")
    axes.grid()
    return figure


# --- helpers -------------------------------------------------------------------------------------


def _figure(width: float, height: float, panels: int, sharey: bool = True) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    all_axes = figure.subplots(1, panels, squeeze=False, sharey=sharey)[0]
    if not sharey:
        figure.subplots_adjust(wspace=0.3)
    return figure, all_axes


def _bar(axes: Axes, x: Sequence[float], y: Sequence[float], shade: str) -> Any:
    """An error bar with caps."""
    from matplotlib.lines import Line2D

    cap = "|" if y[0] == y[1] else "_"
    line = Line2D(x, y, color=shade, lw=1.3, marker=cap, ms=6, mew=1.3, zorder=3)
    axes.add_line(line)
    return line


def _point(axes: Axes, x: float, y: float, k: int, text: str) -> None:
    """A point of the k-th series with a tooltip."""
    (point,) = axes.plot(x, y, marker(k), color=colour(k), ms=6, mec=PAPER, mew=0.7, zorder=4)
    describe(point, text)


def _legend(axes: Axes, names: dict[int, str]) -> None:
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], color=colour(k), marker=marker(k), ms=5, lw=1.3) for k in names]
    labels = [f" {_short(name, 48)}" for name in names.values()]  # one with "_" first is left out
    axes.legend(lines, labels, bbox_to_anchor=(1.02, 1), loc="upper left")


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
