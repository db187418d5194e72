"""An encoder of another sample rate gets audio of this rate, wherever it is used."""

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile
import torch

from ssl_audio import hear
from ssl_audio.audio import decode, shards
from ssl_audio.audio.sources import find_audio
from ssl_audio.catalogue.embedding import LocalEngine
from ssl_audio.catalogue.export import metadata
from ssl_audio.catalogue.tracks import Item
from ssl_audio.datasets.dataset import Split
from ssl_audio.io.errors import SslAudioError
from ssl_audio.models.encoder import Encoder, build_encoder
from ssl_audio.probing import finetune
from ssl_audio.probing.baselines import create_baseline
from ssl_audio.probing.encoders import PackageEncoder
from ssl_audio.probing.features import track_features
from ssl_audio.settings.pretrain import FolderData, ShardData
from ssl_audio.training import online_probe
from ssl_audio.training.budget import Budget
from ssl_audio.training.data import PairDataModule

RATE, SECONDS = 22_050, 9.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of noise at 44.1 kHz, stereo."""
    folder = tmp_path_factory.mktemp("rates")
    noise = np.random.default_rng(0).normal(0, 0.1, (round(SECONDS * 44_100), 2))
    soundfile.write(folder / "noise.wav", noise, 44_100, subtype="FLOAT")
    return folder


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    torch.manual_seed(0)
    frontend = {"sample_rate": RATE, "f_max": RATE / 2}
    return build_encoder(frontend, "resnet10t", embedding_size=16, segment=2.0).eval()


@pytest.fixture(scope="module")
def expected(folder: Path, encoder: Encoder) -> np.ndarray:
    """The embedding of the file, from its samples."""
    samples, rate = soundfile.read(folder / "noise.wav", dtype="float32")
    return encoder.embed(samples, rate).track


def close(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_files_and_catalogues(folder: Path, encoder: Encoder, expected: np.ndarray) -> None:
    path = folder / "noise.wav"
    close(encoder.embed_file(path).track, expected)
    [found] = encoder.embed_files([path])
    assert found.embedding is not None
    close(found.embedding.track, expected)
    row = LocalEngine(encoder.folded()).row(Item("noise.wav", path))
    close(row.vector, expected)
    assert row.duration == pytest.approx(SECONDS)
    assert metadata(encoder)["sample_rate"] == str(RATE)


def test_probes(folder: Path, encoder: Encoder, expected: np.ndarray, tmp_path: Path) -> None:
    paths = [folder / "noise.wav"]
    one = PackageEncoder("mine", "checkpoint", "here", encoder, None)
    close(track_features(one, ["noise"], paths, cache=tmp_path).means[0], expected)
    split = Split(["noise"], paths, np.ones((1, 2), bool))
    segments = finetune._Segments(split, 2.0, RATE, seed=0)
    waveform, _, readable = segments[finetune.PairKey(finetune.CENTRE, 0)]
    assert readable
    np.testing.assert_array_equal(waveform, decode.read(paths[0], 3.5, 2.0, RATE))


def test_the_probe_of_a_training_run(folder: Path, encoder: Encoder, expected: np.ndarray) -> None:
    part = Split(("noise",), (folder / "noise.wav",), np.ones((1, 1)))
    features = online_probe.encoder_features(encoder)
    rows, _ = online_probe._collect(part, features, "mine", RATE)
    close(rows[0], expected)


def test_the_hear_api_in_both_directions(
    folder: Path, encoder: Encoder, expected: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = hear.HearModel(encoder)
    samples = decode.read(folder / "noise.wav", sample_rate=model.sample_rate)
    close(hear.get_scene_embeddings(torch.from_numpy(samples)[None], model)[0].numpy(), expected)
    module = ModuleType("hear_module")
    module.load_model = lambda: model  # type: ignore[attr-defined]
    module.get_scene_embeddings = hear.get_scene_embeddings  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "hear_module", module)
    baseline = create_baseline("hear:hear_module")
    assert baseline.sample_rate == RATE
    close(baseline.features(decode.Stream(folder / "noise.wav", RATE))[0], expected)


def test_training_and_shards(folder: Path, tmp_path: Path) -> None:
    options = {"batch_size": 1, "workers": 0, "cache": tmp_path}
    data = PairDataModule(FolderData(root=folder, **options), sample_rate=RATE)
    data.setup()
    data.follow(Budget(steps=1, batch_size=1))
    [batch] = data.train_dataloader()
    start = float(batch["starts"][0, 0])
    expected = decode.read(folder / "noise.wav", start, 4.0, RATE)
    np.testing.assert_array_equal(batch["anchor"][0], expected)
    shards.write_shards(find_audio(folder), tmp_path / "shards", cache=tmp_path)
    prepared = ShardData(root=tmp_path / "shards", **options)
    with pytest.raises(SslAudioError, match="takes 22050 Hz and shards hold 16000 Hz"):
        PairDataModule(prepared, sample_rate=RATE).setup()
    PairDataModule(prepared).setup()
