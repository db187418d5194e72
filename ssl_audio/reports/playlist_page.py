"""Sections of the page for one comparison of playlist models.

The results are what `python -m ssl_audio.recommend` writes: tables whose figures have intervals,
paired differences, the losses of what was trained, and how co-occurrence goes with sound.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

Results = Mapping[str, Any]
KIND = "playlists"
SHOWN_PAIRS = 12  # more of them are folded away
COLUMNS = ("run", "table", "system", "features", "metric", "mean", "low", "high", "seconds")

LATEX = str.maketrans(
    {c: f"\\{c}" for c in "_%&#${}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
)


def shown(value: float | None, digits: int = 4) -> str:
    """A figure, or a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def title(results: Results) -> str:
    """What the page is called."""
    return f"Playlist models on {results['data']['name']}"


def section(results: Results, number: int) -> str:
    """Everything of one run."""
    parts = [
        _summary(results),
        _notes(results["data"]["notes"]),
        *(_table(table, number) for table in results["tables"]),
        _losses(results["losses"]),
        _correlation(results["correlation"]),
        _provenance(results),
    ]
    return f'<section id="run-{number}">\n' + "\n".join(p for p in parts if p) + "\n</section>"


def embedded(results: Results) -> dict[str, Any]:
    """What the page's charts are drawn from."""
    return {"losses": results["losses"], "correlation": results["correlation"]}


def _summary(results: Results) -> str:
    counts = ", ".join(f"{count:,} {name}" for name, count in results["data"]["counts"].items())
    return (
        f'<p class="lead">{escape(results["data"]["name"])}: {escape(counts)} · run '
        f"{escape(results['run'])}, seed {results['seed']}<br>{escape(results['protocol'])}</p>"
    )


def _notes(notes: Sequence[str]) -> str:
    if not notes:
        return ""
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f'<div class="notes"><b>Read these figures with this in mind</b><ul>{items}</ul></div>'


def _table(table: Mapping[str, Any], number: int) -> str:
    columns, rows = table["columns"], table["rows"]
    best = {c["key"]: _best(rows, c) for c in columns}
    head = "<th>system<th>features" + "".join(f"<th>{escape(c['title'])}" for c in columns)
    body = "".join(
        f"<tr><td>{escape(row['system'])}<td class='soft'>{escape(row['features'])}"
        + "".join(_cell(row["figures"].get(c["key"]), best[c["key"]]) for c in columns)
        for row in rows
    )
    return (
        f"<h2>{escape(table['name'])}</h2><p class='caption'>{escape(table['caption'])} Point at a "
        "figure for its interval.</p>"
        f'<div class="scroll"><table class="main"><tr>{head}{body}</table></div>'
        f"{_differences(table)}"
    )


def _best(rows: Sequence[Mapping[str, Any]], column: Mapping[str, Any]) -> float | None:
    means = [
        row["figures"][column["key"]]["mean"] for row in rows if column["key"] in row["figures"]
    ]
    return (min if column.get("lower_is_better") else max)(means, default=None)


def _cell(figure: Mapping[str, float] | None, best: float | None) -> str:
    if figure is None:
        return "<td>–"
    mark = ' class="best"' if figure["mean"] == best else ""
    interval = f"{shown(figure['low'])} to {shown(figure['high'])}"
    return f'<td{mark} title="{interval}">{shown(figure["mean"])}'


def _differences(table: Mapping[str, Any]) -> str:
    found = table["differences"]
    if not found:
        return ""
    names = {c["key"]: c["title"] for c in table["columns"]}
    metrics = list(dict.fromkeys(one["metric"] for one in found))
    pairs: dict[tuple[str, str], dict[str, Any]] = {}
    for one in found:
        pairs.setdefault((one["a"], one["b"]), {})[one["metric"]] = one
    rows = "".join(
        f"<tr><td>{escape(a)} − {escape(b)}" + "".join(_difference(by.get(m)) for m in metrics)
        for (a, b), by in pairs.items()
    )
    head = "".join(f"<th>{escape(names[m])}" for m in metrics)
    shut = "" if len(pairs) > SHOWN_PAIRS else " open"
    return (
        f"<details{shut}><summary>{len(pairs)} differences, paired</summary>"
        "<p class='caption'>With 95 % confidence intervals over playlists and p values (Holm); "
        "bold where the interval "
        f'excludes 0.</p><div class="scroll"><table><tr><th>{head}{rows}</table></div></details>'
    )


