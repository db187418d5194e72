"""The report command: several runs on one page."""

import csv
import json
from dataclasses import replace

import pytest
from made_results import playlist_results, pretrain_results, probe_results, small

from ssl_audio import report
from ssl_audio.io.console import SOME_FAILED
from ssl_audio.reports.results import write_results


@pytest.fixture
def write(tmp_path):
    def written(name, results):
        (tmp_path / name).mkdir()
        write_results(tmp_path / name, results)
        return str(tmp_path / name)

    return written


def quick(run):
    return small(probe_results("a", "b", run=run))


def test_runs_side_by_side(write, tmp_path, capsys):
    runs = [write(name, quick(name)) for name in ("one", "two=2")]
    runs.append(write("pretrain", pretrain_results()))
    (tmp_path / "empty").mkdir()
    output = tmp_path / "report"
    assert report.main([*runs, str(tmp_path / "empty"), f"output={output}"]) == 0
    said = capsys.readouterr().err
    assert "empty: no results.json, left out" in said
    assert "pretrain: a run of pretrain, left out" in said
    page = (output / "report.html").read_text()
    assert page.count('href="#run-') == 2 and 'id="run-1"' in page and 'id="run-2"' not in page
    assert "<h1>2 comparisons" in page
    assert (output / "figures" / "2-two=2" / "bootstrap.svg").exists()


def test_a_damaged_run_is_left_out_and_the_status_says_so(write, tmp_path, capsys):
    good, bad = write("good", quick("good")), tmp_path / "bad" / "results.json"
    bad.parent.mkdir()
    bad.write_text('{"kind": "probe", "version": 2, "sys')
    assert report.main([good, str(bad), f"output={tmp_path / 'report'}"]) == SOME_FAILED
    assert "bad/results.json is damaged" in capsys.readouterr().err
    assert "<h1>Probes on mtat" in (tmp_path / "report" / "report.html").read_text()


def test_a_pattern_that_the_shell_left_is_expanded(write, tmp_path):
    for name in ("one", "two"):
        write(name, quick(name))
    assert report.main([str(tmp_path / "*"), f"output={tmp_path / 'report'}"]) == 0
    assert "<h1>2 comparisons" in (tmp_path / "report" / "report.html").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "runs= is required"),
        (["runs=[]"], "runs=[]: name one run or more"),
        (["/nowhere"], "none of these runs has results"),
        (["/nowhere", "otput=x"], "otput: no such setting. Did you mean output?"),
        (["/nowhere", "output=/etc/passwd/x"], "output=/etc/passwd/x: /etc/passwd is a file"),
        (["/nowhere", "output=s3://bucket"], "output=s3://bucket: a local path"),
    ],
)
def test_what_cannot_be_done_is_one_line(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert report.main(words) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"error: {message}")
    assert not list(tmp_path.iterdir())


def test_an_output_that_cannot_be_written_is_one_line(write, tmp_path, capsys):
    (tmp_path / "report" / "report.html" / "x").mkdir(parents=True)
    assert report.main([write("one", quick("one")), f"output={tmp_path / 'report'}"]) == 1
    assert capsys.readouterr().err.startswith(f"error: output={tmp_path / 'report'}: Is a dir")


def test_results_of_other_versions_are_refused(write, tmp_path, capsys):
    run = write("old", quick("old"))
    file = tmp_path / "old" / "results.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "version": 99}))
    assert report.main([run, f"output={tmp_path / 'report'}"]) == 1
    assert "results of version 99" in capsys.readouterr().err
    assert not (tmp_path / "report").exists()


def test_probes_and_playlists_side_by_side(write, tmp_path):
    few = replace(playlist_results(), losses={}, correlation=None)
    runs = [write("one", quick("one")), write("two", few)]
    output = tmp_path / "report"
    assert report.main([*runs, f"output={output}"]) == 0
    page = (output / "report.html").read_text()
    assert "<h2>Playlist completion" in page and "<h2>Resamples" in page
    probes = list(csv.DictReader((output / "results.csv").open()))
    others = list(csv.DictReader((output / "playlists.csv").open()))
    assert {r["system"] for r in probes} == {"a", "b"} and "probe" in probes[0]
    assert {r["table"] for r in others} == {"Playlist completion", "Cold tracks"}
    assert (output / "figures/2-playlists/table-1.svg").exists()
    assert (output / "table.tex").read_text().count(r"\begin{tabular}") == 3


def test_playlist_runs_alone_have_one_csv(write, tmp_path):
    few = [replace(playlist_results(run=name), losses={}, tables=()) for name in ("one", "two")]
    runs = [write(results.run, results) for results in few]
    assert report.main([*runs, f"output={tmp_path / 'report'}"]) == 0
    assert not (tmp_path / "report" / "playlists.csv").exists()
    page = (tmp_path / "report" / "report.html").read_text()
    assert page.count('href="#run-') == 2 and "<th>dataset" not in page
