"""Teachers: windows on a grid, targets between them, and each kind against its own library."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from ssl_audio.audio.scan import Track
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.remote import Url
from ssl_audio.models.encoder import load_encoder
from ssl_audio.models.musicnn import load_musicnn
from ssl_audio.stores.columns import Row
from ssl_audio.stores.remote import published
from ssl_audio.stores.writer import Store
from ssl_audio.training.targets import Targets
from ssl_audio.training.teachers import create_teacher
from ssl_audio.training.teachers.teacher import Teacher

RATE = 16_000


class Means:
    """Mean and largest sample of a window."""

    key, sample_rate = "means", RATE

    def __call__(self, waveforms):
        return torch.stack([waveforms.mean(1), waveforms.amax(1)], dim=1)


def ramp(seconds):
    return np.arange(round(seconds * RATE), dtype=np.float32) / RATE / 20


@pytest.fixture
def tracks(tmp_path):
    """Ramps of 9.5 s and 1.5 s, and a file that is no audio."""
    found = []
    for name, seconds in (("long", 9.5), ("short", 1.5)):
        path = tmp_path / f"{name}.wav"
        soundfile.write(path, ramp(seconds), RATE, subtype="FLOAT")
        found.append(Track(str(path), seconds))
    (tmp_path / "broken.wav").write_bytes(b"no audio")
    return [*found, Track(str(tmp_path / "broken.wav"), 5.0)]


def test_targets_lie_between_the_windows_of_a_grid(tracks, tmp_path, capsys):
    teacher = Teacher("means", Means(), window=2.0, hop=2.0)
    targets = teacher.targets(tracks, tmp_path / "cache")
    # windows of the long track start at 0, 2, 4, 6 and 7.5 s; the mean of a ramp is its middle
    centres = np.array([1.0, 3, 5, 7, 8.5])
    means = np.append(centres, 0.75 * 1.5 / 2)  # the short one is padded with silence
    at = torch.tensor([[1.0, 0, 0], [4.0, 1, 1], [100.0, 9, 9], [0.0, 1, 1]])
    found = targets.at(torch.tensor([0, 1, 2]), at.double())[:, :, 0]
    expected = (np.array([1.0, 4, 8.5, 1]) - means.mean()) / means.std()
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-4)
    np.testing.assert_allclose(found[:, 1], (means[5] - means.mean()) / means.std(), atol=1e-4)
    assert found[:, 2].isnan().all()
    assert "1 tracks cannot be read" in capsys.readouterr().err
    assert teacher.size == 2


def test_outputs_are_computed_once(tracks, tmp_path):
    class Once(Means):
        calls = 0

        def __call__(self, waveforms):
            Once.calls += len(waveforms)
            return super().__call__(waveforms)

    for _ in range(2):
        Teacher("means", Once(), window=2.0, hop=2.0).targets(tracks[:2], tmp_path / "cache")
    assert Once.calls == 6


def test_the_scale_is_that_of_the_tracks_that_are_trained_on():
    rng = np.random.default_rng(0)
    rows, centres = rng.normal(3, 2, (7, 4)).astype(np.float32), np.arange(7.0)
    first, last = np.array([0, 5]), np.array([5, 7])
    alone = Targets(rows[:5], centres[:5], first[:1], last[:1])
    both = Targets(rows, centres, first, last, trained=1)
    at = torch.tensor([[1.5, 5.0], [4.0, 6.0]]).double()
    found = both.at(torch.tensor([0, 1]), at)
    assert torch.equal(found[:, :1], alone.at(torch.tensor([0]), at[:, :1]))
    scaled = (rows[5:] - rows[:5].mean(0)) / rows[:5].std(0)
    np.testing.assert_allclose(found[:, 1], scaled, rtol=1e-4)


def test_a_dimension_that_never_varies_is_zero():
    rows = np.array([[1.0, 3.0], [1.0, 5.0]], np.float32)
    targets = Targets(rows, np.array([1.0, 2.0]), np.array([0]), np.array([2]))
    found = targets.at(torch.tensor([0]), torch.tensor([[1.0], [2.0], [1.25]]))
    np.testing.assert_allclose(found[:, 0], [[0, -1], [0, 1], [0, -0.5]])


@pytest.mark.parametrize("at_url", [False, True])
def test_a_store_with_segments_is_a_teacher(tracks, tmp_path, monkeypatch, at_url):
    monkeypatch.setenv("SSL_AUDIO_CACHE", str(tmp_path / "cache"))
    name = f"memory://{tmp_path.name}/store.parquet" if at_url else f"{tmp_path}/store.parquet"
    rng = np.random.default_rng(0)
    rows, times = rng.normal(size=(3, 4)).astype(np.float32), np.array([0.0, 2.0, 5.5])
    about = {"kind": "embedding", "segment": 2.0}
    place = Url(name) if at_url else Path(name)
    with published(place) as output, Store(output.path, about, segments=True) as store:
        store.add(Row("a", tracks[0].path, 9.5, "", rows.mean(0), rows, times))
        store.close()
    teacher = create_teacher(name, 4.0, 4.0)
    found = teacher.targets(tracks[:2], None).at(torch.tensor([0, 1]), torch.tensor([[2.0, 2.0]]))
    expected = (rows[:2].mean(0) - rows.mean(0)) / rows.std(0)
    np.testing.assert_allclose(found[0, 0], expected, rtol=1e-4, atol=1e-5)
    assert teacher.size == 4 and found[0, 1].isnan().all()
    with pytest.raises(SslAudioError, match="has none of the 1 tracks"):
        teacher.targets(tracks[1:2], None)


@pytest.mark.slow
def test_encoders_and_their_onnx_files_teach_alike(exported, tmp_path):
    encoder = load_encoder("contrastive")
    folder = encoder.save(tmp_path / "encoder", "")
    waveforms = 0.1 * torch.randn(3, 2 * RATE)
    with torch.inference_mode():
        expected = encoder(waveforms).numpy()
    for name in (folder, f"encoder:{folder}", f"onnx:{exported('.onnx').path}"):
        teacher = create_teacher(str(name), 2.0, 2.0)
        found = teacher.features([waveforms.flatten().numpy()])
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
        assert teacher.size == 1024


def test_musicnn_teaches_the_means_and_maxima_of_its_layers():
    waveform = (0.1 * torch.randn(3 * RATE)).numpy()
    network = load_musicnn()
    with torch.inference_mode():
        outputs = network(network.log_mel(torch.from_numpy(waveform)[None]))
    expected = torch.cat([outputs.mean_pool, outputs.max_pool], dim=1)
    found = torch.from_numpy(create_teacher("musicnn", 3.0, 3.0).features([waveform]))
    assert torch.nn.functional.cosine_similarity(found, expected).item() > 0.999


@pytest.mark.parametrize(
    "name, message",
    [
        (
            "nowhere",
            "teacher=nowhere: neither the folder or name of an encoder nor a feature",
        ),
        ("nowhere.parquet", "nowhere.parquet: no such file"),
        ("hear:nowhere", "hear:nowhere: cannot be loaded"),
        ("musicnn:nowhere", "nowhere"),
    ],
)
def test_teachers_that_cannot_be_read_are_named(name, message):
    with pytest.raises(SslAudioError, match=message):
        create_teacher(name, 4.0, 4.0)
