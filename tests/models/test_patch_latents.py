"""Latents of chosen patches."""

import pytest
import torch
import torch.nn.functional as F

import ssl_audio
from ssl_audio.io.errors import SslAudioError
from ssl_audio.models.encoder import build_encoder
from ssl_audio.models.patch_latents import PatchLatents

GRID = (8, 8)  # patches of 16 x 16 in 128 bands and 126 frames


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return build_encoder(backbone="test_vit", embedding_size=8, pool="mean").eval()


@pytest.fixture(scope="module")
def logmels():
    return torch.randn(2, 1, 128, 126, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_all_patches_are_the_tokens_of_the_network_and_any_order_is_kept(encoder, logmels):
    latents, network = PatchLatents(encoder), encoder.backbone.network
    assert latents.grid(logmels) == GRID
    tokens = network.forward_features(F.pad(logmels, (0, 2)))[:, network.num_prefix_tokens :]
    order = torch.rand(2, 64, generator=torch.Generator().manual_seed(2)).argsort(1)
    found = latents(logmels, order)
    for row in range(2):
        expected = network.head(network.fc_norm(tokens[row]))[order[row]]
        torch.testing.assert_close(found[row], expected, rtol=1e-4, atol=1e-5)
    mean = network.head(network.fc_norm(tokens.mean(1)))
    torch.testing.assert_close(encoder.backbone(logmels), mean, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_other_patches_are_not_seen(encoder, logmels):
    kept = torch.tensor([[0, 9, 63], [1, 2, 3]])
    changed = torch.randn_like(logmels)
    for row, patches in enumerate(kept.tolist()):
        for patch in patches:
            part = (row, 0, slice(patch // 8 * 16, patch // 8 * 16 + 16),
                    slice(patch % 8 * 16, patch % 8 * 16 + 16))  # fmt: skip
            changed[part] = logmels[part]
    latents = PatchLatents(encoder)
    assert torch.equal(latents(changed, kept), latents(logmels, kept))
    assert not torch.equal(latents(changed, 63 - kept), latents(logmels, 63 - kept))


def test_the_mean_of_patches_is_part_of_the_folder(encoder, logmels, tmp_path):
    loaded = ssl_audio.load_encoder(encoder.save(tmp_path / "encoder", card=""))
    assert loaded.pool == "mean" and torch.equal(
        loaded.backbone(logmels), encoder.backbone(logmels)
    )
    assert loaded.weights_hash == encoder.weights_hash


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {},
            "encoder.backbone=resnet: this objective needs the patches of a vision transformer, "
            "such as vit_tiny_patch16_224",
        ),
        (
            {"backbone": "test_vit"},
            "encoder.backbone=test_vit: its embedding is not the mean of its patches, which this "
            "objective trains: set encoder.pool=mean",
        ),
    ],
)
def test_networks_without_patches_are_refused(arguments, message):
    with pytest.raises(SslAudioError) as caught:
        PatchLatents(build_encoder(embedding_size=8, **arguments))
    assert str(caught.value) == message


def test_the_resnet_has_no_mean_of_patches():
    with pytest.raises(SslAudioError) as caught:
        build_encoder(pool="mean")
    assert str(caught.value) == (
        "encoder.pool=mean: resnet has no patches; set encoder.pool=default, or "
        "encoder.backbone=vit_tiny_patch16_224"
    )
