"""The command `demo`: excerpts of recordings become tracks of generated playlists."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from ssl_audio.audio.demo_corpus import make_demo
from ssl_audio.demo import OUTPUTS, main
from ssl_audio.recommenders.data.records import SourcePlaylist
from ssl_audio.recommenders.data.sources import read_source
from ssl_audio.recommenders.data.splits import cold_tracks
from ssl_audio.recommenders.data.store import open_store
from ssl_audio.stores.feature_store import read_about, read_store

CHECKPOINT = Path(__file__).resolve().parents[1] / "checkpoints/contrastive"
SMALL = ("tracks=60", "playlists=30", "min_length=5", "max_length=9", "cold=0.2", "workers=1")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    return make_demo(folder, tracks=10, seconds=6, workers=1)


def demo(output: Path, recordings: Path, *words: str) -> int:
    return main([f"output={output}", f"checkpoint={CHECKPOINT}", f"recordings={recordings}", *SMALL,
                 *words])  # fmt: skip


@pytest.fixture(scope="module")
def made(recordings, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "demo"
    assert demo(folder, recordings) == 0
    return folder


def test_all_files_are_of_the_same_tracks(made):
    assert sorted(p.name for p in made.iterdir()) == sorted([*OUTPUTS, "about.json"])
    catalogue = open_store(made / "playlists.duckdb").catalogue()
    assert len(catalogue) == 60 and any(catalogue.genres) and all(catalogue.artists)
    for name, width in (("embeddings", 1024), ("audio", 42)):
        store = read_store(made / f"{name}.parquet")
        assert store.ids == list(catalogue.ids) and store.vectors.shape == (60, width)
        assert np.isfinite(store.vectors).all()
    assert all("#" in track for track in catalogue.ids)
    assert read_about(made / "embeddings.parquet")["checkpoint"] == str(CHECKPOINT)


def test_playlists_have_the_lengths_and_the_table_is_the_training_part(made):
    store = open_store(made / "playlists.duckdb")
    lengths = store.playlists().lengths
    assert len(lengths) == 30 and lengths.min() >= 5 and lengths.max() <= 9
    catalogue, train = store.catalogue(), store.playlists("train")
    cold = cold_tracks(catalogue.ids, 0.2)
    assert cold.any()
    kept = train.without_tracks(cold)
    expected = {n: [catalogue.ids[t] for t in kept[k]] for k, n in enumerate(kept.ids)}
    found = read_source(made / "train.parquet")
    assert {p.id: p.tracks for p in found if isinstance(p, SourcePlaylist)} == expected


def test_settings_and_versions_are_recorded(made):
    about = json.loads((made / "about.json").read_text())
    assert about["config"]["max_length"] == 9 and about["config"]["seed"] == 0
    assert about["versions"]


def test_outputs_are_never_replaced(made, recordings, capsys):
    assert demo(made, recordings) == 1
    assert "playlists.duckdb exists already: name another folder" in capsys.readouterr().err
    assert demo(made / "about.json", recordings) == 1
    assert "about.json exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["max_length=61"], "max_length=61: at most tracks=60"),
        (["min_length=10"], "max_length=9: min_length=10 or more"),
        (["tracks=100000"], "tracks=100000: too many for"),
        (["recordings=/nowhere"], "recordings=/nowhere: no table (*.tsv)"),
        (["longest=3"], "longest"),
        (["preset=thick"], "preset"),
    ],
)
def test_refused_runs_leave_nothing(recordings, tmp_path, capsys, words, error):
    assert demo(tmp_path / "demo", recordings, *words) == 1
    captured = capsys.readouterr().err
    assert error in captured and "Traceback" not in captured
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named_before_anything_is_written(
    recordings, tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, "duckdb", None)
    assert demo(tmp_path / "demo", recordings) == 1
    assert "needs duckdb: pip install 'ssl_audio[playlists]'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
