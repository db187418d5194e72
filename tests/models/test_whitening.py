"""Whitening of the embedding against its formula, for networks of several kinds."""

import numpy as np
import pytest
import torch
from scipy.linalg import fractional_matrix_power

from ssl_audio.io.errors import SslAudioError
from ssl_audio.models.encoder import build_encoder
from ssl_audio.models.whitening import CROPS, last_layer, whiten, whitening


def correlated(rows, columns=6):
    rng = np.random.default_rng(0)
    mixed = rng.normal(size=(rows, columns)) @ rng.normal(size=(columns, columns))
    return torch.from_numpy(mixed * np.logspace(0, -3, columns) + 5)


@pytest.mark.parametrize("rows", [64, 2 * CROPS])
def test_equals_the_formula(rows):
    x, shrinkage = correlated(rows), 0.02
    found = whitening(x, shrinkage)
    c = np.cov(x.numpy().T)
    a = shrinkage * max(1, CROPS / rows)
    expected = fractional_matrix_power(c + a * np.trace(c) / len(c) * np.eye(len(c)), -0.5)
    expected *= np.sqrt(len(c) / np.trace(expected @ c @ expected))
    np.testing.assert_allclose(found.matrix, expected, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(found.matrix @ found.inverse, np.eye(len(c)), atol=1e-10)
    made = (x - found.mean) @ found.matrix
    np.testing.assert_allclose(made.mean(0), 0, atol=1e-10)
    assert made.var(0).mean().item() == pytest.approx(1)


def test_almost_no_shrinkage_makes_dimensions_uncorrelated():
    x = correlated(CROPS)
    found = whitening(x, 1e-12)
    made = ((x - found.mean) @ found.matrix).numpy()
    np.testing.assert_allclose(np.cov(made.T), np.eye(6), atol=1e-4)


@pytest.mark.parametrize("rows", [torch.ones(9, 4), torch.randn(1, 4)])
def test_embeddings_without_variance_are_left_alone(rows):
    assert whitening(rows, 0.01) is None


@pytest.mark.parametrize("backbone", ["resnet", "test_resnet", "test_vit", "test_efficientnet"])
def test_the_network_gives_whitened_embeddings(backbone):
    torch.manual_seed(0)
    encoder = build_encoder(backbone=backbone, embedding_size=8, segment=1.0).eval()
    waveforms = torch.randn(40, 16_000) * torch.linspace(0.01, 1, 40)[:, None]
    with torch.no_grad():
        before = encoder(waveforms)
        chosen = whitening(before, 0.001)
        whiten(encoder, chosen)
        after = encoder(waveforms)
    expected = (before.double() - chosen.mean) @ chosen.matrix
    np.testing.assert_allclose(after, expected, atol=1e-3 * expected.abs().max())
    assert after.var(0).mean().item() == pytest.approx(1, rel=1e-3)


def test_finding_the_last_layer_changes_nothing():
    encoder = build_encoder(backbone="test_resnet", embedding_size=8, segment=1.0).train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    assert last_layer(encoder).out_features == 8
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())
    assert all(module.training for module in encoder.modules())


@pytest.mark.parametrize("backbone", ["deit_tiny_distilled_patch16_224", "test_convnext"])
def test_a_network_without_one_last_linear_layer_is_refused(backbone):
    encoder = build_encoder(backbone=backbone, embedding_size=8, segment=1.0)
    if backbone == "test_convnext":  # as if something came after it
        encoder.backbone = torch.nn.Sequential(encoder.backbone, torch.nn.Tanh())
    with pytest.raises(SslAudioError, match="set encoder.whitening=null"):
        last_layer(encoder)
