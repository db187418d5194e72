"""What the report of a comparison of probes holds, of results made by hand."""

import csv
import io
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from made_results import HOSTILE, change_systems, page_html, playlist_results, probe_results, small

import ssl_audio.reports
from ssl_audio.reports import tables
from ssl_audio.reports.page import write_report
from ssl_audio.reports.projection import project

KNOWN_ATTRIBUTES = {
    "aria-label", "charset", "class", "content", "controls", "data-pitch", "data-places",
    "data-row", "hidden", "href", "id", "lang", "name", "open", "preload", "rel", "role",
    "tabindex", "type", "value",
    # of SVG
    "clip-path", "d", "height", "style", "transform", "version", "viewbox", "width", "x", "xmlns",
    "y",
}  # fmt: skip


class Outline(HTMLParser):
    """The elements of a page that a browser would make, and the text in table cells."""

    def __init__(self, page):
        super().__init__()
        self.names, self.attributes, self.cells, self.within = [], set(), [], None
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.names.append(tag)
        self.attributes |= {key for key, _ in attributes}
        if tag not in ("span", "tr"):
            self.within = tag
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_data(self, data):
        if self.within in ("td", "th"):
            self.cells[-1] += data.strip("\n")


def page_of(make):
    """The page of results whose every name is hostile."""
    return page_html(make(run=f"runs/{HOSTILE}"))


@pytest.mark.parametrize("make", [probe_results, playlist_results])
def test_names_of_tags_tracks_and_systems_cannot_break_the_page(make):
    page = page_of(make)
    outline = Outline(page)
    assert outline.names.count("script") == 2 if make is probe_results else 1
    assert "<script>alert" not in page and page.count("&lt;script&gt;alert") > 10
    assert outline.attributes <= KNOWN_ATTRIBUTES
    assert any(HOSTILE in cell for cell in outline.cells)


def test_the_map_has_its_data():
    page = page_of(probe_results)
    data = json.loads(re.search(r'<script type="application/json">(.*?)</script>', page, re.S)[1])
    assert data["ids"] == ["a", HOSTILE] and data["names"] == [HOSTILE, "rare"]
    assert data["urls"] == ["file:///music/a%20b.wav", "file:///music/c%23.wav"]


def test_no_template_turns_escaping_off():
    folder = Path(ssl_audio.reports.__file__).parent / "templates"
    texts = [path.read_text() for path in folder.glob("*.html")]
    assert len(texts) == 4
    assert not [text for text in texts if re.search(r"\|\s*safe|autoescape|Markup", text)]


@pytest.mark.parametrize("make", [probe_results, playlist_results])
def test_the_page_loads_nothing(make):
    page = page_of(make)
    outside = r"""(src|href)=["']?(https?:)?//|@import|url\((?!#)|fetch\("""
    assert not re.search(outside, page)


def test_ids_are_unique_and_all_links_in_figures_lead_somewhere():
    page = page_html(probe_results(), small(probe_results()))
    ids = re.findall(r' id="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    links = set(re.findall(r'(?:href="|url\()#([^")]*)', page))
    assert len(links) > 50 and links <= set(ids)


HEADINGS = (
    "Metrics", "Resamples", "Limited data", "Few shots", "Tags", "Calibration", "Map of",
    "Published", "Provenance",
)  # fmt: skip


def test_every_part_is_there_and_absent_parts_leave_no_heading():
    page = page_of(probe_results)
    for heading in HEADINGS:
        assert f"<h2>{heading}" in page
    results = probe_results("alone")
    undefined = replace(results.systems[0].map, mean=math.nan, std=math.nan, resamples=(math.nan,))
    results = change_systems(
        results, limited=(), few_shot=(), calibration=None, knn=None, map=undefined
    )
    page = page_html(replace(results, map=None, dataset=replace(results.dataset, name="mine")))
    for heading in ("Limited data", "Few shots", "Calibration", "Map of", "Published"):
        assert f"<h2>{heading}" not in page
    assert "–" in page and "paired difference" not in page


