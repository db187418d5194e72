"""The encoder: its size, its inputs, its folder."""

import json

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

import ssl_audio
from ssl_audio.io.errors import CheckpointError, SslAudioError
from ssl_audio.models import shipped
from ssl_audio.models.backbone import create_backbone
from ssl_audio.models.embedder import segments
from ssl_audio.models.encoder import build_encoder
from ssl_audio.models.shipped import NAMES
from ssl_audio.models.waveforms import mono_waveform


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return ssl_audio.build_encoder().eval()


def noise(*shape):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def test_parameter_count_is_the_papers(encoder):
    assert sum(p.numel() for p in encoder.parameters()) == 2_800_392


@pytest.mark.parametrize("samples", [1, 700, 16_000, 64_000, 100_001, 480_000])
def test_any_length_gives_a_finite_embedding(encoder, samples):
    with torch.inference_mode():
        embedding = encoder(noise(2, samples))
    assert embedding.shape == (2, 1024) and embedding.isfinite().all()


WRONG = [torch.zeros(64_000), torch.zeros(1, 2, 9), torch.ones(1, 9).int()]


@pytest.mark.parametrize("wrong", WRONG)
def test_other_shapes_and_types_are_refused(encoder, wrong):
    with pytest.raises(ValueError, match="batch, samples"):
        encoder(wrong)


def test_embedding_does_not_depend_on_the_batch(encoder):
    waveforms = noise(5, 64_000)
    with torch.inference_mode():
        together = encoder(waveforms)
        alone = torch.cat([encoder(w[None]) for w in waveforms])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("samples", "hop", "starts"),
    [(10, 4, [0, 4, 6]), (8, 4, [0, 4]), (3, 4, [0]), (9, 2, [0, 2, 4, 5]), (20, 9, [0, 9, 16])],
)
def test_segments_lie_every_hop_and_at_the_end(samples, hop, starts):
    waveform = np.arange(samples)
    found = list(segments([waveform], 4, hop))
    assert [start for start, _ in found] == starts
    for start, part in found:
        np.testing.assert_array_equal(part, waveform[start : start + 4])


@given(st.integers(1, 60), st.integers(1, 12), st.integers(1, 20), st.lists(st.integers(0, 60)))
def test_segments_do_not_depend_on_the_blocks(samples, length, hop, cuts):
    waveform = np.arange(samples)
    whole = list(segments([waveform], length, hop))
    parts = list(segments(np.split(waveform, sorted(cuts)), length, hop))
    assert [start for start, _ in parts] == [start for start, _ in whole]
    for (_, part), (_, expected) in zip(parts, whole, strict=True):
        np.testing.assert_array_equal(part, expected)


def test_embed_file_equals_the_segments_by_hand(encoder, tmp_path):
    waveform = noise(16_000 * 10).numpy()
    soundfile.write(tmp_path / "a.wav", waveform, 16_000, subtype="FLOAT")
    found = encoder.embed_file(tmp_path / "a.wav", hop=2.5)
    starts = [0, 39_936, 79_872, 96_000]  # 2.5 s are 78 whole frames and a bit
    with torch.inference_mode():
        expected = encoder(torch.from_numpy(np.stack([waveform[s : s + 64_000] for s in starts])))
    np.testing.assert_allclose(found.segments, expected.numpy(), atol=1e-5)
    np.testing.assert_allclose(found.track, expected.numpy().mean(0), atol=1e-5)
    np.testing.assert_allclose(found.times, np.array(starts) / 16_000)


def test_real_recordings(encoder, shared):
    for path in sorted((shared / "audio" / "recordings").glob("*.ogg"))[:3]:
        embedding = encoder.embed_file(path)
        assert np.isfinite(embedding.segments).all()
        assert embedding.track.shape == (1024,)


def test_other_backbone_and_its_misspelling():
    network = create_backbone("resnet10t", 32)
    assert network(torch.zeros(1, 1, 128, 126)).shape == (1, 32)
    with pytest.raises(SslAudioError, match="resnet10t"):
        create_backbone("resnet10tt")


def test_saved_folder_gives_the_same_encoder(encoder, tmp_path):
    folder = encoder.save(tmp_path / "enc", card="# card", metadata={"seed": 3})
    loaded = ssl_audio.load_encoder(folder)
    assert not loaded.training and loaded.weights_hash == encoder.weights_hash
    with torch.inference_mode():
        assert torch.equal(loaded(noise(1, 64_000)), encoder(noise(1, 64_000)))
    assert (folder / "README.md").read_text() == "# card"
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}
    assert json.loads((folder / "config.json").read_text())["metadata"] == {"seed": 3}
    encoder.save(folder, card="# again")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["enc"]


def damage_truncate(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def damage_flip(folder):
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(bytes(data))


def damage_config(folder):
    (folder / "config.json").write_text("{")


def damage_nesting(folder):
    (folder / "config.json").write_text('{"format":' + "[" * 100_000)


def damage_architecture(folder):
    config = json.loads((folder / "config.json").read_text())
    config["encoder"]["embedding_size"] = 512
    (folder / "config.json").write_text(json.dumps(config))


def damage_missing(folder):
    (folder / "model.safetensors").unlink()


def damage_format(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"format": 99}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_truncate, "checksum"),
        (damage_flip, "checksum"),
        (damage_config, "damaged"),
        (damage_nesting, "nested too deeply"),
        (damage_architecture, "another architecture"),
        (damage_missing, "no model.safetensors"),
        (damage_format, "format 99"),
    ],
)
def test_damaged_folders_are_refused(encoder, tmp_path, damage, message):
    folder = encoder.save(tmp_path / "enc", card="")
    damage(folder)
    with pytest.raises(CheckpointError, match=message) as caught:
        ssl_audio.load_encoder(folder)
    assert "\n" not in str(caught.value)


