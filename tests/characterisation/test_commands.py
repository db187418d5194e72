"""What `probe`, `embed`, `acoustic` and `recommend` write for small inputs."""

import numpy as np
import pytest

from . import adapter, material
from .frozen import check, check_array


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch, unrendered):
    monkeypatch.setenv("SSL_AUDIO_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("kind", ["linear", "logistic"])
def test_probe(kind, tmp_path):
    table = material.write_labelled(tmp_path / "labelled")
    check(f"probe {kind}", adapter.probe(table, tmp_path / "run", kind), abs=1e-4)


def test_feature_store(tmp_path):
    found = adapter.embed(material.write_formats(tmp_path / "music"), tmp_path / "f.parquet")
    arrays = {name: found.pop(name) for name in ("vectors", "segments")}
    found["times"] = found["times"].tolist()
    check("feature store", found, abs=1e-9)
    check_array("feature store: vectors", arrays["vectors"], 1e-5)
    check_array("feature store: segments", arrays["segments"][:, ::16], 1e-5)


def test_acoustic_features(tmp_path):
    rng = np.random.default_rng(0)
    segments = rng.normal(size=(24, 9, 16)).astype(np.float32) * np.linspace(0.2, 2, 16)
    segments = (segments + rng.normal(size=(24, 1, 16))).astype(np.float32)
    ids = [f"t{k}" for k in range(24)]
    store = adapter.write_store(tmp_path / "f.parquet", ids, segments.mean(1), segments)
    check_array("acoustic, pca", adapter.acoustic(store, tmp_path / "a.parquet"), 1e-5)


@pytest.mark.slow
def test_playlist_completion(tmp_path):
    for package in ("duckdb", "gensim"):
        pytest.importorskip(package)
    ids = material.write_playlists(tmp_path / "playlists.csv")
    features = material.track_features(len(ids), 24)
    stores = {
        "acoustic": adapter.write_store(tmp_path / "acoustic.parquet", ids, features[:, :8]),
        "embeddings": adapter.write_store(tmp_path / "embeddings.parquet", ids, features[:, 8:]),
    }
    found = adapter.recommend(tmp_path / "playlists.csv", stores, tmp_path / "run")
    losses = found.pop("losses")
    check("playlists: losses", losses, rel=1e-4)
    check("playlists", found, abs=1e-4)


def test_next_sessions(shared, tmp_path):
    found = adapter.recommend_sessions(shared / "movielens", tmp_path / "run")
    losses = found.pop("losses")
    check("sessions: losses", losses, rel=1e-4)
    check("sessions", found, abs=1e-4)
