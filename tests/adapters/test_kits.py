"""Encoders in other people's evaluation kits."""

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from ssl_audio.adapters.marble import MarbleEncoder
from ssl_audio.io.errors import SslAudioError
from ssl_audio.models.encoder import build_encoder, load_encoder
from ssl_audio.settings.recipes import recipes_folder

RATE = 16_000
CLIPS = 0.1 * torch.randn(2, round(2.5 * RATE), generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    encoder = build_encoder(backbone="test_resnet", embedding_size=16, segment=1.0)
    return str(encoder.save(tmp_path_factory.mktemp("saved") / "encoder", card=""))


def test_marble_gets_a_layer_of_segments(folder):
    encoder = MarbleEncoder(folder).train()
    [layer] = encoder(CLIPS[:, None])  # with a channel, as its data modules have it
    for clip, found in zip(CLIPS, layer, strict=True):
        expected = load_encoder(folder).embed(clip).segments
        np.testing.assert_allclose(found, expected, atol=1e-4)
    assert not layer.requires_grad and not encoder.encoder.training
    [trained] = MarbleEncoder(folder, "full").train()(CLIPS)
    assert trained.requires_grad
    with pytest.raises(SslAudioError, match="train_mode=lora: freeze or full"):
        MarbleEncoder(folder, "lora")


def test_the_configuration_for_marble_fits_the_encoder(folder):
    """As MARBLE's tasks make their parts: from `class_path` and `init_args`."""
    text = (recipes_folder() / "marble" / "probe.ssl_audio.GTZANGenre.yaml").read_text()
    model = yaml.safe_load(text)["model"]["init_args"]
    given = model["encoder"]
    assert given["class_path"] == f"{MarbleEncoder.__module__}.{MarbleEncoder.__qualname__}"
    encoder = MarbleEncoder(**given["init_args"])
    [decoder] = model["decoders"]
    assert decoder["init_args"]["in_dim"] == encoder.embedding_dim
    assert model["sample_rate"] == encoder.sample_rate == RATE
    hidden = encoder(torch.zeros(1, 5 * RATE))
    selected = [hidden[layer] for layer in model["emb_transforms"][0]["init_args"]["layers"]]
    pooled = torch.stack(selected, dim=1).mean((1, 2))  # what its decoder averages
    assert nn.Linear(encoder.embedding_dim, 10)(pooled).shape == (1, 10)


def test_mteb_gets_tracks_of_any_rate_and_length(folder):
    reason = "needs the package mteb: pip install mteb"
    pytest.importorskip("mteb", reason=reason)
    from mteb.models.models_protocols import EncoderProtocol

    from ssl_audio.adapters.mteb import MtebEncoder

    encoder = MtebEncoder(folder)
    assert isinstance(encoder, EncoderProtocol)
    assert encoder.mteb_model_meta.embed_dim == 16
    tracks = [CLIPS[0].numpy(), np.repeat(CLIPS[1].numpy(), 2)]
    audio = [{"array": tracks[0], "sampling_rate": RATE},
             {"array": tracks[1], "sampling_rate": 2 * RATE}]  # fmt: skip
    batches = [{"audio": audio}, {"audio": audio[:1]}]
    metadata = {"task_metadata": None, "hf_split": "test", "hf_subset": "default"}
    found = encoder.encode(batches, **metadata)
    expected = [load_encoder(folder).embed(one["array"], one["sampling_rate"]).track
                for one in (*audio, audio[0])]  # fmt: skip
    np.testing.assert_allclose(found, np.stack(expected), atol=1e-4)
    with pytest.raises(ValueError, match="no audio, but text"):
        encoder.encode([{"text": ["a"]}], **metadata)
