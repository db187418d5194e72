"""What the report of a comparison of playlist models holds, of results made by hand."""

import csv
import io
import math
import re
from dataclasses import replace

from made_results import HOSTILE, METRICS, page_html, playlist_results
from test_page import Outline

from ssl_audio.reports import drawing, tables
from ssl_audio.reports.figures import playlist_figures
from ssl_audio.reports.page import write_report
from ssl_audio.reports.results import LossHistory

HEADINGS = ("Playlist completion", "Cold tracks", "Losses of the tasks",
            "Similarity and co-occurrence in playlists", "Provenance")  # fmt: skip


def with_table(results, **changes):
    """The same results with the first table alone, changed."""
    return replace(results, tables=(replace(results.tables[0], **changes),))


def test_every_part_is_there_and_absent_parts_leave_no_heading():
    page = page_html(playlist_results())
    for heading in HEADINGS:
        assert f"<h2>{heading}" in page
    assert "12,345 training playlists, 67 tracks" in page and "+0.523 [+0.500, +0.545]" in page
    results = with_table(playlist_results(), differences=())
    data = replace(results.data, notes=())
    page = page_html(replace(results, losses={}, correlation=None, data=data))
    for heading in HEADINGS[1:4]:
        assert f"<h2>{heading}" not in page
    assert "paired difference" not in page and "Limits of these" not in page
    assert f"<h2>{HEADINGS[0]}" in page and page.count("<svg") == 1


def cells_of(page, system):
    cells = Outline(page).cells
    start = cells.index(system)
    return cells[start : start + 2 + len(METRICS)]


def test_the_best_of_each_column_is_marked_and_intervals_are_shown():
    page = page_html(playlist_results())
    best = re.findall(r'<td class="best">([^<]*)', page)
    assert best[0] == "0.400 ±0.013" and len(best) == 2 * len(METRICS)
    assert cells_of(page, "Random") == ["Random", "", "0.200 ±0.013", "0.210 ±0.013"]
    assert '<td class="sure">+0.1000 [+0.0200, +0.2000], p &lt; 0.001' in page
    assert '<td class="unsure">+0.1000 [-0.0100, +0.2000], p = 0.053' in page


def test_the_least_is_best_where_a_column_says_so():
    results = playlist_results()
    first, second = results.tables[0].columns
    results = with_table(results, columns=(replace(first, lower_is_better=True), second))
    best = re.findall(r'<td class="best">([^<]*)', page_html(results))
    assert best == ["0.200 ±0.013", "0.410 ±0.013"]


def without_some_figures():
    """Nothing of the first system could be measured, and one metric of the second could not."""
    results = playlist_results()
    table = results.tables[0]
    random, hostile, last = table.rows
    partly = {"ndcg@10": hostile.figures["ndcg@10"]}
    rows = (replace(random, figures={}), replace(hostile, figures=partly, seconds=None), last)
    kept = [d for d in table.differences if d.metric == "hr" or d.b != "Random"]
    return with_table(results, rows=rows, differences=tuple(kept))


def test_missing_metrics_are_dashes():
    results = without_some_figures()
    page = page_html(results)
    assert cells_of(page, "Random") == ["Random", "", "–", "–"]
    assert cells_of(page, HOSTILE)[2:] == ["–", "0.310 ±0.013"]
    assert cells_of(page, "MUSIG popularity + acoustic − Random")[2] == "–"
    assert "--" in tables.latex(results)
    text = tables.terminal_text(results)
    line = next(line for line in text.splitlines() if line.startswith("Random"))
    assert line.split() == ["Random", "–", "–"]
    rows = list(csv.DictReader(io.StringIO(tables.playlist_csv([results]))))
    assert {r["system"] for r in rows} == {HOSTILE, "MUSIG"} and len(rows) == 3
    assert rows[0]["seconds"] == ""


