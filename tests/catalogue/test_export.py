"""An encoder as one file, and as a repository of the Hugging Face Hub."""

import copy
import functools
import json
import pickle

import pytest
import torch

import ssl_audio
from ssl_audio import export as command
from ssl_audio.catalogue import export as deploy
from ssl_audio.io.errors import CheckpointError, SslAudioError
from ssl_audio.models.encoder import Encoder, build_encoder

SUFFIXES = [".onnx", ".pt2"]
# batch and samples: one sample, half a frame's window, below and above the 1 s it is trained for,
# odd numbers of frames, lengths that leave the pooler one column and several, half a minute
SHAPES = [(1, 1), (2, 300), (1, 8_000), (3, 16_000), (7, 16_385), (2, 33_333), (4, 64_000),
          (1, 100_001), (1, 480_000)]  # fmt: skip


def trained(**arguments):
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
    return trained(embedding_size=32, segment=1.0)


@pytest.fixture(scope="module")
def deployed(encoder, tmp_path_factory):
    """What `deploy` returns for a suffix, made once."""
    folder, made = tmp_path_factory.mktemp("deployed"), {}

    def deployed(suffix):
        if suffix == ".onnx":
            pytest.importorskip("onnxruntime")
            pytest.importorskip("onnxscript")
        if suffix not in made:
            made[suffix] = deploy.deploy(encoder, folder / f"encoder{suffix}")
        return made[suffix]

    return deployed


@functools.cache
def opened(path):
    if path.suffix == ".pt2":
        return torch.export.load(path).module()
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path))
    return lambda waveform: torch.from_numpy(session.run(["embedding"], {"waveform": waveform})[0])


def difference(encoder, path, batch, samples):
    """Largest difference of a file's embeddings, relative to the largest embedding."""
    generator = torch.Generator().manual_seed(samples)
    waveform = 0.2 * torch.randn(batch, samples, generator=generator)
    waveform *= torch.linspace(1, 0, samples)  # so that the end is not like the beginning
    with torch.inference_mode():
        expected = encoder(waveform)
        found = opened(path)(waveform.numpy() if path.suffix == ".onnx" else waveform)
    assert found.shape == expected.shape
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(("batch", "samples"), SHAPES)
def test_file_gives_the_encoders_embeddings(encoder, deployed, suffix, batch, samples):
    assert difference(encoder, deployed(suffix).path, batch, samples) < 1e-4


def test_embeddings_of_the_test_encoder_tell_inputs_apart(encoder):
    with torch.inference_mode():
        a, b = encoder(torch.randn(1, 16_000)), encoder(torch.randn(1, 64_000).cumsum(1) / 100)
    assert (a - b).abs().max() > 0.05 * a.abs().max()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_reported_is_what_was_written(encoder, deployed, suffix):
    found = deployed(suffix)
    assert found.size == found.path.stat().st_size > 9_000_000
    assert 0 < found.difference < 1e-4 * found.largest
    assert not [path for path in found.path.parent.iterdir() if path.name.startswith(".")]


def test_onnx_says_which_encoder_it_is(encoder, deployed):
    path = deployed(".onnx").path
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path))
    said = session.get_modelmeta().custom_metadata_map
    assert said["model"] == encoder.weights_hash
    assert (said["sample_rate"], said["segment"]) == ("16000", "1.0")
    assert session.get_inputs()[0].name == "waveform"
    assert session.get_inputs()[0].shape == ["batch", "samples"]
    assert session.get_outputs()[0].shape == ["batch", 32]


def test_pt2_says_which_encoder_it_is(encoder, deployed):
    extra = {deploy.METADATA: ""}
    torch.export.load(deployed(".pt2").path, extra_files=extra)
    assert json.loads(extra[deploy.METADATA])["model"] == encoder.weights_hash


def test_export_leaves_the_encoder_alone(encoder, deployed):
    other = copy.deepcopy(encoder).train()
    before = other.weights_hash
    deploy.Exportable(other)
    assert other.training and other.weights_hash == before
    assert any(isinstance(layer, torch.nn.AvgPool2d) for layer in other.modules())


