"""`report.html`: one file that opens offline, with every figure of one or several comparisons."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from ssl_audio.io.atomic import write_text
from ssl_audio.reports import playlist_page, tables
from ssl_audio.reports.figures import COLOURS, save_figures
from ssl_audio.reports.playlist_figures import save_playlist_figures
from ssl_audio.reports.published import PUBLISHED, SOURCE
from ssl_audio.reports.tables import NAMES, shown

Results = Mapping[str, Any]


def write_report(results: Results | Sequence[Results], folder: Path) -> list[Path]:
    """Write `report.html`, `results.csv`, `table.tex` and `figures/*.{png,svg}`.

    Args:
        results: what one comparison wrote to `results.json`, or several of them.
        folder: of the files; it must be there.

    Returns:
        The files.
    """
    many = [results] if isinstance(results, Mapping) else list(results)
    page, tex = folder / "report.html", folder / "table.tex"
    write_text(page, page_html(many))
    write_text(tex, "\n".join(_latex(one) for one in many))
    written = [page, tex, *_write_csv(many, folder)]
    for number, one in enumerate(many, 1):
        # a number, since runs of one name may lie in several folders
        below = folder / "figures" / (f"{number}-{Path(one['run']).name}" if many[1:] else "")
        written += save_playlist_figures(one, below) if _of_playlists(one) else save_figures(
            one, below
        )  # fmt: skip
    return written


def _of_playlists(results: Results) -> bool:
    return bool(results["kind"] == playlist_page.KIND)


def _latex(results: Results) -> str:
    one = playlist_page.latex_tables if _of_playlists(results) else tables.latex_table
    return one(results)


def _write_csv(many: Sequence[Results], folder: Path) -> list[Path]:
    """`results.csv`; where probes and playlists meet, `playlists.csv` has the latter."""
    probes = [r for r in many if not _of_playlists(r)]
    others = [r for r in many if _of_playlists(r)]
    texts = {}
    if probes:
        texts["results.csv"] = tables.csv_text(probes)
    if others:
        texts["playlists.csv" if probes else "results.csv"] = playlist_page.csv_text(others)
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]


def page_html(many: Sequence[Results]) -> str:
    """The page; several comparisons stand below each other, with one table over all of them."""
    title = _title(many[0]) if len(many) == 1 else f"{len(many)} comparisons"
    over_all = [_side_by_side(many)] if len(many) > 1 else []
    sections = [
        playlist_page.section(r, k) if _of_playlists(r) else _run(r, k) for k, r in enumerate(many)
    ]
    body = "\n".join([f"<h1>{escape(title)}</h1>", *over_all, *sections])
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title><link rel="icon" href="data:,">
<style>{_asset("page.css")}</style></head>
<body>
{body}
<div id="tooltip" class="tooltip" role="status"></div>
<script id="data" type="application/json">{_embedded(many)}</script>
<script>{_asset("page.js")}</script>
</body></html>
"""


def _title(results: Results) -> str:
    if _of_playlists(results):
        return playlist_page.title(results)
    return f"Probes on {results['dataset']['name']}"


def _asset(name: str) -> str:
    return resources.files("ssl_audio.reports").joinpath(name).read_text(encoding="utf-8")


