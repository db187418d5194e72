"""The contract of the HEAR 2021 common API."""

import pytest
import torch

from ssl_audio import hear


@pytest.fixture(scope="module")
def model():
    return hear.load_model()


def sounds(seconds, count=2):
    generator = torch.Generator().manual_seed(0)
    return 0.1 * torch.randn(count, round(seconds * 16_000), generator=generator)


def test_model_has_the_attributes_and_is_in_evaluation_mode(model, capsys):
    assert (model.sample_rate, model.scene_embedding_size) == (16_000, 1024)
    assert model.timestamp_embedding_size == 1024
    assert not model.training
    hear.load_model()
    assert "untrained" in capsys.readouterr().err


@pytest.mark.parametrize("seconds", [0.2, 1.07, 1.98, 2.74, 4.0, 9.3])
def test_scene_embeddings_of_any_length(model, seconds):
    found = hear.get_scene_embeddings(sounds(seconds), model)
    assert found.shape == (2, 1024) and found.dtype == torch.float32 and found.isfinite().all()


@pytest.mark.parametrize("seconds", [0.2, 1.07, 2.0])
def test_timestamps_are_regular_and_within_the_audio(seconds):
    model = hear.load_model(hop_ms=250.0)
    embeddings, times = hear.get_timestamp_embeddings(sounds(seconds), model)
    assert embeddings.shape == (*times.shape, 1024) and embeddings.isfinite().all()
    assert embeddings.dtype == torch.float32
    assert torch.all(times[:, 0] == 0) and torch.all(times[:, -1] < 1000 * seconds)
    torch.testing.assert_close(times.diff(dim=1), torch.full_like(times[:, 1:], 250.0))
    assert 1000 * seconds - times[0, -1] <= 250.0


def test_window_in_the_middle_is_the_encoder_on_it():
    model = hear.load_model(hop_ms=2000.0)
    audio = sounds(6.0, 1)
    embeddings, times = hear.get_timestamp_embeddings(audio, model)
    assert times[0].tolist() == [0.0, 2000.0, 4000.0]
    with torch.inference_mode():
        expected = model.encoder(audio[:, :64_000])
    torch.testing.assert_close(embeddings[:, 1], expected, atol=1e-5, rtol=1e-4)


def test_other_shapes_are_refused(model):
    with pytest.raises(ValueError, match="n, samples"):
        hear.get_scene_embeddings(torch.zeros(16_000), model)