def _difference(one: Mapping[str, Any] | None) -> str:
    if one is None:
        return "<td>–"
    sure = "sure" if one["low"] > 0 or one["high"] < 0 else "unsure"
    interval = f"{one['mean']:+.4f} [{one['low']:+.4f}, {one['high']:+.4f}]"
    return f'<td class="{sure}">{interval} p {_p_value(one["p"])}'


def _p_value(p: float) -> str:
    return "&lt; 0.001" if p < 0.001 else f"{p:.3f}"


def _losses(losses: Mapping[str, Any]) -> str:
    if not losses:
        return ""
    options = "".join(f"<option>{escape(name)}" for name in losses)
    return (
        "<h2>Losses of the tasks</h2><p class='caption'>By training step, each before its weight."
        "</p>"
        '<div data-chart="losses"><div class="controls"><label>system '
        f'<select>{options}</select></label></div><div class="charts"></div></div>'
    )


def _correlation(found: Mapping[str, Any] | None) -> str:
    if not found:
        return ""
    return (
        "<h2>Do tracks of one playlist sound alike?</h2><p class='caption'>Pairs of tracks, drawn "
        f"at random: the share of playlists that have both, by {escape(found['of'])}. Pearson "
        f"correlation {found['r']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}] over "
        f"{found['pairs']:,} pairs.</p>" + '<div class="charts"><div data-chart="correlation">'
        "</div></div>"
    )


def _provenance(results: Results) -> str:
    blocks = {
        "Configuration": results["config"],
        "Versions": results["versions"],
        "Hashes": results["data"]["hashes"],
        "Seconds": results["seconds"],
    }
    folded = "".join(
        f"<details><summary>{name}</summary><pre>{escape(json.dumps(value, indent=2))}</pre>"
        "</details>"
        for name, value in blocks.items()
    )
    return f"<h2>Where it comes from</h2>{folded}"


# --- text ----------------------------------------------------------------------------------------


def text_tables(results: Results) -> str:
    """The tables in plain text."""
    return "\n\n".join(_text_table(table) for table in results["tables"])


def _text_table(table: Mapping[str, Any]) -> str:
    header = ["system", "features", *(c["title"] for c in table["columns"])]
    rows = [header]
    for row in table["rows"]:
        figures = [row["figures"].get(c["key"]) for c in table["columns"]]
        cells = [
            "–" if f is None else f"{f['mean']:.3f} ±{(f['high'] - f['low']) / 2:.3f}"
            for f in figures
        ]
        rows.append([row["system"], row["features"], *cells])
    widths = [max(len(row[k]) for row in rows) for k in range(len(header))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
    return "\n".join([f"{table['name']}: {table['caption']}", *(line.rstrip() for line in lines)])


def csv_text(many: Sequence[Results]) -> str:
    """One figure a line."""
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for results in many:
        for table in results["tables"]:
            for row in table["rows"]:
                about = {
                    "run": results["run"], "table": table["name"], "system": row["system"],
                    "features": row["features"], "seconds": row.get("seconds"),
                }  # fmt: skip
                for metric, figure in row["figures"].items():
                    kept = {k: figure[k] for k in ("mean", "low", "high")}
                    writer.writerow({**about, "metric": metric, **kept})
    return file.getvalue()


def latex_tables(results: Results) -> str:
    """The tables for a paper (booktabs)."""
    return "\n".join(_latex_table(table) for table in results["tables"])


def _latex_table(table: Mapping[str, Any]) -> str:
    columns = table["columns"]
    lines = [
        r"\begin{tabular}{ll" + "c" * len(columns) + "}",
        r"\toprule",
        " & ".join(["System", "Features", *(_escaped(c["title"]) for c in columns)]) + r" \\",
        r"\midrule",
    ]
    for row in table["rows"]:
        figures = [row["figures"].get(c["key"]) for c in columns]
        cells = [_escaped(row["system"]), _escaped(row["features"])]
        cells += ["--" if f is None else f"${f['mean']:.4f}$" for f in figures]
        lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _escaped(text: str) -> str:
    return text.translate(LATEX)
