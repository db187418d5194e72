"""What the report says of a comparison of playlist models, of results made by hand."""

import copy
import csv
import io
import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from test_page import made_results

from ssl_audio import report
from ssl_audio.reports import playlist_page
from ssl_audio.reports.page import page_html, write_report
from ssl_audio.reports.playlist_figures import save_playlist_figures

HOSTILE = """</script><script>alert("1")</script>' & 50 % of_it #$1$ {x} ~^\\ é"""
METRICS = {"hr": "HR", "ndcg@10": f"NDCG@10 {HOSTILE}"}
HEADINGS = ("Playlist completion", "Cold tracks", "Losses of the tasks",
            "Do tracks of one playlist sound alike?", "Where it comes from")  # fmt: skip


def figure(mean):
    return {"mean": mean, "low": mean - 0.0125, "high": mean + 0.0125}


def table(name, systems):
    rows = [
        {"system": system, "features": features, "seconds": 1.5 + k,
         "figures": {m: figure(0.2 + 0.1 * k + 0.01 * j) for j, m in enumerate(METRICS)}}
        for k, (system, features) in enumerate(systems)
    ]  # fmt: skip
    last = f"{systems[-1][0]} {systems[-1][1]}".strip()
    differences = [
        {"a": last, "b": system, "metric": metric, "mean": 0.1, "low": low, "high": 0.2, "p": p}
        for metric, low, p in (("hr", 0.02, 0.0001), ("ndcg@10", -0.01, 0.0534))
        for system, _ in systems[:-1]
    ]
    columns = [{"key": key, "title": title} for key, title in METRICS.items()]
    return {"name": name, "caption": f"What {HOSTILE} is.", "columns": columns, "rows": rows,
            "differences": differences}  # fmt: skip


