"""Results survive `results.json`, and damaged files are refused in one line."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_results import playlist_results, pretrain_results, probe_results

from ssl_audio.io.errors import SslAudioError
from ssl_audio.reports.plain import to_plain
from ssl_audio.reports.results import Difference, MeanAndStd, read_results, write_results

MADE = [probe_results, playlist_results, pretrain_results]


@pytest.mark.parametrize("make", MADE)
def test_results_are_the_same_after_writing_and_reading(make, tmp_path):
    results = make()
    assert write_results(tmp_path, results) == tmp_path / "results.json"
    for path in (tmp_path, tmp_path / "results.json"):
        read = read_results(path)
        assert type(read) is type(results)
        assert repr(read) == repr(results)  # NaN does not equal itself


def test_the_file_names_its_kind_and_version_and_has_no_nan(tmp_path):
    text = write_results(tmp_path, probe_results()).read_text()
    values = json.loads(text)
    assert values["kind"] == "probe" and values["version"] == 2 and "NaN" not in text
    assert values["systems"][0]["per_tag"]["rare"]["map"] == {"mean": None, "std": None}


def test_numpy_values_and_paths_become_plain():
    made = MeanAndStd(np.float32(0.5), np.float64("nan"))
    assert to_plain(made) == {"mean": 0.5, "std": None}
    assert to_plain({1: (Path("a"), np.arange(2), np.int64(3), math.inf)}) == {
        "1": ["a", [0, 1], 3, None]
    }


def test_numpy_values_are_written_and_read(tmp_path):
    results = probe_results()
    odd = replace(results.differences[0], mean=np.float64(0.1), low=np.float32("nan"))
    write_results(tmp_path, replace(results, seed=np.int64(7), differences=(odd,)))
    read = read_results(tmp_path)
    assert read.seed == 7 and read.differences[0].mean == 0.1
    assert math.isnan(read.differences[0].low)


def changed(values, path, value):
    *parents, last = path
    for key in parents:
        values = values[key]
    if value is KeyError:
        del values[last]
    else:
        values[last] = value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["systems", 0, "map", "mean"], "high", "is damaged: systems[0].map.mean is 'high'"),
        (["systems", 0, "map"], 3, "is damaged: systems[0].map is not an object"),
        (["systems"], {}, "is damaged: systems is {}"),
        (["dataset", "tags"], KeyError, "is damaged: dataset.tags is missing"),
        (["dataset", "counts", "test"], 1.5, "is damaged: dataset.counts.test is 1.5"),
        (["dataset", "counts", "test"], True, "is damaged: dataset.counts.test is True"),
        (["seed"], None, "is damaged: seed is None"),
        (["colour"], 1, "is damaged: unknown field colour"),
        (["version"], 1, "results of version 1; this release reads version 2: run the command"),
        (["version"], KeyError, "results of version None"),
        (["kind"], "cake", "no results of probe, playlists, pretrain"),
        (["kind"], KeyError, "no results of probe"),
    ],
)
def test_what_cannot_be_read_is_one_clear_line(path, value, message, tmp_path):
    file = write_results(tmp_path, probe_results())
    values = json.loads(file.read_text())
    changed(values, path, value)
    file.write_text(json.dumps(values))
    with pytest.raises(SslAudioError) as caught:
        read_results(tmp_path)
    assert message in str(caught.value) and str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "3", '{"kind": "probe", "sys', '{"kind": []}'])
def test_a_file_that_holds_something_else_is_refused(text, tmp_path):
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(SslAudioError, match="results.json"):
        read_results(tmp_path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(SslAudioError, match="No such file"):
        read_results(tmp_path)


@pytest.mark.parametrize(
    ("low", "high", "excludes"),
    [(0.1, 0.2, True), (-0.2, -0.1, True), (-0.1, 0.1, False), (math.nan, math.nan, False)],
)
def test_whether_an_interval_excludes_zero(low, high, excludes):
    assert Difference("a", "b", "map", 0.0, low, high).excludes_zero is excludes
