"""The acoustic command as a user runs it."""

import csv
import json

import numpy as np
import pytest
import soundfile

from ssl_audio import acoustic
from ssl_audio.catalogue.acoustic_model import load_acoustic
from ssl_audio.catalogue.tags import tag_correlations, tagged_features
from ssl_audio.io.console import SOME_FAILED
from ssl_audio.stores.columns import Row
from ssl_audio.stores.feature_store import Stored, read_store
from ssl_audio.stores.writer import Store

TRACKS = 60


@pytest.fixture
def features(tmp_path, monkeypatch):
    """A store with segments of 60 tracks in two styles, and playlists of one style each."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    store = Store(tmp_path / "f.parquet", {"kind": "embedding", "model": "abc"}, segments=True)
    for k in range(TRACKS):
        segments = rng.normal(size=(12, 16)).astype(np.float32)
        segments[:, 3] += 3.0 * (k % 2)
        times = 4.0 * np.arange(12)
        store.add(Row(f"t{k}", f"/m/{k}", 48.0, "", segments.mean(0), segments, times))
    store.close()
    lines = [["playlist", "track"]]
    for p in range(30):
        members = rng.choice(TRACKS // 2, 6, replace=False) * 2 + p % 2
        lines += [[f"p{p}", f"t{k}"] for k in members]
    with (tmp_path / "playlists.csv").open("w", newline="") as file:
        csv.writer(file).writerows(lines)
    return tmp_path


def run(capsys, *words):
    status = acoustic.main(list(words))
    return status, capsys.readouterr().err


def test_fitted_once_and_applied_without_refitting(features, capsys):
    words = ["features=f.parquet", "output=a.parquet", "playlists=playlists.csv"]
    status, said = run(capsys, *words, "siamese.steps=200", "siamese.batch_size=128")
    assert status == 0 and "held out roc auc" in said
    stored = read_store("a.parquet")
    assert stored.vectors.shape == (TRACKS, 8) and stored.about["kind"] == "acoustic, siamese"
    assert stored.vectors.min() == 0 and stored.vectors.max() == 1
    model = load_acoustic("a-model")
    assert model.hash == stored.about["model"] and model.about["playlists"] == 30
    assert model.about["held_out_roc_auc"] > 0.7
    status, said = run(capsys, "features=f.parquet", "output=b.parquet", "model=a-model")
    assert status == 0 and "): a-model\n" in said and "variance" not in said
    np.testing.assert_array_equal(read_store("b.parquet").vectors, stored.vectors)
    status, said = run(capsys, *words, "kind=pca")
    assert status == 1 and "fitted already (siamese)" in said


def test_without_playlists_the_output_names_pca(features, capsys):
    status, said = run(capsys, "features=f.parquet", "output=a.parquet")
    assert status == 0 and "pca" in said
    assert read_store("a.parquet").about["kind"] == "acoustic, pca"
    assert json.loads((features / "a-model" / "config.json").read_text())["method"] == "pca"


def test_descriptors_of_audio_with_tags(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for tag, frequency in {"low": 110.0, "high": 3520.0}.items():
        (tmp_path / "music" / tag).mkdir(parents=True)
        for k in range(20):
            tone = np.sin(2 * np.pi * frequency * (1 + k / 50) * np.arange(16_000) / 16_000)
            soundfile.write(tmp_path / "music" / tag / f"{k}.wav", 0.3 * tone, 16_000)
    (tmp_path / "music" / "low" / "broken.wav").write_bytes(b"RIFF nothing")
    status, said = run(capsys, "kind=descriptors", "source=music", "output=d.v2.parquet")
    assert status == SOME_FAILED and "1 files failed" in said
    stored = read_store("d.v2.parquet")
    assert stored.vectors.shape == (40, 42) and len(stored.about["names"]) == 42
    (tmp_path / "music" / "low" / "broken.wav").unlink()
    status, said = run(capsys, "kind=descriptors", "source=music", "output=d.v2.parquet",
                       "tags=folder", "tags.root=music")  # fmt: skip
    assert status == 0, said
    rows = {r["feature"]: r for r in csv.DictReader((tmp_path / "d.v2-tags.csv").open())}
    assert float(rows["centroid_mean"]["high"]) > 0.9 > -0.9 > float(rows["centroid_mean"]["low"])
    assert (tmp_path / "d.v2-tags.png").stat().st_size > 1000


def test_correlations_are_numpys():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 3)), (rng.random((50, 2)) < 0.3).astype(np.uint8)
    found = tag_correlations(x, y)
    expected = np.corrcoef(x.T, y.T)[:3, 3:]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert np.isnan(tag_correlations(x, np.ones((50, 1)))).all()


def test_tags_are_matched_by_file(tmp_path):
    paths = [tmp_path / name for name in "abc"]
    stored = Stored(["1", "2"], [str(paths[2]), str(paths[0])], np.array([[1.0], [2.0]]), {})
    x, y = tagged_features(stored, paths, np.array([[10], [20], [30]]))
    assert sorted(zip(x[:, 0], y[:, 0], strict=True)) == [(1.0, 30), (2.0, 10)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["features=f.parquet", "output=a.parquet", "kind=best"], "siamese"),
        (["output=a.parquet"], "features=null: required for kind=auto"),
        (["kind=descriptors", "output=a.parquet"], "source=null: required for kind=descriptors"),
        (["kind=descriptors", "source=nothing", "output=a.parquet"], "nothing: no such folder"),
        (["features=f.parquet"], "output= is required"),
        (["features=f.parquet", "output=a.npy"], "NAME.parquet"),
        (["features=f.parquet", "output=null"], "output=null: a feature store is named"),
        (
            ["features=f.parquet", "output=s3://b/a.parquet", "tags=scores", "tags.root=."],
            "tags= beside it",
        ),
        (["features=nothing.parquet", "output=a.parquet"], "nothing.parquet"),
        (["features=f.parquet", "output=a.parquet", "kind=siamese"], "playlists="),
        (["features=f.parquet", "output=a.parquet", "playlists=no.csv"], "no.csv"),
        (["features=f.parquet", "output=a.parquet", "tags=score"], "Did you mean scores?"),
        (["features=f.parquet", "output=a.parquet", "tags=scores"], "tags.root= is required"),
        (["features=f.parquet", "output=a.parquet", "+tags.name=scores"], "tags.name: no such"),
        (
            ["features=f.parquet", "output=a.parquet", "tags=scores", "tags.root=no"],
            "tags.root=no: no such folder",
        ),
        (["features=f.parquet", "output=a.parquet", "siamese.steps=3"], "siamese.every"),
        (["features=f.parquet", "output=a.parquet", "siamese.batch_size=1"], "2 or more"),
        (["features=f.parquet", "output=a.parquet", "workers=1.5"], "workers=1.5: a whole number"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(features, capsys, words, said):
    before = sorted(features.iterdir())
    status, err = run(capsys, *words)
    assert status == 1 and err.startswith("error:") and err.count("\n") == 1, err
    assert said in err
    assert sorted(features.iterdir()) == before


def test_names_are_literal(features, capsys):
    name = 'a=[b]{c}$HOME #1 "q", it\'s.parquet'
    (features / "f.parquet").rename(features / name)
    (features / "playlists.csv").rename(features / "p=1 (ü).csv")
    words = [f"features={name}", "output=1e3.parquet", "playlists=p=1 (ü).csv", "model=null#1"]
    status, said = run(capsys, *words, "siamese.steps=50", "siamese.batch_size=64")
    assert status == 0, said
    assert len(read_store("1e3.parquet").ids) == TRACKS and load_acoustic(features / "null#1")


@pytest.mark.parametrize(
    ("text", "said"),
    [("playlist,song\np,a\n", "no column track"), ("playlist,track\np,a\np\n", "line 3"),
     ("playlist,track\n", "no track")],
)  # fmt: skip
def test_malformed_playlists_name_the_line(features, tmp_path, capsys, text, said):
    (tmp_path / "p.csv").write_text(text)
    words = ["features=f.parquet", "output=a.parquet", f"playlists={tmp_path / 'p.csv'}"]
    status, err = run(capsys, *words)
    assert status == 1 and said in err.splitlines()[-1]


def test_tracks_of_playlists_without_features_are_listed(features, capsys):
    pytest.importorskip("duckdb")
    (features / "lists").mkdir()
    with (features / "playlists.csv").open(newline="") as file:
        for name, track in list(csv.reader(file))[1:]:
            with (features / "lists" / f"{name}.m3u").open("a") as one:
                one.write(f"D:\\Music\\{track.upper()}\n")
    with (features / "lists" / "p0.m3u").open("a") as one:
        one.write("t60\n")
    words = ["features=f.parquet", "output=a.parquet", "playlists=lists"]
    status, said = run(capsys, *words, "siamese.steps=50", "siamese.batch_size=64")
    assert status == 3 and "unknown: 't60' (1 positions); nearest: 't6" in said, said
    assert said.count("unknown:") == 1 and load_acoustic("a-model").about["playlists"] == 30


def test_a_store_of_playlists_teaches_its_training_part(features, tmp_path, capsys):
    pytest.importorskip("duckdb")
    from ssl_audio.recommenders.data.store import build_store, open_store

    build_store(tmp_path / "p.duckdb", "playlists.csv")
    store = f"playlists={tmp_path / 'p.duckdb'}"
    assert run(capsys, "features=f.parquet", "output=a.parquet", store, "siamese.steps=100")[0] == 0
    training = len(open_store(tmp_path / "p.duckdb").playlists("train"))
    assert load_acoustic("a-model").about["playlists"] == training < 30
