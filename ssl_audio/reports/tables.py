"""Results as tables for the terminal, LaTeX and the page, and as CSV with one value per row."""

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from ssl_audio.io.csv_file import CsvWriter
from ssl_audio.reports.estimates import Cost
from ssl_audio.reports.grids import (
    Cell,
    Grid,
    difference_text,
    grid_latex,
    grid_text,
    number,
    reach_text,
)
from ssl_audio.reports.published import PUBLISHED, SOURCE
from ssl_audio.reports.results import (
    AnyResults,
    Column,
    Difference,
    Draws,
    MetricSummary,
    PlaylistResults,
    ProbeResults,
    Row,
    SystemResults,
    Table,
)

METRICS = {"roc_auc": "ROC-AUC", "map": "mAP"}  # of probes on tags
CHANGES = {  # of test tracks, with their units
    "mp3": "bit rate of mp3, kbit/s", "noise": "signal-to-noise ratio, dB", "gain": "gain, dB",
    "speed": "speed, semitones", "offset": "time offset, s",
}  # fmt: skip
MAX_OPEN_PAIRS = 12  # more pairs are folded on the page, and only the first system's are printed


def _mean_and_std(found: MetricSummary) -> str:
    return f"{number(found.mean)} ± {number(found.std)}"


# --- tables of probes ----------------------------------------------------------------------------


def protocol_text(results: ProbeResults) -> str:
    """How the probes were trained and measured, in one line."""
    p = results.protocol
    on = "track means" if p.train_on == "tracks" else "single segments"
    return (
        f"{p.probe} probe on {on}; {p.resamples} resamples of {100 * p.fraction:g} % of "
        f"{results.dataset.counts['test']} {p.part} tracks"
    )


def probe_grid(results: ProbeResults) -> Grid:
    """The systems with their metrics of classes, if there are any, and their macro metrics."""
    metrics = probe_metrics(results)
    best = {
        metric: _best([one.metric(metric).mean for one in results.systems]) for metric in metrics
    }
    header = ["system", "probe"]
    for name in metrics.values():
        header += [name, "whole set"]
    rows = []
    for k, one in enumerate(results.systems):
        cells = [Cell(one.name, series=k), Cell(one.probe)]
        for metric in metrics:
            found = one.metric(metric)
            mark = "best" if found.mean == best[metric] else ""
            cells += [Cell(_mean_and_std(found), mark), Cell(number(found.test))]
        cells.append(Cell(number(one.knn.map) if one.knn else "–"))
        cells.append(Cell(number(one.calibration.ece) if one.calibration else "–"))
        rows.append(cells)
    caption = (
        "Mean and standard deviation over the resamples of the test set, and the value on the "
        "whole set; ECE is the expected calibration error."
    )
    return Grid("Metrics", caption, (*header, "kNN mAP", "ECE"), rows)


def encoder_grid(results: ProbeResults) -> Grid:
    """Retrieval and cost of the systems; without rows if neither was measured."""
    systems = results.systems
    kinds = list(dict.fromkeys(one.of for system in systems for one in system.retrieval))
    measured = any(system.cost for system in systems)
    header = ["system"]
    for of in kinds:
        header += [f"same {of}, mAP", "hit@1"]
    header += ["parameters", "MMAC/s", "tracks/s"] if measured else []
    rows = []
    for k, system in enumerate(systems):
        by = {one.of: one for one in system.retrieval}
        cells = [Cell(system.name, series=k)]
        for of in kinds:
            both = (by[of].map, by[of].hit) if of in by else ()
            cells += [Cell(reach_text(one)) for one in both] or [Cell("–")] * 2
        rows.append([*cells, *(_cost_cells(system.cost) if measured else [])])
    caption = _encoder_caption(results, measured)
    return Grid("Retrieval and cost", caption, tuple(header), rows if caption else [])


def _encoder_caption(results: ProbeResults, measured: bool) -> str:
    """What the columns of `encoder_grid` are; "" if there are none."""
    lines = []
    if retrieval := results.systems[0].retrieval:
        queries = ", ".join(f"{one.queries} of the same {one.of}" for one in retrieval)
        lines.append(
            f"Retrieval by cosine ({queries}): mean average precision, and how often the nearest "
            f"track is right, ± half of the {100 * results.protocol.confidence:g} % interval over "
            "artists and tracks."
        )
    if measured:
        lines.append(
            "Parameters; millions of multiply-accumulates for a second of audio; decoded tracks of "
            "30 s that are embedded in a second."
        )
    return " ".join(lines)