@pytest.mark.parametrize("wanted", [1, 2, 3, 5, 14, 29])
@pytest.mark.parametrize("known", [1, 3, 4, 9])
def test_positions_are_resampled_as_by_interpolate(known, wanted):
    row = torch.randn(1, 1, 1, known, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.interpolate(
        row, size=(1, wanted), mode="bicubic", antialias=True
    )
    found = deploy._resampling(known, wanted) @ row[0, 0, 0]
    torch.testing.assert_close(found, expected[0, 0, 0], atol=1e-5, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_papers_encoder(tmp_path, suffix):
    if suffix == ".onnx":
        pytest.importorskip("onnxruntime")
    encoder = trained()
    found = deploy.deploy(encoder, tmp_path / f"encoder{suffix}")
    assert 11e6 < found.size < 14e6
    for batch, samples in [(1, 16_000), (4, 64_000), (2, 55_555), (1, 480_000)]:
        assert difference(encoder, found.path, batch, samples) < 1e-4


def different(encoder, path):
    path.write_text("a file")


def test_file_that_differs_is_refused_and_the_old_one_stays(encoder, tmp_path, monkeypatch):
    output = tmp_path / "encoder.pt2"
    output.write_text("old")
    wrong = (different, lambda path: lambda waveform: encoder(waveform) + 0.01)
    monkeypatch.setitem(deploy.FORMATS, ".pt2", wrong)
    with pytest.raises(SslAudioError, match="would differ") as caught:
        deploy.deploy(encoder, output)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["encoder.pt2"]
    assert output.read_text() == "old"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_embeddings_that_are_not_finite_are_refused(encoder, tmp_path, monkeypatch, value):
    wrong = (different, lambda path: lambda waveform: encoder(waveform) + value)
    monkeypatch.setitem(deploy.FORMATS, ".pt2", wrong)
    with pytest.raises(SslAudioError, match="would differ"):
        deploy.deploy(encoder, tmp_path / "encoder.pt2")


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
    (tmp_path / "x.pt2").mkdir()
    assert "folder" in refused(capsys, f"checkpoint={folder}", f"output={tmp_path}/x.pt2")
    monkeypatch.setattr(deploy, "find_spec", lambda name: None)
    said = refused(capsys, f"checkpoint={folder}", f"output={tmp_path}/x.onnx")
    assert 'pip install "ssl_audio[onnx]"' in said


def test_command_says_how_far_the_file_differs(encoder, tmp_path, capsys, monkeypatch):
    folder = encoder.save(tmp_path / "encoder", card="")
    same = (different, lambda path: ssl_audio.load_encoder(folder))
    monkeypatch.setitem(deploy.FORMATS, ".pt2", same)
    assert command.main([f"checkpoint={folder}", f"output={tmp_path}/new/x.pt2"]) == 0
    assert "at most 0.0e+00" in capsys.readouterr().err
    assert (tmp_path / "new" / "x.pt2").read_text() == "a file"


# Hugging Face Hub


def test_pretrained_folder_round_trip(encoder, tmp_path):
    encoder.save_pretrained(tmp_path / "enc")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["enc"]
    names = ["README.md", "config.json", "model.safetensors"]
    assert sorted(p.name for p in (tmp_path / "enc").iterdir()) == names
    assert (tmp_path / "enc" / "README.md").read_text().startswith("---\nlibrary_name: ssl_audio")
    for loaded in (Encoder.from_pretrained(tmp_path / "enc"),
                   ssl_audio.load_encoder(tmp_path / "enc")):  # fmt: skip
        assert loaded.weights_hash == encoder.weights_hash and not loaded.training
        with torch.inference_mode():
            assert torch.equal(loaded(torch.ones(1, 16_000)), encoder(torch.ones(1, 16_000)))


def test_card_metadata_and_other_files_are_kept(encoder, tmp_path):
    encoder.save(tmp_path / "run", card="# of a run", metadata={"seed": 3})
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo" / ".gitattributes").write_text("mine")
    (tmp_path / "repo" / "README.md").write_text("old")
    Encoder.from_pretrained(tmp_path / "run").save_pretrained(tmp_path / "repo")
    assert (tmp_path / "repo" / ".gitattributes").read_text() == "mine"
    card = (tmp_path / "repo" / "README.md").read_text()
    assert card.startswith("---\n") and card.endswith("# of a run")
    config = json.loads((tmp_path / "repo" / "config.json").read_text())
    assert config["metadata"] == {"seed": 3}
    again = Encoder.from_pretrained(tmp_path / "repo")
    again.save_pretrained(tmp_path / "repo")
    assert (tmp_path / "repo" / "README.md").read_text() == card


def test_repository_is_downloaded_as_asked(encoder, tmp_path, monkeypatch):
    folder, asked = encoder.save(tmp_path / "enc", card=""), {}

    def download(repository, **options):
        asked.update(options, repository=repository)
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    loaded = Encoder.from_pretrained(
        "owner/name", revision="v1", cache_dir=tmp_path, token="t", local_files_only=True
    )
    assert loaded.weights_hash == encoder.weights_hash
    assert asked == {
        "repository": "owner/name", "revision": "v1", "cache_dir": tmp_path, "token": "t",
        "local_files_only": True, "force_download": False,
        "allow_patterns": ["model.safetensors", "config.json", "README.md"],
    }  # fmt: skip


def test_push_uploads_the_folder(encoder, tmp_path, monkeypatch):
    uploaded = {}

    class Api:
        def __init__(self, token=None):
            pass

        def create_repo(self, repo_id, **options):
            self.repo_id = repo_id
            return self

        def upload_folder(self, folder_path, **options):
            uploaded["names"] = sorted(path.name for path in folder_path.iterdir())
            uploaded["hash"] = ssl_audio.load_encoder(folder_path).weights_hash

    monkeypatch.setattr("huggingface_hub.hub_mixin.HfApi", Api)
    encoder.push_to_hub("owner/name")
    assert uploaded["hash"] == encoder.weights_hash
    assert uploaded["names"] == ["README.md", "config.json", "model.safetensors"]


def test_repository_that_is_not_there_is_one_line(tmp_path):
    for name in ("owner/name", "not a/repository!"):
        with pytest.raises(CheckpointError, match="Hugging Face Hub") as caught:
            Encoder.from_pretrained(name, cache_dir=tmp_path, local_files_only=True)
        assert "\n" not in str(caught.value)
    for name in ("/no/such/folder", "folder", "./folder"):
        with pytest.raises(CheckpointError):
            Encoder.from_pretrained(name, cache_dir=tmp_path, local_files_only=True)


def test_damaged_folders_are_refused(encoder, tmp_path):
    folder = tmp_path / "enc"
    for name, damage in (("config.json", b"{"), ("config.json", b"[]"), ("model.safetensors", b"")):
        encoder.save_pretrained(folder)
        (folder / name).write_bytes(damage)
        with pytest.raises(CheckpointError, match="damaged") as caught:
            Encoder.from_pretrained(folder)
        assert "\n" not in str(caught.value)


def test_the_encoder_is_copied_and_pickled_as_before(encoder):
    for other in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        with torch.inference_mode():
            found = other(torch.ones(1, 16_000))
            torch.testing.assert_close(found, encoder(torch.ones(1, 16_000)), rtol=1e-4, atol=1e-5)
    assert copy.deepcopy(encoder).weights_hash == encoder.weights_hash
