"""The tag command on a small labelled folder."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from commands import call
from safetensors.numpy import load_file

from ssl_audio import Probe, embed, load_encoder, probe, tag
from ssl_audio.io.console import SOME_FAILED
from ssl_audio.models import shipped
from ssl_audio.models.encoder import build_encoder
from ssl_audio.reports import page

RATE = 16_000
QUICK = ["limited_data.fractions=[]", "few_shot.shots=[]", "knn=null", "cost=false", "retrieval=[]",
         "bootstrap.resamples=2", "linear_probe.epochs=2", "linear_probe.steps=30",
         "linear_probe.learning_rate=0.02", "workers=1"]  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """An encoder, its probe on tracks of 1.5 s that are low or high, and a store of them."""
    home = tmp_path_factory.mktemp("home")
    torch.manual_seed(0)
    build_encoder(backbone="test_resnet", embedding_size=16, segment=1.0).save(
        home / "mine" / "encoder", card=""
    )
    time = np.arange(RATE * 3 // 2) / RATE
    for name, frequency in {"high": 3000, "low": 200}.items():
        (home / "music" / name).mkdir(parents=True)
        for k in range(15):
            rng = np.random.default_rng(k)
            tone = 0.3 * np.sin(2 * np.pi * frequency * rng.uniform(0.8, 1.2) * time)
            sound = tone + rng.normal(0, 0.02, len(time))
            soundfile.write(home / "music" / name / f"{k}.wav", sound, RATE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_AUDIO_CACHE", str(home / "cache"))
        patch.setattr(page, "write_report", lambda many, folder: [])
        status, _, err = call(
            probe.main, "dataset=folder", f"data.root={home / 'music'}", "hop=0.5", "baselines=[]",
            f"checkpoint={home / 'mine/encoder'}", f"run_dir={home / 'run'}", *QUICK,
        )  # fmt: skip
    assert status == 0, err
    status, _, err = call(
        embed.main, f"source={home / 'music'}", f"checkpoint={home / 'mine/encoder'}", "hop=0.5",
        f"output={home / 'store.parquet'}", "workers=1",
    )  # fmt: skip
    assert status == 0, err
    return home


@pytest.fixture
def run(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"checkpoint": home / "mine" / "encoder", "probe": home / "run" / "probes" / "mine",
             "output": "tags.parquet", "workers": 1}  # fmt: skip

    def run(**words):
        words = {k: v for k, v in {**given, **words}.items() if v is not None}
        return call(tag.main, *(f"{key}={value}" for key, value in words.items()))

    return run


def test_files_and_their_store_get_the_probabilities_of_the_formula(run, home, tmp_path):
    status, _, err = run(source=home / "music")
    assert status == 0 and "30 tracks: tags.parquet" in err
    table = pq.read_table("tags.parquet").to_pylist()
    folder = home / "run" / "probes" / "mine"
    arrays = load_file(folder / "probe.safetensors")
    weight, bias = arrays["0.weight"].astype(np.float64), arrays["0.bias"].astype(np.float64)
    tags = json.loads((folder / "config.json").read_text())["tags"]
    encoder = load_encoder(home / "mine" / "encoder")
    assert [one["name"] for one in tags] == ["high", "low"]
    for row in table[::7]:
        vector = encoder.embed_file(home / "music" / row["id"], hop=0.5).track.astype(np.float64)
        expected = set()
        for k, one in enumerate(tags):
            z = one["scale"] * (vector @ weight[:, k] + bias[k]) + one["shift"]
            p = 1 / (1 + np.exp(-z))
            assert row[f"probability:{one['name']}"] == pytest.approx(p, abs=1e-5)
            expected |= {one["name"]} if p >= one["threshold"] else set()
        assert set(row["tags"]) == expected and row["duration"] == 1.5
    assert np.mean([row["tags"] == [row["id"].split("/")[0]] for row in table]) > 0.7
    first = (tmp_path / "tags.parquet").read_bytes()
    assert run(source=home / "music")[0] == 0 and (tmp_path / "tags.parquet").read_bytes() == first

    assert run(features=home / "store.parquet", output="stored.parquet")[0] == 0
    stored = pq.read_table("stored.parquet").to_pylist()
    assert [(s["id"], s["tags"]) for s in stored] == [(r["id"], r["tags"]) for r in table]
    for one, other in zip(stored, table, strict=True):
        assert one["probability:high"] == pytest.approx(other["probability:high"], abs=1e-5)


def test_failed_files_are_listed_and_without_any_track_the_older_output_stays(run, home, tmp_path):
    (tmp_path / "broken.wav").write_bytes(b"RIFF nothing of use")
    (tmp_path / "good.wav").symlink_to(home / "music" / "low" / "0.wav")
    (tmp_path / "list.txt").write_text("broken.wav\ngood.wav\n")
    for _ in range(2):
        status, _, err = run(source="list.txt")
        assert status == SOME_FAILED and "1 files failed: tags-failures.csv" in err
        assert "broken.wav" in (tmp_path / "tags-failures.csv").read_text()
        assert pq.read_table("tags.parquet")["id"].to_pylist() == ["good.wav"]
    before = (tmp_path / "tags.parquet").read_bytes()
    status, _, err = run(source="broken.wav")
    assert status == 1 and "no track can be tagged: see tags-failures.csv" in err
    assert (tmp_path / "tags.parquet").read_bytes() == before
    assert run(source="good.wav")[0] == 0 and not (tmp_path / "tags-failures.csv").exists()
    assert not list(tmp_path.glob("*.tmp"))


def test_what_does_not_belong_together_is_refused_by_name(run, home, tmp_path, monkeypatch):
    other = build_encoder(backbone="test_resnet", embedding_size=16, segment=1.0)
    other.save(tmp_path / "other", card="")
    store, x = home / "store.parquet", np.random.default_rng(0).normal(size=(40, 16))
    made = Probe("logistic").fit(x, x[:, :2] > 0, encoder=other.weights_hash)
    made.save(tmp_path / "foreign")
    right = load_encoder(home / "mine" / "encoder").weights_hash
    Probe("logistic").fit(x, x[:, :2] > 0, encoder=right).save(tmp_path / "whole-hop")
    Probe("logistic").fit(x, x[:, :2] > 0).save(tmp_path / "unknown")
    before = {path: path.read_bytes() for path in store.iterdir()}
    for words, message in [
        ({"features": store, "probe": "foreign"}, f"for encoder {other.weights_hash[:12]}"),
        ({"features": store, "probe": "whole-hop"}, "hop=0.5, and the probe takes hop=1.0"),
        ({"features": store, "probe": "unknown"}, "does not say which encoder"),
        ({"features": store, "output": store}, "is no table of tags"),
        ({"features": store, "source": home}, "either source= or features="),
        ({}, "either source= or features="),
        ({"source": home / "music", "checkpoint": "other"}, "checkpoint=other is encoder"),
        ({"source": home / "music", "probe": "absent"}, "absent: no such model folder"),
        ({"source": home / "music", "probe": None}, "probe=null: a folder that ssl-audio probe"),
        ({"source": home / "music", "output": "tags.csv"}, "NAME.parquet"),
    ]:
        status, _, err = run(**words)
        assert status == 1 and message in err and err.count("\n") == 1, err
    assert {path: path.read_bytes() for path in store.iterdir()} == before
    monkeypatch.setattr(shipped, "_found", lambda name: None)
    status, _, err = run(source=home / "music", probe=None, checkpoint=None)
    assert status == 1 and f"probe={shipped.BEST}: no probe of this encoder comes with" in err
