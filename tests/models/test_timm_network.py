"""timm's networks for log-mels: transformers and mixers too."""

from functools import cache
from importlib.util import find_spec

import numpy as np
import pytest
import torch

import ssl_audio
from ssl_audio.catalogue import export
from ssl_audio.io.errors import SslAudioError
from ssl_audio.models.encoder import build_encoder
from ssl_audio.models.runtime import for_embedding
from ssl_audio.models.timm_network import PatchedNetwork
from ssl_audio.models.weight_decay import exempt_from_decay, parameter_groups

# small models of each family; those of BEiT have 86 M parameters or more
ANY_LENGTH = ["test_vit", "swin_s3_tiny_224", "convnext_atto", "test_efficientnet",
              "mobilenetv3_small_050"]  # fmt: skip
ONE_LENGTH = ["mixer_s32_224", "test_vit_relpos", "levit_128s"]


def noise(*shape):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@cache
def encoder_of(name, segment=4.0):
    torch.manual_seed(0)
    return build_encoder(backbone=name, embedding_size=8, segment=segment).eval()


@pytest.mark.parametrize("name", [*ANY_LENGTH, *ONE_LENGTH])
def test_waveforms_to_embeddings_and_back_from_the_folder(name, tmp_path):
    encoder = encoder_of(name)
    waveform = noise(2, 64_000)
    with torch.inference_mode():
        expected = encoder(waveform)
        assert expected.shape == (2, 8) and expected.isfinite().all()
        alone = encoder(waveform[1:])
        torch.testing.assert_close(alone, expected[1:], rtol=1e-4, atol=1e-5)
        changed = waveform.clone()
        changed[:, -700:] = 0  # the last frames, in the patches that are padded
        if isinstance(encoder.backbone, PatchedNetwork):
            assert not torch.equal(encoder(changed), expected)
        torch.testing.assert_close(encoder.folded()(waveform), expected, rtol=1e-4, atol=1e-5)
        for samples in (700, 30_000, 80_000):
            if name in ONE_LENGTH and samples > 64_000:
                with pytest.raises(SslAudioError, match=rf"{name} takes log-mels of 126 frames"):
                    encoder(noise(1, samples))
            else:
                assert encoder(noise(1, samples)).isfinite().all()
    track = noise(100_000).numpy()
    assert encoder.embed(track, hop=2.0).segments.shape == (3, 8)
    loaded = ssl_audio.load_encoder(encoder.save(tmp_path / "encoder", card=""))
    assert torch.equal(loaded(waveform), encoder(waveform))


def test_short_inputs_of_one_length_networks_are_padded_with_silence():
    encoder = encoder_of("mixer_s32_224")
    waveform = noise(30_000)
    segment = np.pad(waveform.numpy(), (0, 34_000))
    with torch.inference_mode():
        found = encoder(waveform[None])[0].numpy()
    np.testing.assert_allclose(found, encoder.embed(segment).track, atol=1e-5)
    np.testing.assert_allclose(found, encoder.embed(waveform).track, atol=1e-5)


def test_segments_of_a_second():
    encoder = encoder_of("mixer_s32_224", segment=1.0)
    with torch.inference_mode():
        assert encoder(noise(1, 16_000)).isfinite().all()
    assert np.isfinite(encoder.embed(noise(40_000), hop=0.5).segments).all()


def test_weights_do_not_depend_on_how_the_size_was_found():
    import timm

    torch.manual_seed(0)
    made = timm.create_model("test_vit", in_chans=1, num_classes=8, img_size=(128, 128))
    found = encoder_of("test_vit").backbone.network.state_dict()
    assert all(torch.equal(weights, found[key]) for key, weights in made.state_dict().items())


def test_a_model_that_cannot_take_log_mels_is_refused_by_name():
    with pytest.raises(SslAudioError, match="encoder.backbone=nest_tiny: .*128 bands") as caught:
        build_encoder(backbone="nest_tiny", segment=3.0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("test_vit", {"pos_embed", "cls_token"}),
        ("swin_s3_tiny_224", {"relative_position_bias_table"}),
    ],
)
def test_positions_and_class_tokens_do_not_decay(name, names):
    network = encoder_of(name).backbone
    exempt = exempt_from_decay(network)
    by_id = {id(p): key.rpartition(".")[2] for key, p in network.named_parameters()}
    decaying, others = parameter_groups(network.parameters(), 0.1, exempt)
    wide = {by_id[id(p)] for p in others["params"] if p.ndim > 1}
    assert wide == names
    assert {by_id[id(p)] for p in decaying["params"]} >= {"weight"}
    assert len(decaying["params"]) + len(others["params"]) == len(list(network.parameters()))


@pytest.mark.skipif(find_spec("openvino") is None, reason="no openvino")
def test_openvino_runs_a_transformer():
    encoder, track = encoder_of("test_vit"), noise(70_000).numpy()
    found = for_embedding(encoder, runtime="openvino", workers=1).embed(track).track
    np.testing.assert_allclose(found, encoder.embed(track).track, rtol=0, atol=1e-3)


def test_a_network_of_one_length_is_not_exported(tmp_path):
    with pytest.raises(SslAudioError, match=r"mixer_s32_224 cannot .* one length"):
        export.export(encoder_of("mixer_s32_224"), tmp_path / "mixer.pt2")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_transformer_of_any_length_is_exported(tmp_path, monkeypatch):
    """Its program has its embeddings for any length; it is not written and read again."""
    programs = []

    def write(encoder, path):
        programs.append(export._program(encoder).module())
        path.touch()

    monkeypatch.setitem(export.FORMATS, ".pt2", (write, lambda path: programs[0]))
    found = export.export(encoder_of("test_vit"), tmp_path / "vit.pt2")
    assert found.difference < 1e-4 * found.largest
