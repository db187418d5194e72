"""Networks of other packages by name, each against its own library."""

import sys

import numpy as np
import pytest
import torch

from ssl_audio.audio.logmel import LogMel
from ssl_audio.io.errors import SslAudioError
from ssl_audio.probing.baselines import create_baseline, is_network
from ssl_audio.training.teachers import create_teacher

RATE = 16_000
TRACK = np.random.default_rng(0).normal(0, 0.1, round(2.5 * RATE)).astype(np.float32)
SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
         "intermediate_size": 16}  # fmt: skip


def windows(length, step):
    """The windows of the track, the last one at its end, as arrays of one length."""
    starts = [*range(0, len(TRACK) - length + 1, step)]
    if starts[-1] + length < len(TRACK):
        starts.append(len(TRACK) - length)
    return np.stack([TRACK[start : start + length] for start in starts])


def wav2vec(transformers):
    config = transformers.Wav2Vec2Config(
        **SMALL, conv_dim=(8, 8), conv_stride=(5, 4), conv_kernel=(10, 8),
        num_feat_extract_layers=2, num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    return transformers.Wav2Vec2Model(config), transformers.Wav2Vec2FeatureExtractor()


def spectrogram_transformer(transformers):
    config = transformers.ASTConfig(**SMALL, max_length=128, patch_size=16, num_mel_bins=32)
    return transformers.ASTModel(config), transformers.ASTFeatureExtractor(
        num_mel_bins=32, max_length=128
    )


def whisper(transformers):
    config = transformers.WhisperConfig(
        d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, num_mel_bins=80,
        vocab_size=32, max_source_positions=100, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        decoder_start_token_id=1,
    )  # fmt: skip
    return transformers.WhisperModel(config), transformers.WhisperFeatureExtractor(chunk_length=2)


@pytest.mark.parametrize("make", [wav2vec, spectrogram_transformer, whisper])
@torch.inference_mode()
def test_models_of_the_hugging_face_hub(make, tmp_path):
    transformers = pytest.importorskip("transformers", reason="needs the package transformers")
    torch.manual_seed(0)
    model, extractor = make(transformers)
    for part in (model, extractor):
        part.save_pretrained(tmp_path)
    encoder = create_teacher(f"hf:{tmp_path}", 1.0, 1.0)
    parts = list(windows(RATE, RATE))
    inputs = extractor(parts, sampling_rate=RATE, return_tensors="pt")
    model.eval()
    if make is whisper:  # 2 s are 100 frames, and half of them is silence
        expected = model.encoder(inputs.input_features).last_hidden_state[:, :50].mean(1)
    else:
        expected = model(inputs.input_values).last_hidden_state.mean(1)
    np.testing.assert_allclose(encoder.features([TRACK]), expected, atol=1e-4)
    probed = create_baseline(f"hf:{tmp_path}")
    assert (probed.kind, probed.sample_rate) == ("hf", RATE)
    assert probed.window == (2.0 if make is whisper else 10.0)
    assert probed.features([TRACK]).shape == (2 if make is whisper else 1, 16)


def test_an_onnx_file_with_its_rate_and_segment(tmp_path):
    onnx = pytest.importorskip("onnx", reason="needs the package onnx")
    pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")
    shape = {"audio": ["n", "samples"], "found": ["n", 1]}
    audio, found = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, size)
        for name, size in shape.items()
    )
    node = onnx.helper.make_node("ReduceMax", ["audio", "axes"], ["found"])
    axes = onnx.numpy_helper.from_array(np.array([1]), "axes")
    graph = onnx.helper.make_graph([node], "largest", [audio], [found], [axes])
    version = [onnx.helper.make_opsetid("", 18)]
    model = onnx.helper.make_model(graph, opset_imports=version, ir_version=9)
    onnx.helper.set_model_props(model, {"sample_rate": "8000", "segment": "0.5"})
    onnx.save(model, tmp_path / "largest.onnx")
    encoder = create_baseline(f"onnx:{tmp_path / 'largest.onnx'}", hop=0.25)
    assert (encoder.sample_rate, encoder.window) == (8000, 0.5)
    np.testing.assert_array_equal(encoder.features([TRACK])[:, 0], windows(4000, 2000).max(1))


@torch.inference_mode()
def test_timm_without_training_is_the_same_in_a_probe_and_as_a_teacher():
    encoder = create_baseline("timm:test_resnet:random", hop=2.0, seed=1)
    padded = np.pad(TRACK, (0, 4 * RATE - len(TRACK)))
    log_mel = LogMel.named("default")(torch.from_numpy(padded)[None])
    np.testing.assert_allclose(encoder.features([TRACK]), encoder.network(log_mel), atol=1e-5)
    assert encoder.key == create_baseline("timm:test_resnet:random", hop=2.0, seed=1).key
    default = create_baseline("timm:test_resnet:random", hop=2.0)
    assert default.key != encoder.key
    assert create_teacher("timm:test_resnet:random", 4.0, 2.0).key == default.key
    assert encoder.size == 96


def test_a_hear_module_takes_whole_tracks_in_a_probe_and_windows_as_a_teacher(
    tmp_path, monkeypatch
):
    (tmp_path / "scenes.py").write_text(
        "import torch\n\n\n"
        "class Model(torch.nn.Module):\n    sample_rate = 8000\n\n\n"
        "def load_model(scale='1'):\n    model = Model()\n    model.scale = float(scale)\n"
        "    return model\n\n\n"
        "def get_scene_embeddings(audio, model):\n    return model.scale * audio.mean(1)[:, None]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    probed = create_baseline("hear:scenes:3")
    np.testing.assert_allclose(probed.features([TRACK]), [[3 * TRACK.mean()]], rtol=1e-4)
    taught = create_teacher("hear:scenes", 2.0, 2.0).features([TRACK])
    np.testing.assert_allclose(taught[:, 0], windows(16_000, 16_000).mean(1), rtol=1e-4)
    sys.modules.pop("scenes")


def test_names_of_networks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hear:mine").mkdir()
    known = ["hf:org/model", "onnx:file.onnx", "hear:mine", "hear:other", "runs/a:b", "timm"]
    assert [is_network(name) for name in known] == [True, True, False, True, False, False]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hf:tests", "hf:tests: transformers cannot load it: "),
        ("onnx:nowhere.onnx", "onnx:nowhere.onnx: it does not take waveforms"),
        ("timm:test_resnet:trained", "timm:MODEL or timm:MODEL:random"),
        ("timm:vit_tiny_patch16_224:random", "does not take log-mels of 4 s"),
    ],
)
def test_a_network_that_cannot_be_used_is_one_line(name, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tests").mkdir()
    with pytest.raises(SslAudioError, match=message) as caught:
        create_baseline(name)
    assert "\n" not in str(caught.value)