def _cost_cells(found: Cost | None) -> list[Cell]:
    if found is None:
        return [Cell("–")] * 3
    parameters = "–" if found.parameters is None else f"{found.parameters:,}"
    operations = "–" if found.operations is None else f"{found.operations / 1e6:.3g}"
    return [Cell(parameters), Cell(operations), Cell(f"{found.tracks_per_second:.3g}")]


def probe_metrics(results: ProbeResults) -> dict[str, str]:
    """Titles of the metrics of a comparison by their keys, the most important first."""
    return {title: title for title in results.systems[0].classes} | METRICS


def side_by_side(many: Sequence[AnyResults]) -> Grid:
    """Every probed system of several runs."""
    rows = [
        [Cell(results.run), Cell(results.dataset.name), Cell(one.name),
         *(Cell(_mean_and_std(getattr(one, metric))) for metric in METRICS),
         Cell(protocol_text(results))]
        for results in many if isinstance(results, ProbeResults) for one in results.systems
    ]  # fmt: skip
    header = ("run", "dataset", "system", *METRICS.values(), "protocol")
    return Grid("All runs", "", header, rows)


def published_grid(dataset: str) -> Grid:
    """Published metrics of probes on a data set; without rows if there are none."""
    rows = [
        [Cell(name), *(Cell(number(value)) for value in values)]
        for name, values in PUBLISHED.get(dataset, {}).items()
    ]
    return Grid("Published", SOURCE, ("objective", *METRICS.values()), rows)


# --- tables of playlists -------------------------------------------------------------------------


def metric_titles(table: Table) -> dict[str, str]:
    """Titles of the columns by key."""
    return {column.key: column.title for column in table.columns}


def playlist_grid(table: Table) -> Grid:
    """The systems with their means and half the width of the 95 % intervals."""
    best = {column.key: _best_of(table.rows, column) for column in table.columns}
    rows = [
        [Cell(row.system, series=k), Cell(row.features),
         *(_interval_cell(row, column.key, best[column.key]) for column in table.columns)]
        for k, row in enumerate(table.rows)
    ]  # fmt: skip
    header = ("system", table.about, *metric_titles(table).values())
    return Grid(table.name, table.caption, header, rows)


def _best_of(rows: Sequence[Row], column: Column) -> float:
    means = [row.figures[column.key].mean for row in rows if column.key in row.figures]
    return -_best([-v for v in means]) if column.lower_is_better else _best(means)


def _best(values: Sequence[float]) -> float:
    return max((v for v in values if not math.isnan(v)), default=math.nan)


def _interval_cell(row: Row, metric: str, best: float) -> Cell:
    found = row.figures.get(metric)
    if found is None:
        return Cell("–")
    return Cell(reach_text(found), "best" if found.mean == best else "")


# --- differences ---------------------------------------------------------------------------------

Pairs = dict[tuple[str, str], dict[str, Difference]]


def pairs_of(differences: Sequence[Difference]) -> Pairs:
    """Differences by pair of systems, then by metric."""
    pairs: Pairs = {}
    for one in differences:
        pairs.setdefault((one.a, one.b), {})[one.metric] = one
    return pairs


def differences_of(results: ProbeResults | Table) -> Grid:
    """One row per pair of systems, one column per metric that was tested."""
    of_probes = isinstance(results, ProbeResults)
    titles = probe_metrics(results) if isinstance(results, ProbeResults) else metric_titles(results)
    differences, pairs = results.differences, pairs_of(results.differences)
    metrics = list(dict.fromkeys(one.metric for one in differences))
    rows = [
        [Cell(f"{a} − {b}"), *(_difference_cell(found.get(m), 3 if of_probes else 4)
                               for m in metrics)]
        for (a, b), found in pairs.items()
    ]  # fmt: skip
    percent = f"{100 * differences[0].confidence:g} %" if differences else ""
    corrected = any(one.p is not None for one in differences)
    tests = " and p-values (Holm's correction)" if corrected else ""
    title = f"{len(pairs)} paired difference{'s' if len(pairs) > 1 else ''}"
    caption = f"With {percent} confidence intervals{tests}."
    return Grid(title, caption, ("difference", *(titles[m] for m in metrics)), rows)


def _difference_cell(one: Difference | None, digits: int) -> Cell:
    if one is None:
        return Cell("–")
    return Cell(difference_text(one, digits), "sure" if one.excludes_zero else "unsure")


# --- text and LaTeX ------------------------------------------------------------------------------


