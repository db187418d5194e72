"""An encoder as one file."""

import copy
import json
import zipfile

import pytest
import torch

import ssl_audio
from ssl_audio import export as command
from ssl_audio.catalogue import export
from ssl_audio.io.errors import SslAudioError
from ssl_audio.models.encoder import build_encoder

SUFFIXES = [".onnx", ".pt2"]
# batch and samples: one sample, half a frame's window, below and above the 4 s it is trained for,
# odd numbers of frames, lengths that leave the pooler one column and several, half a minute
SHAPES = [(1, 1), (2, 300), (1, 8_000), (3, 16_000), (7, 16_385), (2, 33_333), (4, 64_000),
          (1, 100_001), (1, 480_000)]  # fmt: skip


def random_encoder(**arguments):
    """An encoder whose embeddings differ from input to input, as a new one's hardly do."""
    torch.manual_seed(0)
    encoder = build_encoder(**arguments).eval()
    for layer in encoder.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(layer.running_mean, 0, 0.1)
            torch.nn.init.uniform_(layer.running_var, 0.8, 1.5)
            torch.nn.init.normal_(layer.bias, 0, 0.2)
    torch.nn.init.normal_(encoder.backbone.head.pos_embed, 0, 0.3)
    return encoder


@pytest.fixture(scope="module")
def encoder():
    """The one of the fixture `exported`."""
    return ssl_audio.load_encoder("contrastive")


def test_a_normalized_front_end_is_exported_too():
    encoder = random_encoder(frontend="normalized")
    waveform = 0.01 * torch.randn(2, 30_000, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = export.Exportable(copy.deepcopy(encoder)).eval()(waveform)
        torch.testing.assert_close(found, encoder(waveform), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(encoder(50 * waveform), encoder(waveform), rtol=1e-4, atol=1e-4)


def difference(encoder, run, batch, samples):
    """Largest difference of a file's embeddings, relative to the largest embedding."""
    generator = torch.Generator().manual_seed(samples)
    waveform = 0.2 * torch.randn(batch, samples, generator=generator)
    waveform *= torch.linspace(1, 0, samples)  # so that the end is not like the beginning
    with torch.inference_mode():
        expected = encoder(waveform)
        found = run(waveform.clone())
    assert found.shape == expected.shape
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(("batch", "samples"), SHAPES)
def test_file_gives_the_encoders_embeddings(encoder, exported, suffix, batch, samples):
    assert difference(encoder, exported.run(suffix), batch, samples) < 1e-4


def test_embeddings_of_the_test_encoder_differ(encoder):
    with torch.inference_mode():
        a, b = encoder(torch.randn(1, 16_000)), encoder(torch.randn(1, 64_000).cumsum(1) / 100)
    assert (a - b).abs().max() > 0.05 * a.abs().max()


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_reported_size_and_difference_are_those_of_the_file(encoder, exported, suffix):
    found = exported(suffix)
    assert 11e6 < found.size == found.path.stat().st_size < 14e6
    assert 0 < found.difference < 1e-4 * found.largest
    assert not [path for path in found.path.parent.iterdir() if path.name.startswith(".")]


@pytest.mark.slow
def test_onnx_names_its_axes_and_the_encoder(encoder, exported):
    path = exported(".onnx").path
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path))
    assert session.get_inputs()[0].name == "waveform"
    assert session.get_inputs()[0].shape == ["batch", "samples"]
    assert session.get_outputs()[0].name == "embedding"
    assert session.get_outputs()[0].shape == ["batch", 1024]
    assert_names(encoder, session.get_modelmeta().custom_metadata_map)


@pytest.mark.slow
def test_a_pt2_names_the_encoder_in_an_extra_file(encoder, exported):
    with zipfile.ZipFile(exported(".pt2").path) as archive:
        [name] = [n for n in archive.namelist() if n.endswith(f"/extra/{export.METADATA}")]
        assert_names(encoder, json.loads(archive.read(name)))


