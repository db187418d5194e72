import numpy as np
import pytest
import soxr

from ssl_audio.probing.robustness import ChangedEncoder, through_mp3

RATE = 16_000


class Whole:
    """Features that are the samples."""

    name, kind, source, key, sample_rate = "whole", "features", "whole", "abc", RATE

    def features(self, blocks):
        return np.concatenate(list(blocks))[None]


def tone(seconds=2.0, rate=RATE, seed=0):
    time_axis = np.arange(round(seconds * rate)) / rate
    envelope = np.exp(-4 * (time_axis % 0.5))
    noise = np.random.default_rng(seed).normal(0, 0.01, len(time_axis))
    return (0.5 * envelope * np.sin(2 * np.pi * 440 * time_axis) + noise).astype(np.float32)


def changed(change, strength, waveform):
    [found] = ChangedEncoder(Whole(), change, strength).features(np.array_split(waveform, 3))
    return found


@pytest.mark.parametrize("ratio", [0.0, 15.0])
def test_noise_is_at_its_ratio_and_a_function_of_the_track(ratio):
    x = tone()
    noise = changed("noise", ratio, x) - x
    power = np.mean(x.astype(float) ** 2) / np.mean(noise.astype(float) ** 2)
    assert 10 * np.log10(power) == pytest.approx(ratio, abs=0.05)
    np.testing.assert_array_equal(changed("noise", ratio, x), changed("noise", ratio, x))
    other = changed("noise", ratio, tone(seed=1)) - tone(seed=1)
    assert abs(np.corrcoef(noise, other)[0, 1]) < 0.05


def test_gain_offset_and_speed():
    x = tone()
    np.testing.assert_allclose(changed("gain", -20, x), 0.1 * x, rtol=1e-5)
    np.testing.assert_array_equal(changed("offset", 0.25, x), x[4000:])
    np.testing.assert_array_equal(changed("offset", 2.0, x), x)  # nothing would be left
    faster = np.abs(np.fft.rfft(changed("speed", 12 * np.log2(1.25), x)[:RATE]))
    assert faster.argmax() == pytest.approx(550, abs=2)  # Hz: a quarter above 440


def test_mp3_loses_less_at_a_higher_bit_rate():
    x, wide = tone(), soxr.resample(tone(), RATE, 44_100)
    errors = [np.std(changed("mp3", rate, wide) - x) / x.std() for rate in (32, 64, 128)]
    assert errors[2] < errors[1] < errors[0] < 0.15


@pytest.mark.parametrize("rate", [32, 64])
def test_mp3_has_the_length_and_place_of_the_track(rate):
    x = tone(rate=44_100)
    decoded = through_mp3(x, rate)
    assert len(decoded) == len(x)
    lags = range(-60, 61)
    match = [np.dot(np.roll(decoded, -lag)[1000:-1000], x[1000:-1000]) for lag in lags]
    assert lags[int(np.argmax(match))] == 0


def test_each_strength_has_a_key_of_its_own():
    keys = {
        ChangedEncoder(Whole(), change, strength).key
        for change in ("mp3", "noise") for strength in (32, 64)
    } | {Whole.key}  # fmt: skip
    assert len(keys) == 5