def _embedded(many: Sequence[Results]) -> str:
    """The data as JSON in which nothing can end the script element that it lies in."""
    wanted = ("systems", "dataset", "map")
    runs = [
        playlist_page.embedded(one)
        if _of_playlists(one)
        else {key: _with_urls(one[key], key) for key in wanted}
        for one in many
    ]
    text = json.dumps({"runs": runs, "colours": COLOURS}, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _with_urls(value: Any, key: str) -> Any:
    if key != "map" or value is None:
        return value
    return {**value, "urls": [Path(path).absolute().as_uri() for path in value["paths"]]}


# --- sections ------------------------------------------------------------------------------------


def _run(results: Results, number: int) -> str:
    parts = [
        _summary(results),
        _notes(results),
        _main_table(results),
        _differences(results),
        _bootstrap(),
        _curves(results, "limited", "Limited data", "several draws of each share of the labels, "
                "the whole test set; bars from the least to the greatest draw"),
        _curves(results, "few_shot", "Few shots", "so many positives of every tag"),
        _tags(results),
        _reliability(results),
        _map(results),
        _published(results),
        _provenance(results),
    ]  # fmt: skip
    return f'<section id="run-{number}">\n' + "\n".join(p for p in parts if p) + "\n</section>"


def _summary(results: Results) -> str:
    data = results["dataset"]
    counts = ", ".join(f"{count:,} {name}" for name, count in data["counts"].items())
    return (
        f'<p class="lead">{escape(data["name"])}: {escape(counts)} tracks, {len(data["tags"])} tags'
        f" · run {escape(results['run'])}, seed {results['seed']}<br>"
        f"{escape(tables.protocol_text(results))}</p>"
    )


def _notes(results: Results) -> str:
    notes = results["dataset"]["notes"]
    if not notes:
        return ""
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f'<div class="notes"><b>Read these figures with this in mind</b><ul>{items}</ul></div>'


def _main_table(results: Results) -> str:
    systems = results["systems"]
    best = {m: max(s[m]["mean"] or 0.0 for s in systems) for m in NAMES}
    head = "<th>system<th>probe" + "".join(
        f"<th>{name}<th>whole test set" for name in NAMES.values()
    ) + "<th>kNN mAP<th>calibration error"  # fmt: skip
    rows = []
    for k, system in enumerate(systems):
        cells = [f"<td>{_chip(k)}{escape(system['name'])}", f"<td>{escape(system['probe'])}"]
        for metric in NAMES:
            f = system[metric]
            mark = ' class="best"' if f["mean"] == best[metric] else ""
            cells.append(f"<td{mark}>{shown(f['mean'])} ± {shown(f['std'])}<td>{shown(f['test'])}")
        knn, ece = system.get("knn"), system.get("calibration")
        cells.append(f"<td>{shown(knn and knn['map'])}<td>{shown(ece and ece['ece'])}")
        rows.append("<tr>" + "".join(cells))
    return (
        "<h2>Figures</h2><p class='caption'>Mean and standard deviation over the resamples of the "
        "test set.</p>"
        f'<div class="scroll"><table class="main"><tr>{head}{"".join(rows)}</table></div>'
    )


def _chip(k: int) -> str:
    return f'<span class="chip" style="background:{COLOURS[k % len(COLOURS)]}"></span>'


def _differences(results: Results) -> str:
    found = results["differences"]
    if not found:
        return ""
    by_pair: dict[tuple[str, str], dict[str, Any]] = {}
    for one in found:
        by_pair.setdefault((one["a"], one["b"]), {})[one["metric"]] = one
    rows = []
    for (a, b), metrics in by_pair.items():
        cells = "".join(_difference_cell(metrics[m]) for m in NAMES if m in metrics)
        rows.append(f"<tr><td>{escape(a)} − {escape(b)}{cells}")
    percent = f"{100 * found[0]['confidence']:g} %"
    head = "".join(f"<th>{name}" for name in NAMES.values())
    return (
        f"<details open><summary>Differences, paired on the same resamples</summary>"
        f"<p class='caption'>With {percent} confidence intervals; bold where the interval excludes "
        "0.</p>"
        f'<div class="scroll"><table><tr><th>{head}{"".join(rows)}</table></div></details>'
    )


def _difference_cell(one: Mapping[str, Any]) -> str:
    if one["mean"] is None:
        return '<td class="unsure">–'
    sure = one["low"] > 0 or one["high"] < 0
    interval = f"{one['mean']:+.3f} [{one['low']:+.3f}, {one['high']:+.3f}]"
    return f'<td class="{"sure" if sure else "unsure"}">{interval}'


def _charts(*kinds: str) -> str:
    return (
        '<div class="charts">' + "".join(f'<div data-chart="{k}"></div>' for k in kinds) + "</div>"
    )


def _bootstrap() -> str:
    return (
        "<h2>Resamples of the test set</h2><p class='caption'>A dot a resample, a diamond at their "
        "mean.</p>" + _charts("dots roc_auc", "dots map")
    )


def _curves(results: Results, part: str, title: str, caption: str) -> str:
    if not any(system[part] for system in results["systems"]):
        return ""
    charts = _charts(f"{part} roc_auc", f"{part} map")
    return f"<h2>{title}</h2><p class='caption'>{escape(caption)}.</p>{charts}"


def _tags(results: Results) -> str:
    systems = "".join(
        f'<option value="{k}">{escape(s["name"])}' for k, s in enumerate(results["systems"])
    )
    metrics = "".join(f'<option value="{m}">{name}' for m, name in reversed(NAMES.items()))
    return f"""<h2>Tags</h2><div data-chart="tags"><div class="controls">
<label>system <select>{systems}</select></label>
<label>figure <select>{metrics}</select></label>
<label>order <select><option value="score">by figure<option value="frequency">by frequency
<option value="name">by name</select></label></div><div class="chart"></div></div>"""


def _reliability(results: Results) -> str:
    if not any(system.get("calibration") for system in results["systems"]):
        return ""
    return (
        "<h2>Calibration</h2><p class='caption'>How often a tag was there, by how likely the probe "
        "said it was; the number is the expected calibration error.</p>" + _charts("reliability")
    )


def _map(results: Results) -> str:
    found = results["map"]
    if not found:
        return ""
    tags = "".join(
        f'<option value="{k}">{escape(t)}' for k, t in enumerate(results["dataset"]["tags"])
    )
    return f"""<h2>Map of the test tracks</h2>
<p class="caption">{escape(found["method"])} of {escape(found["system"])}. Point at a track to see
what it is, click to hear it; the wheel zooms, dragging moves, arrow keys and Enter work too.</p>
<div class="map" data-chart="map"><div class="controls">
<label>colour <select><option value="">all tracks{tags}</select></label>
<button type="button">whole map</button></div>
<canvas tabindex="0" aria-label="map of the test tracks"></canvas>
<div class="player"><audio controls hidden preload="none"></audio><span class="status"></span></div>
</div>"""


def _published(results: Results) -> str:
    known = PUBLISHED.get(results["dataset"]["name"])
    if not known:
        return ""
    rows = "".join(
        f"<tr><td>{escape(name)}<td>{shown(roc)}<td>{shown(precision)}"
        for name, (roc, precision) in known.items()
    )
    return (
        f"<h2>Published</h2><p class='caption'>{escape(SOURCE)}</p>"
        f"<table><tr><th>objective<th>ROC-AUC<th>mAP{rows}</table>"
    )


def _provenance(results: Results) -> str:
    hashes = {s["name"]: s["hash"] for s in results["systems"]}
    blocks = {
        "Configuration": results["config"],
        "Versions": results["versions"],
        "Hashes": {"dataset": results["dataset"]["hash"], **hashes},
        "Seconds": results["seconds"],
    }
    data = results["dataset"]
    cite = (
        f"<p>{escape(data['citation'])} {escape(data['licence'])}</p>" if data["citation"] else ""
    )
    folded = "".join(_folded(name, json.dumps(value, indent=2)) for name, value in blocks.items())
    return f"<h2>Where it comes from</h2>{cite}{folded}"


def _folded(title: str, text: str) -> str:
    return f"<details><summary>{title}</summary><pre>{escape(text)}</pre></details>"


def _side_by_side(many: Sequence[Results]) -> str:
    """Links to every run, and every probed system of every run in one table."""
    links = "".join(f'<a href="#run-{k}">{escape(r["run"])}</a>' for k, r in enumerate(many))
    rows = []
    for results in many:
        if _of_playlists(results):
            continue
        for system in results["systems"]:
            cells = [results["run"], results["dataset"]["name"], system["name"]]
            cells += [f"{shown(system[m]['mean'])} ± {shown(system[m]['std'])}" for m in NAMES]
            cells.append(tables.protocol_text(results))
            rows.append("<tr>" + "".join(f"<td>{escape(cell)}" for cell in cells))
    head = "".join(f"<th>{c}" for c in ("run", "dataset", "system", *NAMES.values(), "protocol"))
    table = f'<div class="scroll"><table><tr>{head}{"".join(rows)}</table></div>' if rows else ""
    return f"<nav>{links}</nav>{table}"