def assert_names(encoder, metadata):
    assert metadata["model"] == encoder.weights_hash
    assert (metadata["sample_rate"], metadata["segment"]) == ("16000", "4.0")


def test_export_leaves_the_encoder_alone(encoder, exported):
    other = copy.deepcopy(encoder).train()
    before = other.weights_hash
    export.Exportable(other)
    assert other.training and other.weights_hash == before
    assert any(isinstance(layer, torch.nn.AvgPool2d) for layer in other.modules())


@pytest.mark.parametrize("size", [1, 2, 3, 5, 14, 29])
@pytest.mark.parametrize("known", [1, 3, 4, 9])
def test_positions_are_resampled_as_by_interpolate(known, size):
    row = torch.randn(1, 1, 1, known, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.interpolate(row, size=(1, size), mode="bicubic", antialias=True)
    found = export._resampling(known, size) @ row[0, 0, 0]
    torch.testing.assert_close(found, expected[0, 0, 0], atol=1e-5, rtol=1e-5)


def different(encoder, path):
    path.write_text("a file")


def test_file_that_differs_is_refused_and_the_old_one_stays(encoder, tmp_path, monkeypatch):
    output = tmp_path / "encoder.pt2"
    output.write_text("old")
    wrong = (different, lambda path: lambda waveform: encoder(waveform) + 0.01)
    monkeypatch.setitem(export.FORMATS, ".pt2", wrong)
    with pytest.raises(SslAudioError, match="would differ") as caught:
        export.export(encoder, output)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["encoder.pt2"]
    assert output.read_text() == "old"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_embeddings_that_are_not_finite_are_refused(encoder, tmp_path, monkeypatch, value):
    wrong = (different, lambda path: lambda waveform: encoder(waveform) + value)
    monkeypatch.setitem(export.FORMATS, ".pt2", wrong)
    with pytest.raises(SslAudioError, match="would differ"):
        export.export(encoder, tmp_path / "encoder.pt2")


def refused(capsys, *words):
    assert command.main(list(words)) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
    return said


def test_bad_input_is_refused_in_one_line(encoder, tmp_path, capsys, monkeypatch):
    folder = encoder.save(tmp_path / "encoder", card="")
    assert ".onnx, .pt2" in refused(capsys, f"checkpoint={folder}", "output=encoder.tflite")
    assert "checkpoint=" in refused(capsys, "output=encoder.pt2")
    assert "no such" in refused(capsys, f"checkpoint={tmp_path}/none", "output=encoder.pt2")
    assert "a local path" in refused(capsys, f"checkpoint={folder}", "output=s3://bucket/x.onnx")
    assert "output=null" in refused(capsys, f"checkpoint={folder}", "output=null")
    assert "no such" in refused(capsys, "checkpoint=null", "output=encoder.pt2")
    assert "Did you mean output?" in refused(capsys, f"checkpoint={folder}", "outptu=x.onnx")
    (tmp_path / "x.pt2").mkdir()
    assert "folder" in refused(capsys, f"checkpoint={folder}", f"output={tmp_path}/x.pt2")
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    said = refused(capsys, f"checkpoint={folder}", f"output={tmp_path}/x.onnx")
    assert 'pip install "ssl_audio[onnx]"' in said


def test_command_prints_by_how_much_the_file_differs(encoder, tmp_path, capsys, monkeypatch):
    folder = encoder.save(tmp_path / "encoder", card="")
    same = (different, lambda path: ssl_audio.load_encoder(folder))
    monkeypatch.setitem(export.FORMATS, ".pt2", same)
    assert command.main([f"checkpoint={folder}", f"output={tmp_path}/new/x.pt2"]) == 0
    assert "at most 0.0e+00" in capsys.readouterr().err
    assert (tmp_path / "new" / "x.pt2").read_text() == "a file"
