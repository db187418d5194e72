"""Masked prediction: its loss, the split of patches, and its predictor."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_audio.io.errors import SslAudioError
from ssl_audio.objectives.masked import Masked, PatchPredictor, grid_positions, masked_loss
from ssl_audio.objectives.patches import Patches, split_patches


def test_the_loss_is_the_formula_in_float64_without_gradient_of_the_teacher():
    rng = np.random.default_rng(0)
    p, t = rng.normal(size=(2, 2, 3, 5, 7))
    centred = t - t.mean(-1, keepdims=True)
    cosines = (p * centred).sum(-1) / np.linalg.norm(p, axis=-1) / np.linalg.norm(centred, axis=-1)
    prediction, target = (torch.from_numpy(x).requires_grad_() for x in (p, t))
    loss = masked_loss(prediction, target)
    assert loss.item() == pytest.approx((2 - 2 * cosines).mean(), rel=1e-12)
    loss.backward()
    assert prediction.grad.abs().max() > 0 and target.grad is None
    assert masked_loss(3 * prediction, 0.1 * target + 5).item() == pytest.approx(loss.item())


def test_half_precision_is_computed_in_float32_and_shapes_must_agree():
    p, t = torch.randn(2, 4, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    assert masked_loss(p, t).dtype == torch.float32
    with pytest.raises(SslAudioError) as caught:
        masked_loss(p, t[:3])
    expected = "predictions and latents must have the same shape, not (4, 8) and (3, 8)"
    assert str(caught.value) == expected


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3), st.integers(1, 5), st.integers(2, 6), st.floats(0.01, 0.99))
def test_a_split_has_each_patch_once(rows, bands, frames, visible):
    count = bands * frames
    keys = torch.rand(rows, count)
    patches = split_patches(keys, visible, (bands, frames))
    both = torch.cat([patches.seen, patches.hidden], dim=1)
    assert (both.sort(dim=1).values == torch.arange(count)).all()
    seen = patches.seen.shape[1]
    assert 1 <= seen < count and (abs(seen - visible * count) <= 0.5 or seen in (1, count - 1))
    limit = keys.gather(1, patches.seen).amax(1)
    assert (limit <= keys.gather(1, patches.hidden).amin(1)).all()


def test_one_patch_is_refused():
    with pytest.raises(SslAudioError) as caught:
        split_patches(torch.rand(2, 1), 0.5, (1, 1))
    assert str(caught.value) == (
        "log-mels of 1 x 1 patches: masked prediction needs two or more; raise data.segment"
    )


def test_positions_are_sines_of_band_and_frame():
    found = grid_positions((3, 4), 8)
    band, frame, frequency = 2, 1, 10_000**-0.5
    angles = [[place, place * frequency] for place in (band, frame)]
    expected = [function(angle) for pair in angles for function in (np.sin, np.cos)
                for angle in pair]  # fmt: skip
    np.testing.assert_allclose(found[band * 4 + frame], expected, atol=1e-6)


@torch.no_grad()
def test_predictions_belong_to_places_not_to_the_order_of_patches():
    torch.manual_seed(0)
    predictor = PatchPredictor(6, width=8, depth=2, heads=2)
    patches = split_patches(torch.rand(2, 12), 0.4, (3, 4))
    latents = torch.randn(2, patches.seen.shape[1], 6)
    expected = predictor(latents, patches)
    assert expected.shape == (2, 7, 6)
    seen, hidden = torch.randperm(5), torch.randperm(7)
    other = Patches(patches.seen[:, seen], patches.hidden[:, hidden], patches.grid)
    found = predictor(latents[:, seen], other)
    torch.testing.assert_close(found, expected[:, hidden], rtol=1e-4, atol=1e-5)
    assert (expected[:, 0] - expected[:, 1]).abs().max() > 1e-3  # places differ


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"visible": 1.0}, "visible=1.0: a share of the patches, between 0 and 1"),
        ({"width": 10}, "width=10: a multiple of 4 and of the heads, 4"),
        ({"depth": 0}, "depth=0: must be above 0"),
    ],
)
def test_refused_arguments(arguments, message):
    with pytest.raises(SslAudioError) as caught:
        Masked(embedding_size=8, **arguments)
    assert str(caught.value) == message