def made_playlist_results(run="runs/playlists", steps=200):
    rng = np.random.default_rng(0)
    step = list(range(19, 20 * steps, 20))
    similarity = rng.uniform(0, 1, 400)
    losses = {
        "MUSIG popularity + acoustic": {
            "step": step,
            "terms": {t: (k + np.exp(-np.arange(steps) / 40)).tolist()
                      for k, t in enumerate(("playlist", "genre", "sound"))},
        },
        HOSTILE: {"step": step, "terms": {HOSTILE: [0.5] * steps}},
    }  # fmt: skip
    losses[HOSTILE]["terms"][HOSTILE][steps // 2] = None
    systems = [("Random", ""), (HOSTILE, "popularity"), ("MUSIG", "popularity + acoustic")]
    return {
        "kind": "playlists", "format": 1, "run": run, "seed": 3,
        "protocol": "The first 70 % of each playlist.",
        "data": {"name": f"mine {HOSTILE}", "counts": {"training playlists": 12345, "tracks": 67},
                 "notes": [f"12 tracks have no {HOSTILE}"], "hashes": {"playlists": "abc"}},
        "tables": [table("Playlist completion", systems), table("Cold tracks", systems[:2])],
        "losses": losses,
        "correlation": {"similarity": similarity.tolist(),
                        "co_occurrence": (similarity**4 + 0.01).tolist(), "r": 0.523, "low": 0.5,
                        "high": 0.545, "pairs": 50_000, "of": f"acoustic {HOSTILE}"},
        "seconds": {"data": 1.0}, "config": {"seed": 3, "note": HOSTILE},
        "versions": {"python": "3"},
    }  # fmt: skip


class Outline(HTMLParser):
    """The elements of a page that a browser would make, and the text in table cells."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.cells, self.within = [], [], None
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.within = tag
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_data(self, data):
        if self.within in ("td", "th"):
            self.cells[-1] += data


def test_names_cannot_break_the_page():
    page = page_html([made_playlist_results(run=f"runs/{HOSTILE}")])
    assert page.count("<script") == page.count("</script>") == 2
    assert "<script>alert" not in page and page.count("&lt;script&gt;alert") > 10
    outline = Outline(page)
    known = {"class", "title", "id", "data-chart", "open", "lang", "charset", "name", "content",
             "rel", "href", "role", "type"}  # fmt: skip
    assert {key for _, attributes in outline.tags for key in attributes} <= known
    assert HOSTILE in outline.cells
    data = json.loads(re.search(r'<script id="data"[^>]*>(.*?)</script>', page, re.S)[1])
    assert data["runs"][0]["correlation"]["of"].endswith(HOSTILE)
    assert HOSTILE in data["runs"][0]["losses"]
    title = re.search(r"<title>(.*?)</title>", page)[1]
    assert title.startswith("Playlist models on mine &lt;/script&gt;")


def test_the_page_asks_nothing_of_anyone():
    page = page_html([made_playlist_results()])
    assert not re.search(r"""(src|href)=["']?(https?:)?//|@import|url\(|fetch\(""", page)


def test_every_part_is_there():
    page = page_html([made_playlist_results()])
    for heading in HEADINGS:
        assert f"<h2>{heading}" in page
    assert page.count("differences, paired</summary>") == page.count("<details open>") == 2
    assert "12,345 training playlists, 67 tracks" in page and "seed 3" in page
    assert "+0.523 [+0.500, +0.545] over 50,000 pairs" in page


def test_absent_parts_leave_no_heading():
    results = made_playlist_results()
    results["losses"], results["correlation"], results["data"]["notes"] = {}, None, []
    results["tables"] = results["tables"][:1]
    results["tables"][0]["differences"] = []
    page = page_html([results])
    for heading in HEADINGS[1:4]:
        assert f"<h2>{heading}" not in page
    assert "differences, paired" not in page and "data-chart" not in page.split("<script")[0]
    assert "with this in mind" not in page and f"<h2>{HEADINGS[0]}" in page


def cells_of(page, system):
    cells = Outline(page).cells
    start = cells.index(system)
    return cells[start : start + 2 + len(METRICS)]


def test_the_best_of_each_column_is_marked_and_intervals_are_told():
    page = page_html([made_playlist_results()])
    best = re.findall(r'<td class="best" title="([^"]*)">([^<]*)', page)
    assert best[0] == ("0.3875 to 0.4125", "0.4000") and len(best) == 2 * len(METRICS)
    assert cells_of(page, "Random") == ["Random", "", "0.2000", "0.2100"]
    assert '<td class="sure">+0.1000 [+0.0200, +0.2000] p &lt; 0.001' in page
    assert '<td class="unsure">+0.1000 [-0.0100, +0.2000] p 0.053' in page


def test_the_least_is_best_where_a_column_says_so():
    results = made_playlist_results()
    results["tables"] = results["tables"][:1]
    results["tables"][0]["columns"][0]["lower_is_better"] = True
    best = re.findall(r'<td class="best"[^>]*>([^<]*)', page_html([results]))
    assert best == ["0.2000", "0.4100"]


def without_some_figures():
    results = made_playlist_results()
    rows = results["tables"][0]["rows"]
    rows[0]["figures"] = {}  # nothing could be measured of it
    del rows[1]["figures"]["hr"]
    del rows[1]["seconds"]
    for row in results["tables"][1]["rows"]:
        row["figures"] = {}
    first = results["tables"][0]
    first["differences"] = [
        d for d in first["differences"] if d["metric"] == "hr" or d["b"] != "Random"
    ]
    return results


@pytest.mark.slow
def test_missing_figures_are_dashes(tmp_path):
    results = without_some_figures()
    write_report(results, tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert cells_of(page, "Random") == ["Random", "", "–", "–"]
    assert cells_of(page, HOSTILE)[2:] == ["–", "0.3100"]
    difference = Outline(page).cells
    start = difference.index("MUSIG popularity + acoustic − Random")
    assert difference[start + 2] == "–"
    assert "--" in (tmp_path / "table.tex").read_text()
    text = playlist_page.text_tables(results)
    line = next(line for line in text.splitlines() if line.startswith("Random"))
    assert line.split() == ["Random", "–", "–"]
    rows = list(csv.DictReader(io.StringIO((tmp_path / "results.csv").read_text())))
    assert {r["system"] for r in rows} == {HOSTILE, "MUSIG"} and len(rows) == 3
    assert rows[0]["seconds"] == ""


def test_the_csv_has_every_figure():
    results = made_playlist_results()
    other = made_playlist_results(run="another")
    rows = list(csv.DictReader(io.StringIO(playlist_page.csv_text([results, other]))))
    assert len(rows) == 2 * (3 + 2) * len(METRICS)
    for one in (results, other):
        for made in one["tables"]:
            for row in made["rows"]:
                for metric, expected in row["figures"].items():
                    (found,) = [
                        r for r in rows
                        if (r["run"], r["table"], r["system"], r["features"], r["metric"])
                        == (one["run"], made["name"], row["system"], row["features"], metric)
                    ]  # fmt: skip
                    assert {k: float(found[k]) for k in expected} == expected
                    assert float(found["seconds"]) == row["seconds"]


def test_the_text_tables_are_aligned():
    text = playlist_page.text_tables(made_playlist_results())
    first, second = text.split("\n\n")
    assert first.startswith("Playlist completion: ") and second.startswith("Cold tracks: ")
    lines = first.splitlines()[1:]
    assert len(lines) == 4 and len({line.index("0.") for line in lines[1:] if "MUSIG" in line}) == 1
    assert lines[0].index("HR") == lines[1].index("0.200") and "0.400 ±0.013" in lines[3]


def test_the_latex_tables_are_escaped():
    """Every special character stands behind a backslash, or is a command of its own."""
    text = playlist_page.latex_tables(made_playlist_results())
    assert text.count(r"\begin{tabular}{llcc}") == text.count(r"\end{tabular}") == 2
    rows = [line for line in text.splitlines() if line.endswith(r" \\")]
    assert len(rows) == 1 + 3 + 1 + 2
    for row in rows:
        assert len(re.findall(r"(?<!\\)&", row)) == 3  # columns, and none from a name
        names = re.sub(r"\$\d\.\d{4}\$", "", row.removesuffix(r" \\"))
        bare = re.sub(r"\\text(backslash|asciitilde|asciicircum)\{\}|\\[&%$#_{}]", "", names)
        assert not re.search(r"[%#$_{}~^\\]", bare), bare
    assert r"\& 50 \% of\_it \#\$1\$ \{x\} \textasciitilde{}" in text


@pytest.mark.slow
def test_all_files_are_written(tmp_path):
    written = write_report(made_playlist_results(), tmp_path)
    names = {path.relative_to(tmp_path).as_posix() for path in written}
    assert {"report.html", "results.csv", "table.tex"} <= names
    figures = sorted(name for name in names if name.startswith("figures/"))
    stems = {name.rpartition(".")[0] for name in figures}
    assert {"figures/table-1", "figures/table-2", "figures/correlation",
            "figures/losses-1-musig-popularity---acoustic"} <= stems  # fmt: skip
    assert len(stems) == 5 and len(figures) == 10
    assert names == {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    for name in figures:
        if name.endswith("png"):
            assert (tmp_path / name).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        else:
            assert ElementTree.parse(tmp_path / name).getroot().tag.endswith("svg")


@pytest.mark.slow
def test_figures_of_little(tmp_path):
    """One step, a loss that nobody could take, no term at all, a single pair."""
    results = made_playlist_results(steps=1)
    results["tables"] = without_some_figures()["tables"]
    results["losses"]["empty"] = {"step": [0], "terms": {"total": [None]}}
    results["correlation"].update(similarity=[0.5], co_occurrence=[0.1])
    assert len(save_playlist_figures(results, tmp_path)) == 2 * (2 + 3 + 1)


def test_systems_whose_names_make_one_file_name_have_two(tmp_path):
    results = made_playlist_results(steps=2)
    history = results["losses"][HOSTILE]
    results["losses"] = {name: history for name in ("M (1, 0)", "M (1; 0)", r"$\bad{$")}
    results.update(tables=[], correlation=None)
    written = save_playlist_figures(results, tmp_path)
    assert len(set(written)) == len(written) == 2 * 3


@pytest.mark.slow
def test_the_same_results_give_the_same_files(tmp_path):
    for name in ("a", "b"):
        save_playlist_figures(made_playlist_results(steps=3), tmp_path / name)
    for one in (tmp_path / "a").iterdir():
        assert one.read_bytes() == (tmp_path / "b" / one.name).read_bytes()


def written_run(folder, results):
    folder.mkdir()
    (folder / "results.json").write_text(json.dumps(results))
    return str(folder)


@pytest.mark.slow
def test_probes_and_playlists_side_by_side(tmp_path, capsys):
    probe, playlists = made_results("a", "b", run="one"), made_playlist_results(steps=3)
    broken = copy.deepcopy(playlists)
    broken["tables"] = []
    runs = [
        written_run(tmp_path / name, results)
        for name, results in (("one", probe), ("two", playlists), ("bad", broken))
    ]
    output = tmp_path / "report"
    assert report.main([*runs, f"output={output}"]) == 0
    assert re.search(r"bad/results.json is damaged", capsys.readouterr().err)
    page = (output / "report.html").read_text()
    assert "<h1>2 comparisons" in page and 'id="run-1"' in page and 'id="run-2"' not in page
    assert f"<h2>{HEADINGS[0]}" in page and "<h2>Resamples" in page
    assert "results.csv" in {p.name for p in output.iterdir()}
    probes = list(csv.DictReader((output / "results.csv").open()))
    others = list(csv.DictReader((output / "playlists.csv").open()))
    assert {r["system"] for r in probes} == {"a", "b"} and "probe" in probes[0]
    assert {r["table"] for r in others} == set(HEADINGS[:2])
    assert (output / "figures/1-one/bootstrap.svg").exists()
    assert (output / "figures/2-playlists/table-1.svg").exists()
    assert (output / "table.tex").read_text().count(r"\begin{tabular}") == 3


@pytest.mark.slow
def test_playlist_runs_alone_side_by_side(tmp_path):
    runs = [
        written_run(tmp_path / name, made_playlist_results(run=name, steps=2))
        for name in ("one", "two")
    ]
    assert report.main([*runs, f"output={tmp_path / 'report'}"]) == 0
    assert not (tmp_path / "report" / "playlists.csv").exists()
    rows = list(csv.DictReader((tmp_path / "report" / "results.csv").open()))
    assert {r["run"] for r in rows} == {"one", "two"}
    page = (tmp_path / "report" / "report.html").read_text()
    assert page.count('href="#run-') == 2 and "<th>dataset" not in page


@pytest.mark.parametrize("key", ["tables", "losses", "data", "correlation"])
def test_results_without_a_part_are_damaged(key, tmp_path, capsys):
    results = made_playlist_results(steps=2)
    del results[key]
    run = written_run(tmp_path / "one", results)
    assert report.main([run, f"output={tmp_path / 'report'}"]) == 1
    assert "is damaged" in capsys.readouterr().err


def test_many_differences_are_folded_away():
    results = made_playlist_results()
    few = results["tables"][0]["differences"]
    names = [f"system {k}" for k in range(20)]
    results["tables"][0]["differences"] = [{**few[0], "b": name} for name in names]
    page = page_html([results])
    assert "<details><summary>20 differences, paired" in page
    assert all(name in page for name in names)