def test_a_training_checkpoint_is_not_an_encoder(tmp_path):
    with pytest.raises(CheckpointError, match="resuming"):
        ssl_audio.load_encoder(tmp_path / "last.ckpt")
    with pytest.raises(CheckpointError, match="no such model folder"):
        ssl_audio.load_encoder(tmp_path / "none")


def test_folded_batch_norms_give_equal_embeddings():
    encoder = build_encoder().eval()
    for layer in encoder.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
    waveform = torch.randn(2, 64_000)
    folded = encoder.folded()
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in folded.network.modules())
    assert any(isinstance(layer, torch.nn.BatchNorm2d) for layer in encoder.modules())
    with torch.inference_mode():
        torch.testing.assert_close(folded(waveform), encoder(waveform), rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def quick():
    torch.manual_seed(0)
    return build_encoder(backbone="test_resnet", embedding_size=32).eval()


@pytest.mark.parametrize("rate", [16_000, 44_100, 8_000])
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_an_array_gives_the_embedding_of_its_file(quick, tmp_path, rate, channels):
    samples = 0.3 * np.random.default_rng(0).standard_normal((rate * 5, channels)).clip(-3, 3)
    soundfile.write(tmp_path / "a.wav", samples, rate, subtype="PCM_16")
    expected = quick.embed_file(tmp_path / "a.wav")
    pcm, _ = soundfile.read(tmp_path / "a.wav", dtype="int16", always_2d=True)
    floats, _ = soundfile.read(tmp_path / "a.wav", dtype="float64", always_2d=True)
    for array in (pcm, floats, pcm.T, torch.from_numpy(floats.astype(np.float32).T.copy())):
        found = quick.embed(array, sample_rate=rate)
        np.testing.assert_array_equal(found.times, expected.times)
        np.testing.assert_allclose(found.segments, expected.segments, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("pcm", "expected"),
    [
        (np.array([0, 128, 255], np.uint8), [-1, 0, 127 / 128]),
        (np.array([-128, 0, 127], np.int8), [-1, 0, 127 / 128]),
        (np.array([-32768, 0, 32767], np.int16), [-1, 0, 32767 / 32768]),
        (np.array([-(2**31), 0], np.int32), [-1, 0]),
    ],
)
def test_integer_samples_are_scaled_by_their_full_scale(pcm, expected):
    np.testing.assert_allclose(mono_waveform(pcm, 16_000, 16_000), expected, atol=1e-7)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros(0, np.float32), "not \\(0,\\)"),
        (np.zeros((2, 0)), "not \\(2, 0\\)"),
        (np.zeros((2, 2, 2)), "not \\(2, 2, 2\\)"),
        (np.array([0.0, np.nan]), "NaN"),
        (np.array([0.0, 1e300]), "infinite"),
        (np.zeros(9, np.int64), "int64"),
        (np.zeros(9, bool), "bool"),
    ],
)
def test_arrays_that_are_no_waveform_are_refused(encoder, wrong, message):
    with pytest.raises(ValueError, match=message):
        encoder.embed(wrong)


def test_an_encoder_in_training_mode_does_not_embed():
    with pytest.raises(ValueError, match="evaluation mode"):
        build_encoder(embedding_size=8).train().embed(np.zeros(16_000))


def test_embed_files_is_ordered_and_reports_errors_by_file(encoder, tmp_path, capsys):
    paths = []
    for index, seconds in enumerate([9, 1, 3, 5]):
        paths.append(tmp_path / f"{index}.wav")
        soundfile.write(paths[-1], noise(16_000 * seconds).numpy(), 16_000)
    paths[2].write_bytes(b"not audio")
    found = list(encoder.embed_files(paths, workers=2))
    assert [one.path for one in found] == paths
    assert [one.error is None for one in found] == [True, True, False, True]
    assert str(paths[2]) in str(found[2].error)
    for one in (found[0], found[3]):
        alone = encoder.embed_file(one.path).track
        np.testing.assert_allclose(one.embedding.track, alone, rtol=0, atol=1e-4)
    assert "embedding" in capsys.readouterr().err
    list(encoder.embed_files(paths[:1], progress=False))
    assert capsys.readouterr().err == ""


def test_shipped_encoders_are_found_by_name(tmp_path, monkeypatch):
    for name in NAMES:
        assert ssl_audio.load_encoder(name).embedding_size == 1024
    monkeypatch.setattr(shipped, "__file__", str(tmp_path / "ssl_audio" / "models" / "shipped.py"))
    with pytest.raises(CheckpointError, match="not part of the wheel"):
        ssl_audio.load_encoder("distilled")
    with pytest.raises(CheckpointError, match="no such model folder"):
        ssl_audio.load_encoder("contrastiv")
