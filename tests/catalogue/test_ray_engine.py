"""Embedding by the actors of a Ray cluster of this machine alone, which all tests share."""

import csv
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ssl_audio import embed
from ssl_audio.catalogue import ray_engine
from ssl_audio.catalogue.tracks import Item
from ssl_audio.io.errors import SslAudioError
from ssl_audio.models.encoder import build_encoder
from ssl_audio.stores.columns import Row
from ssl_audio.stores.failures import Failure
from ssl_audio.stores.feature_store import read_segments, read_store

pytestmark = pytest.mark.slow
ITEMS = [Item(f"{k:03d}", Path(f"{k:03d}.wav")) for k in range(6)]


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder") / "encoder"
    build_encoder(backbone="test_resnet", embedding_size=32, segment=1.0).save(folder, card="")
    return folder


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """What Ray prints on standard error as it starts; skips where it cannot start at all."""
    ray = pytest.importorskip("ray")
    printed = tmp_path_factory.mktemp("ray") / "stderr"
    kept = os.dup(2)
    with printed.open("wb") as file:
        os.dup2(file.fileno(), 2)
    running = ray_engine._cluster()
    try:
        running.__enter__()
    except SslAudioError as error:
        pytest.skip(f"Ray does not start here: {error}")
    finally:
        os.dup2(kept, 2)
        os.close(kept)
    yield printed.read_text()
    running.__exit__(None, None, None)
    assert not ray.is_initialized()


def _engine(folder, workers):
    return ray_engine.RayEngine(str(folder), "float32", "auto", None, 32, False, workers)


def test_the_command_writes_what_the_local_engine_writes(
    cluster, encoder_folder, tmp_path, monkeypatch, capfd
):
    assert not cluster  # Ray is silent
    monkeypatch.chdir(tmp_path)
    (tmp_path / "music").mkdir()
    for k in range(6):
        noise = np.random.default_rng(k).normal(0, 0.1, int(16_000 * (k + 0.7)))
        soundfile.write(tmp_path / "music" / f"{k}.wav", noise, 16_000)
    os.rename(tmp_path / "music" / "3.wav", os.fsencode(tmp_path / "music") + b"/\xe9.wav")
    (tmp_path / "music" / "broken.wav").write_bytes(b"RIFF nothing of use")
    for engine in ("local", "ray"):
        (tmp_path / engine).mkdir()
        words = ["source=music", f"output={engine}/f.parquet", f"engine={engine}", "workers=1"]
        assert embed.main(
            [f"checkpoint={encoder_folder}", "segments=true", "hop=0.5", *words]
        ) == 3  # fmt: skip
        printed = capfd.readouterr().err.splitlines()
    assert printed[-1] == "6 tracks: ray/f.parquet"
    assert len(printed) < 8, printed  # nothing of Ray's own
    stores = [tmp_path / engine / "f.parquet" for engine in ("local", "ray")]
    local, remote = map(read_store, stores)
    assert remote.ids == local.ids and len(local.ids) == 6
    assert remote.paths == local.paths
    np.testing.assert_allclose(remote.vectors, local.vectors, atol=1e-5)
    for (_, times, rows), (_, other_times, others) in zip(*map(read_segments, stores), strict=True):
        np.testing.assert_array_equal(other_times, times)
        np.testing.assert_allclose(others, rows, atol=1e-5)
    failures = [list(csv.DictReader((s.parent / "f-failures.csv").open())) for s in stores]
    for failure in failures[0] + failures[1]:
        del failure["time"]
    assert failures[0] == failures[1] and [f["id"] for f in failures[0]] == ["broken.wav"]


def _embed_nothing(monkeypatch, deadly=()):
    """Actors whose rows hold their process id, and which die of some tracks: no torch to import."""

    class Worker:
        def __init__(self, *arguments):
            pass

        def ready(self):
            pass

        def rows(self, block):
            if {item.id for item in block} & set(deadly):
                os._exit(1)
            time.sleep(0.1)
            return [Row(item.id, "", 0.0, "", np.array([os.getpid()])) for item in block]

    monkeypatch.setattr(ray_engine, "_Embedder", Worker)
    # an engine that arrived as such would import torch
    monkeypatch.setattr(ray_engine.RayEngine, "__reduce__", lambda self: (dict, ()))


def test_killed_workers_cost_no_track_and_double_none(cluster, encoder_folder, monkeypatch):
    """`SSL_AUDIO_KILLS` sets how many."""
    kills, killed, results = int(os.environ.get("SSL_AUDIO_KILLS", "1")), set(), []
    items = [Item(f"{k:05d}", Path(f"{k}.wav")) for k in range(40 + 20 * kills)]
    _embed_nothing(monkeypatch)
    for result in _engine(encoder_folder, 2).rows(iter(items)):
        results.append(result)
        if len(killed) < kills and (worker := int(result.vector[0])) not in killed:
            killed.add(worker)
            os.kill(worker, signal.SIGKILL)
    assert not [result for result in results if isinstance(result, Failure)]
    assert [result.id for result in results] == [item.id for item in items]
    assert len({int(result.vector[0]) for result in results}) >= 2 + kills  # who died restarts


def test_a_track_that_kills_its_workers_is_a_failure(cluster, encoder_folder, monkeypatch):
    _embed_nothing(monkeypatch, deadly=["003"])
    monkeypatch.setattr(ray_engine, "RETRIES", 0)
    results = list(_engine(encoder_folder, 1).rows(ITEMS))
    assert [result.id for result in results] == [item.id for item in ITEMS]
    (failed,) = (result for result in results if isinstance(result, Failure))
    assert failed.id == "003" and "died" in failed.reason


def test_no_ray_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SslAudioError, match=r"pip install \"ssl_audio\[ray\]\""):
        _engine("", None)