def test_the_csv_has_every_value():
    many = [playlist_results(), playlist_results(run="another")]
    rows = list(csv.DictReader(io.StringIO(tables.playlist_csv(many))))
    assert len(rows) == 2 * (3 + 2) * len(METRICS)
    found = {(r["run"], r["table"], r["system"], r["features"], r["metric"]): r for r in rows}
    for one in many:
        for table in one.tables:
            for row in table.rows:
                for metric, expected in row.figures.items():
                    read = found[one.run, table.name, row.system, row.features, metric]
                    assert [float(read[k]) for k in ("mean", "low", "high")] == [
                        expected.mean, expected.low, expected.high
                    ]  # fmt: skip
                    assert float(read["seconds"]) == row.seconds


def test_the_text_tables_are_aligned():
    text = tables.terminal_text(playlist_results())
    first, differences, second, _ = text.split("\n\n")
    assert first.startswith("Playlist completion: ") and second.startswith("Cold tracks: ")
    lines = first.splitlines()[1:]
    assert len(lines) == 4
    assert lines[0].index("HR") == lines[1].index("0.200 ±0.013") == lines[3].index("0.400 ±0.013")
    assert differences.startswith("2 paired differences. With 95 % confidence intervals and p-val")
    assert "+0.1000 [+0.0200, +0.2000], p < 0.001" in differences


def test_the_latex_tables_are_escaped():
    """Every special character stands behind a backslash, or is a command of its own."""
    text = tables.latex(playlist_results())
    assert text.count(r"\begin{tabular}{llcc}") == text.count(r"\end{tabular}") == 2
    rows = [line for line in text.splitlines() if line.endswith(r" \\")]
    assert len(rows) == 1 + 3 + 1 + 2
    for row in rows:
        assert len(re.findall(r"(?<!\\)&", row)) == 3  # columns, and none from a name
        names = re.sub(r"\$\d\.\d{3} \\pm \d\.\d{3}\$", "", row.removesuffix(r" \\"))
        bare = re.sub(r"\\text(backslash|asciitilde|asciicircum)\{\}|\\[&%$#_{}]", "", names)
        assert not re.search(r"[%#$_{}~^\\]", bare), bare
    assert r"\& 50 \% of\_it \#\$1\$ \{x\} \textasciitilde{}" in text


def test_all_files_are_written(tmp_path):
    written = write_report([playlist_results(steps=3)], tmp_path)
    names = {path.relative_to(tmp_path).as_posix() for path in written}
    assert {"report.html", "results.csv", "table.tex"} <= names
    stems = {name.rpartition(".")[0] for name in names if name.startswith("figures/")}
    hostile = next(stem for stem in stems if "losses-2" in stem)
    assert stems == {
        "figures/table-1", "figures/table-2", "figures/differences-1", "figures/differences-2",
        "figures/losses-1-musig-popularity-acoustic", hostile, "figures/correlation",
    }  # fmt: skip
    assert names == {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}


def test_figures_of_little():
    """One step, a loss that could not be computed, no term of it, a single pair."""
    results = replace(without_some_figures(), losses=playlist_results(steps=1).losses)
    losses = {**results.losses, "empty": LossHistory((0,), {"total": (math.nan,)})}
    pairs = replace(results.correlation, similarity=(0.5,), co_occurrence=(0.1,))
    page = page_html(replace(results, losses=losses, correlation=pairs))
    assert page.count("<svg") == 2 + 3 + 1


def test_systems_whose_names_make_one_file_name_have_two(tmp_path):
    results = playlist_results(steps=2)
    history = results.losses[HOSTILE]
    losses = {name: history for name in ("M (1, 0)", "M (1; 0)", r"$\bad{$", "_x", "日本")}
    results = replace(results, tables=(), correlation=None, losses=losses)
    written = [path for path in write_report([results], tmp_path) if path.parent != tmp_path]
    assert len(set(written)) == len(written) == 2 * 5


def test_the_same_results_give_the_same_files(tmp_path):
    for name in ("a", "b"):
        with drawing.style():
            figure = playlist_figures(playlist_results(steps=3))["table-1"][""]
            (tmp_path / f"{name}.png").write_bytes(drawing.png(figure))
            (tmp_path / f"{name}.svg").write_bytes(drawing.svg_file(drawing.svg(figure)))
    for kind in ("png", "svg"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