def test_metrics_that_could_not_be_computed_are_dashes(tmp_path):
    results = probe_results()
    one, nan = results.systems[0], math.nan
    results = change_systems(
        results,
        map=replace(one.map, mean=nan, std=nan, test=nan, resamples=(nan,) * 6),
        limited=(replace(one.limited[0], map=(nan, 0.3)), *one.limited[1:]),
        few_shot=(replace(one.few_shot[0], map=(nan, nan)),),
    )
    undefined = [replace(d, mean=nan, low=nan, high=nan) for d in results.differences]
    results = replace(results, differences=tuple(undefined))
    write_report([results], tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "– ± –" in page and '<td class="unsure">–</td>' in page
    assert "– ± –" in tables.terminal_text(results)


def test_differences_are_in_the_terminal_and_on_the_page():
    results = probe_results()
    text = tables.terminal_text(results)
    expected = "-0.030 [-0.050, -0.010]"
    lines = [line for line in text.splitlines() if line.startswith("one − ")]
    assert len(lines) == 1 and lines[0].count(expected) == 2
    assert "95 % confidence intervals" in text and "note: note of" in text
    assert f'<td class="sure">{expected}</td>' in page_of(probe_results)
    twenty = tuple(replace(results.differences[0], b=str(k)) for k in range(20))
    other = replace(results.differences[0], a="other")
    many = replace(small(results), differences=(*twenty, other))
    text = tables.terminal_text(many)
    assert "21 paired differences, of which those of one. With 95 %" in text
    assert text.count("one − ") == 20 and "other − " not in text
    page = page_html(many)
    assert "<details><summary>21 paired differences" in page
    assert all(f"one − {k}</td>" in page for k in range(20))


def test_the_terminal_table_is_aligned():
    header, *rows = tables.terminal_text(probe_results("a", "longer name")).splitlines()[:3]
    assert header.split() == ["system", "probe", "ROC-AUC", "whole", "set", "mAP", "whole", "set",
                              "kNN", "mAP", "ECE"]  # fmt: skip
    starts = [header.index(name) for name in ("probe", "ROC-AUC", "mAP", "ECE")]
    assert all(row[k - 1] == " " != row[k] for row in rows for k in starts)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.12345, "0.123"), (-0.0004, "-0.000"), (math.nan, "–"), (12, "12.000")],
)
def test_numbers(value, expected):
    assert tables.number(value) == expected


def test_the_csv_has_every_value():
    rows = list(csv.DictReader(io.StringIO(tables.probe_csv([probe_results()]))))
    of = [r for r in rows if r["system"] == HOSTILE and r["metric"] == "map"]
    assert [r["setting"] for r in of] == [
        "all", f"tag {HOSTILE}", "tag rare", "1 %", "1 %", "10 %", "10 %", "1 shots", "1 shots"
    ]  # fmt: skip
    assert of[2]["mean"] == "" and float(of[3]["test"]) == 0.2 and of[4]["draw"] == "1"


def test_the_latex_table_is_escaped():
    text = tables.latex(probe_results())
    assert r"\& 50 \% of\_it \#\$1\$" in text and text.count(" \\\\\n") == 3
    assert re.search(r"\$0\.8\d\d \\pm 0\.020\$", text)


def test_all_files_are_written(tmp_path):
    written = write_report([probe_results()], tmp_path)
    names = {path.relative_to(tmp_path).as_posix() for path in written}
    stems = ("bootstrap", "differences", "tags-1-one", "limited_data", "few_shot", "calibration")
    figures = {f"figures/{stem}.{kind}" for stem in stems for kind in ("png", "svg")}
    assert names == {"report.html", "results.csv", "table.tex"} | figures
    assert names == {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert (tmp_path / "figures/bootstrap.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    svg = (tmp_path / "figures/bootstrap.svg").read_text()
    assert ElementTree.fromstring(svg.encode()).tag.endswith("svg")
    assert "#0072b2" in svg and "var(--" not in svg  # the page's variables are not in files


@pytest.mark.parametrize(("rows", "method"), [(1, "order"), (5, "PCA"), (30, "t-SNE")])
def test_projection(rows, method):
    points, name = project(np.random.default_rng(0).normal(size=(rows, 8)))
    assert points.shape == (rows, 2) and np.isfinite(points).all() and name == method


def test_projection_keeps_clusters_apart():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 20)
    points, _ = project(rng.normal(size=(40, 8)) + 20 * labels[:, None])
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
    same = labels[:, None] == labels[None]
    assert distance[same].max() < distance[~same].min()
