"""Transforms of views: their effect, and random numbers that do not depend on processes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ssl_audio.audio.logmel import LogMel
from ssl_audio.audio.views.level import Gain, Polarity
from ssl_audio.audio.views.noise import Noise
from ssl_audio.audio.views.stage import ViewStage
from ssl_audio.audio.views.transform import Context, Rows
from ssl_audio.io.errors import SslAudioError

TRACKS = 6
EVERY = [Gain(6.0), Polarity(), Noise((10.0, 40.0)), Noise((0.0, 20.0), "pink", p=0.5)]


def crops(samples: int = 8000, views: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return 0.1 * torch.randn(views, TRACKS, samples, generator=generator)


def context(step: int = 0, place: int = 0, **rows: int) -> Context:
    return Context(Rows(**{"tracks": TRACKS, **rows}), 3, step, place, decibels=23.0)


@given(low=st.floats(-40, 40), width=st.floats(0, 40))
def test_gain_lies_in_its_range(low: float, width: float) -> None:
    x = crops(64).flatten(0, 1)
    ratio = (Gain((low, low + width))(x, context()).norm(dim=1) / x.norm(dim=1)).log10() * 20
    assert (ratio >= low - 1e-3).all() and (ratio <= low + width + 1e-3).all()
    assert width < 1 or ratio.std() > 0.01 * width


def test_polarity_changes_signs_alone() -> None:
    x = crops(64).flatten(0, 1)
    sign = (Polarity(0.5)(x, context()) / x).round(decimals=4)
    assert set(sign[:, 0].tolist()) == {-1.0, 1.0} and (sign == sign[:, :1]).all()
    assert torch.equal(Polarity(1.0)(x, context()), -x)
    assert torch.equal(Polarity(0.0)(x, context()), x)


@given(snr=st.floats(-10, 60), colour=st.sampled_from(["white", "pink"]))
def test_noise_has_its_ratio_and_colour(snr: float, colour: str) -> None:
    x = crops(4096).flatten(0, 1).double()
    noise = Noise((snr, snr), colour)(x, context()) - x
    ratio = 10 * (x.square().mean(1) / noise.square().mean(1)).log10()
    torch.testing.assert_close(ratio, torch.full_like(ratio, snr), atol=1e-3, rtol=0)
    power = torch.fft.rfft(noise).abs().square().mean(0)
    octaves = power[1024:2048].mean() / power[256:512].mean()  # two octaves apart
    assert octaves == pytest.approx(1.0 if colour == "white" else 0.25, rel=0.15)


def test_silence_stays_silence() -> None:
    assert not Noise()(torch.zeros(2 * TRACKS, 512), context()).any()


@pytest.mark.parametrize("transform", EVERY)
def test_processes_share_the_numbers_of_one(transform) -> None:
    stage = ViewStage([Gain(3.0), transform], seed=3, decibels=23.0)
    frontend = LogMel.named("default")

    def run(x: torch.Tensor, step: int, rank: int, world: int) -> torch.Tensor:
        share = x.chunk(world, dim=1)[rank]
        rows = Rows(
            share.shape[1], rank=rank, world_size=world,
            gather=lambda _: torch.empty(0),
        )  # fmt: skip
        return stage(share.flatten(0, 1), rows, step, frontend).unflatten(0, (2, -1))

    x = crops()
    whole = run(x, 5, 0, 1)
    halves = torch.cat([run(x, 5, rank, 2) for rank in range(2)], dim=1)
    torch.testing.assert_close(halves, whole, atol=2e-4, rtol=0)
    assert torch.equal(run(x, 5, 0, 1), whole)
    assert not torch.equal(run(x, 6, 0, 1), whole)


def test_further_views_continue_the_numbers() -> None:
    both = context(all_views=3, views=3).uniform(size=2)
    long = context(all_views=3).uniform(size=2)
    short = context(all_views=3, views=1, first_view=2).uniform(size=2)
    assert torch.equal(torch.cat([long, short]), both)
    assert not torch.equal(context(place=1).uniform(), context(place=0).uniform())


def test_without_transforms_the_stage_is_the_log_mel() -> None:
    frontend, x = LogMel.named("default"), crops().flatten(0, 1)
    assert torch.equal(ViewStage()(x, Rows(TRACKS), 0, frontend), frontend(x))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gain((3, 1)), "db="),
        (lambda: Gain(p=1.5), "p=1.5"),
        (lambda: Noise(colour="green"), "colour=green: white or pink"),
        (lambda: Noise(snr=(1, 2, 3)), "snr="),
    ],
)
def test_wrong_arguments(make, message: str) -> None:
    with pytest.raises(SslAudioError, match=message):
        make()
