"""Losses, one training step, the pairs of a run, short runs of the recipes, resume after kill."""

import signal
import time

import numpy as np
import pytest
import torch

from . import adapter, material
from .frozen import check


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", adapter.OBJECTIVES)
def test_losses(name, dtype):
    rng = np.random.default_rng(0)
    common = rng.normal(size=(1, 16, 2048))
    student, teacher = (
        (common + 0.8 * rng.normal(size=(2, 16, 2048))).astype(dtype) for _ in range(2)
    )
    found = adapter.losses(name, 0.3 * student, 0.1 * teacher, progress=0.05)
    check(f"losses {name} {dtype}", found, rel=1e-5 if dtype == "float32" else 1e-7, abs=1e-7)


@pytest.mark.parametrize("name", adapter.OBJECTIVES)
def test_one_training_step(name):
    pairs = np.stack([material.waveform(2.0, seed=k) for k in range(8)])
    found = adapter.step_weights(name, {"anchor": pairs[:, :16_000], "positive": pairs[:, 16_000:]})
    changes = {k: found["after"][k].astype(float) - found["before"][k] for k in found["before"]}
    names = sorted(changes)
    figures = {k: float(np.linalg.norm(changes[k])) for k in names[::2]}
    check(f"norms of one step, {name}", figures, rel=1e-4, abs=1e-6)
    largest = {k: float(np.abs(changes[k]).max()) for k in names}
    sampled = {  # in units of the tensor's largest change
        k: (changes[k].ravel()[:: changes[k].size // 4 + 1] / largest[k]).tolist()
        for k in names[::6]
        if largest[k] > 1e-6  # those that move by more than rounding
    }
    check(f"entries of one step, {name}", sampled, abs=1e-3)


def test_pairs_of_a_run(tmp_path):
    paths = material.write_ramps(tmp_path / "ramps")
    durations = [9.0 + k % 7 for k in range(len(paths))]
    found = [
        [track, *(round(float(part[0]) * material.RAMP) for part in pair)]
        for track, *pair in adapter.sampled_pairs(paths, durations, seed=3, batch_size=4, steps=6)
    ]
    check("pairs: track, first sample of anchor, of positive", found)


@pytest.mark.parametrize("recipe", adapter.OBJECTIVES)
def test_two_steps_of_a_recipe(recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_AUDIO_CACHE", str(tmp_path / "cache"))
    music = material.write_music(tmp_path / "music")
    adapter.pretrain(recipe, music, tmp_path / "run", steps=2)
    results = adapter.pretrain_results(tmp_path / "run")
    check(f"metrics of two steps, {recipe}", results, rel=1e-4, abs=1e-5)
    norms = adapter.pretrain_weight_norms(tmp_path / "run")
    check(f"weights of two steps, {recipe}", norms, rel=1e-4)


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_weights(tmp_path, monkeypatch, one_thread):
    monkeypatch.setenv("SSL_AUDIO_CACHE", str(tmp_path / "cache"))
    music = material.write_music(tmp_path / "music")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    adapter.pretrain("byol", music, whole, steps=8, every=3)
    process = adapter.pretrain_process("byol", music, killed, steps=8, every=3)
    while not adapter.pretrain_checkpoint(killed).exists():
        assert process.is_alive()
        time.sleep(0.005)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert adapter.pretrain_results(killed) is None
    adapter.pretrain("byol", music, killed, steps=8, every=3, resume=True)
    log = adapter.pretrain_log(whole)
    assert sorted(log) == list(range(8))
    again = adapter.pretrain_log(killed)
    assert 7 in again and all(loss == pytest.approx(log[k], rel=1e-6) for k, loss in again.items())
    assert adapter.pretrain_results(killed) == adapter.pretrain_results(whole)
    assert adapter.pretrain_weights_hash(killed) == adapter.pretrain_weights_hash(whole)
    check("losses of eight steps, byol", [log[k] for k in range(8)], rel=1e-3)
