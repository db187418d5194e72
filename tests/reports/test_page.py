"""What the report says, of results made by hand."""

import copy
import csv
import io
import json
import re

import numpy as np
import pytest

from ssl_audio import report
from ssl_audio.reports import tables
from ssl_audio.reports.page import page_html, write_report
from ssl_audio.reports.projection import project

HOSTILE = '</script><script>alert("1")</script> & _%#'


def system(name, shift=0.0):
    rng = np.random.default_rng(len(name))
    values = (0.8 + shift + 0.02 * rng.normal(size=6)).tolist()
    macro = {"mean": float(np.mean(values)), "std": 0.02, "test": 0.81, "resamples": values}
    tag = {"roc_auc": {"mean": 0.8, "std": 0.1}, "map": {"mean": 0.5, "std": 0.1}, "positives": 3}
    none = {"roc_auc": {"mean": None, "std": None}, "map": {"mean": None, "std": None},
            "positives": 0}  # fmt: skip
    draws = {"roc_auc": [0.6, 0.7], "map": [0.2, 0.3]}
    return {
        "name": name, "kind": "checkpoint", "probe": "linear", "hash": "abc", "source": name,
        "dimensions": 4, "roc_auc": macro, "map": copy.deepcopy(macro), "undefined": 1,
        "per_tag": {HOSTILE: tag, "rare": none},
        "limited": [{"fraction": 0.01, "rows": 2, **draws}, {"fraction": 0.1, "rows": 20, **draws}],
        "few_shot": [{"shots": 1, "rows": 2, **draws}],
        "knn": {"k": 3, "roc_auc": 0.7, "map": 0.4},
        "calibration": {"ece": 0.05, "brier": 0.1,
                        "bins": [{"confidence": 0.1, "frequency": 0.2, "count": 9},
                                 {"confidence": 0.8, "frequency": 0.7, "count": 4}]},
    }  # fmt: skip


def made_results(*names, run="run"):
    systems = [system(name, 0.03 * k) for k, name in enumerate(names or ("one", HOSTILE))]
    return {
        "format": 1, "kind": "probe",
        "dataset": {"name": "mtat", "tags": [HOSTILE, "rare"],
                    "counts": {"train": 200, "validation": 10, "test": 12}, "missing": {},
                    "notes": [f"note of {HOSTILE}"], "hash": "def", "citation": "A & B",
                    "licence": "CC"},
        "protocol": {"probe": {"kind": "linear"}, "train_on": "tracks",
                     "bootstrap": {"resamples": 6, "fraction": 0.5}},
        "systems": systems,
        "differences": [
            {"a": systems[0]["name"], "b": systems[1]["name"], "metric": metric, "mean": -0.03,
             "low": -0.05, "high": -0.01, "confidence": 0.95}
            for metric in ("roc_auc", "map")
        ] if len(systems) > 1 else [],
        "map": {"system": systems[0]["name"], "method": "PCA", "x": [0.0, 1.0], "y": [1.0, 0.0],
                "ids": ["a", HOSTILE], "paths": ["/music/a b.wav", "/music/c#.wav"],
                "tags": [[0], []]},
        "config": {"seed": 0}, "versions": {"python": "3"}, "seed": 0, "run": run,
        "seconds": {"all": 1.0},
    }  # fmt: skip


def test_names_of_tags_tracks_and_systems_cannot_break_the_page():
    page = page_html([made_results()])
    assert page.count("<script") == page.count("</script>") == 2
    assert "<script>alert" not in page and page.count("&lt;script&gt;alert") > 3
    data = json.loads(re.search(r'<script id="data"[^>]*>(.*?)</script>', page, re.S)[1])
    assert data["runs"][0]["systems"][1]["name"] == HOSTILE
    assert data["runs"][0]["map"]["urls"] == ["file:///music/a%20b.wav", "file:///music/c%23.wav"]


def test_the_page_asks_nothing_of_anyone():
    page = page_html([made_results()])
    assert not re.search(r"""(src|href)=["']?(https?:)?//|@import|url\(|fetch\(""", page)


def test_every_part_is_there_and_absent_parts_leave_no_heading():
    page = page_html([made_results()])
    for heading in ("Figures", "Resamples", "Limited data", "Few shots", "Tags", "Calibration",
                    "Map of", "Published", "Where it comes from"):  # fmt: skip
        assert f"<h2>{heading}" in page
    results = made_results("alone")
    results["systems"][0].update(limited=[], few_shot=[], calibration=None, knn=None)
    results["map"], results["dataset"]["name"] = None, "mine"
    results["systems"][0]["map"].update(mean=None, std=None, resamples=[None, None])
    page = page_html([results])
    for heading in ("Limited data", "Few shots", "Calibration", "Map of", "Published"):
        assert f"<h2>{heading}" not in page
    assert "–" in page and "Differences" not in page


def test_figures_that_nobody_could_measure_are_dashes(tmp_path):
    results = made_results()
    for system in results["systems"]:
        system["map"].update(mean=None, std=None, test=None, resamples=[None] * 6)
        system["limited"][0]["map"] = [None, 0.3]
        system["few_shot"][0]["map"] = [None, None]
    for one in results["differences"]:
        one.update(mean=None, low=None, high=None)
    write_report(results, tmp_path)
    assert "– ± –" in (tmp_path / "report.html").read_text()


def test_the_csv_has_every_figure():
    rows = list(csv.DictReader(io.StringIO(tables.csv_text([made_results()]))))
    of = [r for r in rows if r["system"] == HOSTILE and r["metric"] == "map"]
    settings = [r["setting"] for r in of]
    assert settings == ["all", f"tag {HOSTILE}", "tag rare", "1 %", "1 %", "10 %", "10 %",
                        "1 shots", "1 shots"]  # fmt: skip
    assert of[2]["mean"] == "" and float(of[3]["test"]) == 0.2 and of[4]["draw"] == "1"


def test_the_latex_table_is_escaped():
    text = tables.latex_table(made_results())
    assert r"\& \_\%\#" in text and text.count(r"\\") == 3


def test_all_files_are_written(tmp_path):
    written = write_report(made_results(), tmp_path)
    names = {path.relative_to(tmp_path).as_posix() for path in written}
    figures = {f"figures/{f}.{k}" for f in ("bootstrap", "tags", "limited_data", "few_shot")
               for k in ("png", "svg")}  # fmt: skip
    assert names == {"report.html", "results.csv", "table.tex"} | figures
    assert (tmp_path / "figures/bootstrap.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_runs_side_by_side(tmp_path, capsys):
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "results.json").write_text(json.dumps(made_results("a", "b", run=name)))
    (tmp_path / "other").mkdir()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "results.json").write_text('{"kind": "probe", "format": 1, "sys')
    runs = [str(tmp_path / name) for name in ("one", "two", "other", "damaged")]
    assert report.main([*runs, f"output={tmp_path / 'report'}"]) == 0
    said = capsys.readouterr()
    assert "no results.json" in said.err + said.out and "is damaged" in said.err
    page = (tmp_path / "report" / "report.html").read_text()
    assert 'id="run-1"' in page and 'id="run-2"' not in page and "2 comparisons" in page
    assert (tmp_path / "report" / "figures" / "2-two" / "bootstrap.svg").exists()


@pytest.mark.parametrize("words", [[], ["/nowhere"]])
def test_nothing_to_report_is_one_line(words, capsys):
    assert report.main(words) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: no run")


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
