"""The export on a Ray cluster of this machine alone."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ssl_audio.catalogue.tracks import Failure, list_items
from ssl_audio.io.errors import SslAudioError
from ssl_audio.models.encoder import build_encoder
from ssl_audio.stores.feature_store import read_segments, read_store

ray = pytest.importorskip("ray")

from ssl_audio.catalogue import ray_engine  # noqa: E402

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder") / "encoder"
    build_encoder(segment=1.0, embedding_size=32).save(folder, card="")
    return folder


def _engine(folder, workers):
    return ray_engine.RayEngine(str(folder), "float32", "auto", None, 32, False, workers)


def _environment():
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def _workers():
    """The actors' process ids, of those that descend from this process alone."""
    parents, names = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            names[int(folder.name)] = (folder / "cmdline").read_bytes().decode(errors="replace")
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        parents[int(folder.name)] = int(fields[1])

    def ours(pid):
        return pid == os.getpid() or (pid in parents and ours(parents[pid]))

    return [pid for pid, name in names.items() if name.startswith("ray::_Embedder") and ours(pid)]


@pytest.fixture(scope="module")
def cluster():
    """Skips where Ray cannot start at all, as in some containers."""
    script = (
        "import ray; ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False); "
        "print(ray.get(ray.remote(lambda: 7).remote()))"
    )
    try:
        ran = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, timeout=200
        )
    except subprocess.TimeoutExpired:
        pytest.skip("Ray does not start here within 200 s")
    if ran.stdout.split()[-1:] != ["7"]:
        pytest.skip(f"Ray does not start here: {(ran.stderr.splitlines() or ['?'])[-1]}")


def _noise(folder, count, seconds):
    folder.mkdir()
    for k in range(count):
        samples = int(16_000 * (seconds + k % 5))
        noise = np.random.default_rng(k).normal(0, 0.1, samples)
        soundfile.write(folder / f"{k:03d}.wav", noise, 16_000)


def test_the_command_writes_what_the_local_engine_writes(cluster, encoder_folder, tmp_path):
    _noise(tmp_path / "music", 12, 0.7)
    os.rename(tmp_path / "music" / "003.wav", os.fsencode(tmp_path / "music") + b"/\xe9.wav")
    (tmp_path / "music" / "broken.wav").write_bytes(b"RIFF nothing of use")
    for engine in ("local", "ray"):
        (tmp_path / engine).mkdir()
        words = ["source=music", f"output={engine}/f.parquet", f"engine={engine}", "workers=2"]
        ran = subprocess.run(
            [sys.executable, "-m", "ssl_audio.embed", f"checkpoint={encoder_folder}",
             "segments=true", "hop=0.5", *words],
            cwd=tmp_path, env=_environment(), stderr=subprocess.PIPE, text=True, timeout=300,
        )  # fmt: skip
        assert ran.returncode == 3, ran.stderr
    assert ran.stderr.splitlines()[-1] == "12 tracks: ray/f.parquet"
    assert len(ran.stderr.splitlines()) < 8, ran.stderr  # nothing of Ray's own
    stores = [tmp_path / engine / "f.parquet" for engine in ("local", "ray")]
    local, remote = map(read_store, stores)
    assert remote.ids == local.ids and len(local.ids) == 12
    assert remote.paths == local.paths
    np.testing.assert_allclose(remote.vectors, local.vectors, atol=1e-5)
    for (_, times, rows), (_, other_times, others) in zip(*map(read_segments, stores), strict=True):
        np.testing.assert_array_equal(other_times, times)
        np.testing.assert_allclose(others, rows, atol=1e-5)
    failures = [list(csv.DictReader((s.parent / "failures.csv").open())) for s in stores]
    assert failures[0] == failures[1] and [f["id"] for f in failures[0]] == ["broken.wav"]


def test_a_killed_worker_costs_no_track_and_doubles_none(
    cluster, encoder_folder, tmp_path, monkeypatch
):
    _noise(tmp_path / "music", 60, 20)
    monkeypatch.chdir(tmp_path)
    todo = list_items(Path("music"))
    results = []
    for result in _engine(encoder_folder, 2).rows(iter(todo)):
        if not results:
            os.kill(_workers()[0], signal.SIGKILL)
        results.append(result)
    assert not [result for result in results if isinstance(result, Failure)]
    assert [result.id for result in results] == [item.id for item in todo]
    assert not ray.is_initialized()


def test_a_track_that_kills_its_workers_is_a_failure(
    cluster, encoder_folder, tmp_path, monkeypatch
):
    _noise(tmp_path / "music", 6, 1)

    class Deadly(ray_engine._Embedder):
        def rows(self, block):
            if "003.wav" in {item.id for item in block}:
                os._exit(1)
            return super().rows(block)

    monkeypatch.setattr(ray_engine, "_Embedder", Deadly)
    monkeypatch.setattr(ray_engine, "RETRIES", 0)
    todo = list_items(tmp_path / "music")
    results = list(_engine(encoder_folder, 1).rows(todo))
    assert [result.id for result in results] == [item.id for item in todo]
    (failed,) = (result for result in results if isinstance(result, Failure))
    assert failed.id == "003.wav" and "died" in failed.reason


def test_no_ray_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SslAudioError, match=r"pip install \"ssl_audio\[ray\]\""):
        _engine("", None)
