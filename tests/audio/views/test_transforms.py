"""Transforms of views: their effect, and random numbers that do not depend on processes."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_audio.audio.logmel import LogMel
from ssl_audio.audio.views.filter import Filter
from ssl_audio.audio.views.level import Gain, Polarity
from ssl_audio.audio.views.mask import FrequencyMask, PatchMask, TimeMask
from ssl_audio.audio.views.mixing import Mix
from ssl_audio.audio.views.noise import Noise
from ssl_audio.audio.views.other_frontend import OtherFrontEnd
from ssl_audio.audio.views.speed import Speed
from ssl_audio.audio.views.stage import ViewStage
from ssl_audio.audio.views.transform import Context, Rows
from ssl_audio.io.errors import SslAudioError

TRACKS = 6
few = settings(max_examples=30, deadline=None)
FRONTEND = LogMel.named("default")
EVERY = [
    Gain(6.0), Polarity(), Noise((10.0, 40.0)), Noise((0.0, 20.0), "pink", p=0.5), Filter(),
    Speed(), TimeMask(), FrequencyMask(number=2), PatchMask(), OtherFrontEnd(),
]  # fmt: skip


def crops(samples: int = 8000, views: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return 0.1 * torch.randn(views, TRACKS, samples, generator=generator)


def context(step: int = 0, place: int = 0, waveforms=None, **rows) -> Context:
    waveforms = torch.zeros(1) if waveforms is None else waveforms
    return Context(Rows(**{"tracks": TRACKS, **rows}), 3, step, place, waveforms, FRONTEND)


@few
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


@few
@given(snr=st.floats(-10, 60), colour=st.sampled_from(["white", "pink"]))
def test_noise_has_its_ratio_and_colour(snr: float, colour: str) -> None:
    x = crops(4096).flatten(0, 1).double()
    noise = Noise(snr, colour)(x, context()) - x
    ratio = 10 * (x.square().mean(1) / noise.square().mean(1)).log10()
    torch.testing.assert_close(ratio, torch.full_like(ratio, snr), atol=1e-3, rtol=0)
    power = torch.fft.rfft(noise).abs().square().mean(0)
    octaves = power[1024:2048].mean() / power[256:512].mean()  # two octaves apart
    assert octaves == pytest.approx(1.0 if colour == "white" else 0.25, rel=0.15)


def test_silence_stays_silence() -> None:
    assert not Noise()(torch.zeros(2 * TRACKS, 512), context()).any()


@few
@given(db=st.floats(-24, 24), low=st.floats(50, 7000))
def test_filter_changes_the_spectrum_by_at_most_its_gain(db: float, low: float) -> None:
    x = crops(4000).flatten(0, 1).double()
    y = Filter((db, db), (low, 1.1 * low))(x, context())
    gain = 20 * (torch.fft.rfft(y).abs() / torch.fft.rfft(x).abs()).log10()
    assert (gain * math.copysign(1, db) >= -1e-4).all() and (gain.abs() <= abs(db) + 1e-4).all()
    kinds = {
        (bool(g[1].abs() > g[-1].abs() + 1e-3), bool(g[-1].abs() > g[1].abs() + 1e-3)) for g in gain
    }
    assert abs(db) < 1 or len(kinds) > 1
    torch.testing.assert_close(Filter(db, p=0.0)(x, context()), x)


@few
@given(semitones=st.floats(-2, 2), cycles=st.integers(1, 3500))
def test_speed_moves_a_tone_to_its_frequency(semitones: float, cycles: int) -> None:
    n = 16_000
    phase = 2 * math.pi * cycles / n * torch.arange(n, dtype=torch.float64)
    y = Speed((semitones, semitones))(phase.sin()[None].repeat(2 * TRACKS, 1), context())
    lengths = n / 2 ** ((semitones + torch.tensor([-0.1, 0.1])) / 12)
    possible = range(int(lengths.min()), int(lengths.max()) + 2)
    errors = {
        m: (y[0] - (phase * n / m).sin())[: min(m, n)].abs().max().item() for m in possible
    }  # of each rate within 0.1 semitones
    length, error = min(errors.items(), key=lambda item: item[1])
    assert error < 1e-9
    if length < n:  # the rest is the end in reverse
        assert torch.equal(y[:, length:], y[:, 2 * length - 1 - n : length - 1].flip(1))


def test_speed_removes_what_lies_above_half_of_the_sample_rate() -> None:
    x = (math.pi * 0.95 * torch.arange(16_000)).sin()[None].repeat(2 * TRACKS, 1)
    assert Speed((2, 2))(x, context())[:, 100:-2000].abs().max() < 0.01


@few
@given(width=st.floats(0.01, 1), number=st.integers(1, 3), fill=st.sampled_from(["mean", "floor"]))
def test_span_masks(width: float, number: int, fill: str) -> None:
    x = torch.randn(2 * TRACKS, 20, 30, generator=torch.Generator().manual_seed(1))
    value = x.mean((1, 2)) if fill == "mean" else x.amin((1, 2))
    for kind, axis in ((TimeMask, 1), (FrequencyMask, 2)):
        y = kind(width, number, fill)(x, context())
        masked = (y == value[:, None, None]).all(axis)
        assert torch.equal(y.movedim(axis, -1)[~masked], x.movedim(axis, -1)[~masked])
        assert (masked.sum(1) <= number * int(width * masked.shape[1])).all()
    assert torch.equal(TimeMask(width, p=0.0)(x, context()), x)


@few
@given(share=st.floats(0.05, 0.95))
def test_patches(share: float) -> None:
    x = torch.randn(2 * TRACKS, 24, 40, generator=torch.Generator().manual_seed(1))
    y = PatchMask(share, (8, 10))(x, context())
    grid = (y == x).unflatten(1, (3, 8)).unflatten(3, (4, 10)).float().mean((2, 4))
    assert set(grid.unique().tolist()) <= {0.0, 1.0}
    assert ((1 - grid).sum((1, 2)) == round(share * 12)).all()


@pytest.mark.parametrize("domain", ["power", "decibels"])
def test_mixing(domain: str) -> None:
    x = torch.randn(2 * TRACKS, 4, 5, generator=torch.Generator().manual_seed(1)).double()
    mix, share = Mix(0.3, domain), 0.3
    y = mix(x, context())
    views = x.unflatten(0, (2, TRACKS))
    for one, other in ((0, 0), (1, 1)):  # of the same view, one shift for all tracks
        found = []
        for shift in range(1, TRACKS):
            a, b = views[one] * 23 - 41.6, views[other].roll(shift, 0) * 23 - 41.6
            power = 10 * ((1 - share) * 10 ** (a / 10) + share * 10 ** (b / 10)).log10()
            level = power if domain == "power" else (1 - share) * a + share * b
            expected = (level + 41.6) / 23
            found.append(torch.allclose(y.unflatten(0, (2, -1))[one], expected, atol=1e-5))
        assert sum(found) == 1
    for rank in range(2):
        rows = {"tracks": TRACKS // 2, "rank": rank, "world_size": 2, "gather": lambda _: views}
        part = views.chunk(2, dim=1)[rank].flatten(0, 1)
        assert torch.equal(mix(part, context(**rows)).unflatten(0, (2, -1)),
                           y.unflatten(0, (2, -1)).chunk(2, dim=1)[rank])  # fmt: skip
    assert torch.equal(Mix(p=0.0, domain=domain)(x, context()), x)


def test_other_front_end_replaces_one_view() -> None:
    x = crops().flatten(0, 1)
    logmel = FRONTEND(x)[:, 0]
    y = OtherFrontEnd()(logmel, context(waveforms=x))
    assert torch.equal(y[:TRACKS], logmel[:TRACKS]) and y.shape == logmel.shape
    assert not torch.equal(y[TRACKS:], logmel[TRACKS:])
    same = OtherFrontEnd(n_mels=128, n_fft=1024)(logmel, context(waveforms=x))
    torch.testing.assert_close(same, logmel, atol=1e-4, rtol=0)
    only = context(waveforms=x[:TRACKS], views=1, first_view=2, all_views=3)
    assert torch.equal(OtherFrontEnd()(logmel[:TRACKS], only), logmel[:TRACKS])


@pytest.mark.parametrize("transform", EVERY)
def test_processes_share_the_numbers_of_one(transform) -> None:
    stage = ViewStage([Gain(3.0), transform], seed=3)

    def run(x: torch.Tensor, step: int, rank: int, world: int) -> torch.Tensor:
        share = x.chunk(world, dim=1)[rank]
        rows = Rows(share.shape[1], rank=rank, world_size=world)
        return stage(share.flatten(0, 1), rows, step, FRONTEND).unflatten(0, (2, -1))

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
    x = crops().flatten(0, 1)
    assert torch.equal(ViewStage()(x, Rows(TRACKS), 0, FRONTEND), FRONTEND(x))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gain((3, 1)), "db="),
        (lambda: Gain("loud"), "db=loud: expected"),
        (lambda: Gain(p=1.5), "p=1.5"),
        (lambda: Noise(colour="green"), "colour=green: white or pink"),
        (lambda: Noise(snr=(1, 2, 3)), "snr="),
        (lambda: Filter(corner=(0, 10)), "corner="),
        (lambda: Speed(13), r"semitones=\[-13, 13\]: expected .* between -11 and 11"),
        (lambda: TimeMask(width=0), "width=0"),
        (lambda: PatchMask(patch=(16,)), "patch="),
        (lambda: Mix(1.2), "share="),
        (lambda: OtherFrontEnd(n_mels=0), "n_mels=0"),
    ],
)
def test_wrong_arguments(make, message: str) -> None:
    with pytest.raises(SslAudioError, match=message):
        make()