def terminal_text(results: AnyResults) -> str:
    """The tables of a comparison, and their paired differences, for the terminal."""
    if isinstance(results, ProbeResults):
        notes = [f"note: {note}" for note in results.dataset.notes]
        end = "\n".join([*notes, protocol_text(results)])
        parts = [grid_text(probe_grid(results)), *_encoder_lines(results)]
        parts += [*_difference_lines(results), end]
    elif isinstance(results, PlaylistResults):
        parts = []
        for table in results.tables:
            parts.append(f"{table.name}: {table.caption}\n{grid_text(playlist_grid(table))}")
            parts += _difference_lines(table)
    return "\n\n".join(parts)


def _encoder_lines(results: ProbeResults) -> Iterator[str]:
    grid = encoder_grid(results)
    if grid.rows:
        yield f"{grid.title}. {grid.caption}\n{grid_text(grid)}"


def _difference_lines(results: ProbeResults | Table) -> Iterator[str]:
    grid = differences_of(results)
    title = grid.title
    if len(grid.rows) > MAX_OPEN_PAIRS:
        first = results.differences[0].a
        kept = tuple(one for one in results.differences if one.a == first)
        grid = differences_of(replace(results, differences=kept))
        title = f"{title}, of which those of {first}"
    if grid.rows:
        yield f"{title}. {grid.caption}\n{grid_text(grid)}"


def latex(results: AnyResults) -> str:
    """The tables of a comparison for a paper (booktabs)."""
    if isinstance(results, ProbeResults):
        return grid_latex(probe_grid(results))
    tables = results.tables if isinstance(results, PlaylistResults) else ()
    return "\n".join(grid_latex(playlist_grid(table)) for table in tables)


# --- CSV -----------------------------------------------------------------------------------------

_PROBE_COLUMNS = (
    "run", "dataset", "system", "probe", "setting", "draw", "rows", "metric", "mean", "std", "test",
)  # fmt: skip
_PLAYLIST_COLUMNS = (
    "run", "table", "system", "features", "metric", "mean", "low", "high", "seconds",
)  # fmt: skip


def probe_csv(many: Sequence[ProbeResults]) -> str:
    """One value per row: of the whole training set, of each tag, and of each draw of a subset."""
    rows = []
    for results in many:
        for system in results.systems:
            about = {
                "run": results.run, "dataset": results.dataset.name, "system": system.name,
                "probe": system.probe,
            }  # fmt: skip
            rows += [{**about, **row} for row in _system_rows(results, system)]
    return _csv(_PROBE_COLUMNS, rows)


def _system_rows(results: ProbeResults, system: SystemResults) -> Iterator[dict[str, Any]]:
    for metric in probe_metrics(results):
        found = system.metric(metric)
        yield {
            "setting": "all", "rows": results.dataset.counts["train"], "metric": metric,
            "mean": found.mean, "std": found.std, "test": found.test,
        }  # fmt: skip
        for changed in system.robustness:
            resampled = changed.metrics[metric]
            yield {"setting": f"{changed.change} {changed.strength:g}", "metric": metric,
                   "mean": resampled.mean, "std": resampled.std}  # fmt: skip
        if metric in system.classes:
            continue
        for tag, by_metric in system.per_tag.items():
            one = getattr(by_metric, metric)
            yield {"setting": f"tag {tag}", "metric": metric, "mean": one.mean, "std": one.std}
        for part in system.limited:
            yield from _draw_rows(f"{100 * part.fraction:g} %", part, metric)
        for few in system.few_shot:
            yield from _draw_rows(f"{few.shots} shots", few, metric)
    for retrieval in system.retrieval:
        for name, value in (("map", retrieval.map), ("hit@1", retrieval.hit)):
            yield {"setting": f"same {retrieval.of}", "metric": name, "test": value.mean}


def _draw_rows(setting: str, part: Draws, metric: str) -> Iterator[dict[str, Any]]:
    for draw, value in enumerate(getattr(part, metric)):
        yield {"setting": setting, "draw": draw, "rows": part.rows, "metric": metric, "test": value}


def playlist_csv(many: Sequence[PlaylistResults]) -> str:
    """One value per row."""
    return _csv(_PLAYLIST_COLUMNS, [
        {"run": results.run, "table": table.name, "system": row.system, "features": row.features,
         "seconds": row.seconds, "metric": metric, "mean": found.mean, "low": found.low,
         "high": found.high}
        for results in many for table in results.tables for row in table.rows
        for metric, found in row.figures.items()
    ])  # fmt: skip


def _csv(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> str:
    file = io.StringIO()
    writer = CsvWriter(file)
    writer.row(columns)
    for row in rows:
        cells = (row.get(name, "") for name in columns)
        writer.row("" if cell != cell else cell for cell in cells)
    return file.getvalue()
