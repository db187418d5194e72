"""Encoders as models of Hugging Face transformers."""

import numpy as np
import pytest
import torch
from fake_hub import TOKEN, fake_hub

from ssl_audio.models.encoder import build_encoder, load_encoder
from ssl_audio.models.shipped import NAMES, shipped_folder

hf = pytest.importorskip("transformers", reason="needs the package transformers")

RATE = 44_100
TRACKS = [
    np.random.default_rng(7).normal(0, 0.1, round(n * RATE)).astype(np.float32)
    for n in (0.4, 2.7, 2.0)
]


@pytest.fixture(scope="module", autouse=True)
def model_class():
    """Imported here: it takes seconds, which each worker would spend to collect the tests."""
    from ssl_audio.adapters.transformers import SslAudioModel

    return SslAudioModel


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    encoder = build_encoder("normalized", "test_resnet", embedding_size=16, segment=1.0)
    return encoder.save(tmp_path_factory.mktemp("saved") / "encoder", card="")


def embed(model, extractor, tracks=TRACKS):
    inputs = extractor(tracks, sampling_rate=RATE, return_tensors="pt")
    with torch.inference_mode():
        return model(**inputs)


def test_a_batch_of_tracks_is_embedded_as_by_the_encoder(folder, model_class):
    model = hf.AutoModel.from_pretrained(folder)
    assert isinstance(model, model_class) and not model.training
    found = embed(model, hf.AutoFeatureExtractor.from_pretrained(folder))
    for place, track in enumerate(TRACKS):
        expected = load_encoder(folder).embed(track, RATE)
        count = len(expected.segments)
        np.testing.assert_allclose(found.pooler_output[place], expected.track, atol=1e-4)
        rows = found.last_hidden_state[place]
        np.testing.assert_allclose(rows[:count], expected.segments, atol=1e-4)
        assert not rows[count:].any()
    alone = embed(model, hf.AutoFeatureExtractor.from_pretrained(folder), TRACKS[1])
    np.testing.assert_allclose(alone.pooler_output[0], found.pooler_output[1], atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_shipped_encoders_are_read(name):
    path = str(shipped_folder(name))
    assert hf.AutoConfig.from_pretrained(path).encoder == load_encoder(path).settings
    assert hf.AutoFeatureExtractor.from_pretrained(path).sampling_rate == 16_000


def test_it_trains_further_is_saved_and_goes_to_the_hub(folder, tmp_path):
    model = hf.AutoModel.from_pretrained(folder).train()
    inputs = hf.AutoFeatureExtractor.from_pretrained(folder)(TRACKS, RATE, return_tensors="pt")
    model(**inputs).pooler_output.square().mean().backward()
    assert all(weights.grad is not None for weights in model.parameters())
    model.save_pretrained(tmp_path / "again")
    assert load_encoder(tmp_path / "again").weights_hash == model.encoder.weights_hash
    with fake_hub() as hub:
        model.encoder.push_to_hub("owner/name", token=TOKEN)
        options = {"cache_dir": tmp_path / "cache"}
        loaded = hf.AutoModel.from_pretrained("owner/name", **options)
        extractor = hf.AutoFeatureExtractor.from_pretrained("owner/name", **options)
        assert not any(path.endswith(".py") for _, path in hub.requests)
    again = embed(loaded, extractor).pooler_output
    assert torch.equal(again, embed(model.eval(), extractor).pooler_output)


def test_refusals(folder):
    with pytest.raises(ValueError, match="device_map=cpu: load the model, then use model.to"):
        hf.AutoModel.from_pretrained(folder, device_map="cpu")
    extractor = hf.AutoFeatureExtractor.from_pretrained(folder)
    with pytest.raises(ValueError, match="NaN"):
        extractor(np.full(100, np.nan))
