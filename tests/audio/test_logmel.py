"""The log-mel front ends, against the published one and against librosa."""

import numpy as np
import pytest
import torch

from ssl_audio.audio.logmel import LogMel
from ssl_audio.io.errors import SslAudioError


def test_released_equals_the_published_front_end(shared):
    """Equal where float32 decides the value at all.

    The transform of a frame is exact to some 1e-7 of the frame's largest bin, whatever the library
    or the processor. A band far below the loudest one is therefore mostly rounding: decibels agree
    closely near the peak, and powers agree to a fraction of the peak everywhere.
    """
    reference = np.load(shared / "reference" / "released-format-contrastive.npz")
    found = LogMel.named("released")(torch.from_numpy(reference["waveform"]))[:, 0].numpy()
    expected = reference["log_mel"]
    peak = expected.max(axis=(1, 2), keepdims=True)
    loud = expected > peak - 60
    np.testing.assert_allclose(found[loud], expected[loud], rtol=0, atol=2e-4)
    powers = 10 ** ((found - peak) / 10), 10 ** ((expected - peak) / 10)
    np.testing.assert_allclose(*powers, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["default", "released"])
def test_the_number_of_threads_does_not_matter(name):
    waveform = torch.randn(3, 64_000, generator=torch.Generator().manual_seed(0))
    threads = torch.get_num_threads()
    try:
        found = []
        for count in (1, 2, 4):
            torch.set_num_threads(count)
            found.append(LogMel.named(name)(waveform))
    finally:
        torch.set_num_threads(threads)
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=0, atol=1e-4)


def test_default_equals_librosa_in_float64():
    librosa = pytest.importorskip("librosa")
    x = np.random.default_rng(0).normal(0, 0.1, 64_000)
    window = np.hanning(1025)[:-1]
    spectrum = librosa.stft(x, n_fft=1024, hop_length=512, window=window, pad_mode="reflect")
    bands = librosa.filters.mel(
        sr=16_000, n_fft=1024, n_mels=128, fmax=8000, htk=False, norm=None, dtype=np.float64
    )
    power = bands @ np.abs(spectrum) ** 2 / np.sum(window**2)
    decibels = 10 * np.log10(np.maximum(power, 1e-10))
    expected = (np.maximum(decibels, decibels.max() - 100) + 41.6) / 23.0
    found = LogMel.named("default")(torch.from_numpy(x.astype(np.float32))[None])
    np.testing.assert_allclose(found[0, 0].numpy(), expected, atol=1e-4)


def test_default_has_no_empty_band_and_released_has():
    assert (LogMel.named("default").bands.sum(1) > 0).all()
    assert (LogMel.named("released").bands.sum(1) == 0).any()


def test_floor_is_per_item():
    tone = torch.sin(torch.arange(16_000) * 0.5)[None]
    quiet = 1e-4 * torch.randn(1, 16_000, generator=torch.Generator().manual_seed(0))
    logmel = LogMel.named("default")
    together = logmel(torch.cat([tone, quiet]))
    torch.testing.assert_close(together[1:], logmel(quiet))


@pytest.mark.parametrize("name", ["default", "normalized"])
@pytest.mark.parametrize("samples", [1, 512, 513, 64_000])
def test_any_length_and_silence_are_finite(samples, name):
    logmel = LogMel.named(name)
    found = logmel(torch.zeros(2, samples))
    assert found.isfinite().all() and found.shape == (2, 1, 128, logmel.frames(samples))


def test_autocast_does_not_touch_it():
    x = torch.randn(1, 16_000, generator=torch.Generator().manual_seed(0))
    logmel = LogMel.named("default")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = logmel(x)
    assert torch.equal(inside, logmel(x))


def test_unknown_name_lists_the_known():
    with pytest.raises(SslAudioError, match="default, normalized, released"):
        LogMel.named("mfcc")


@pytest.mark.parametrize("gain", [1e-3, 0.7, 40.0])
def test_normalized_is_the_log_mel_of_a_waveform_with_a_peak_of_1(gain):
    waveform = torch.randn(2, 16_000, generator=torch.Generator().manual_seed(0))
    plain = LogMel(f_max=8000.0)(waveform / waveform.abs().amax(1, keepdim=True))
    found = LogMel.named("normalized")(gain * waveform)
    torch.testing.assert_close(found, (plain + 35) / 23, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["default", "normalized"])
@pytest.mark.parametrize("step", [512, 31 * 512, 100 * 512])
def test_overlapping_segments_share_frames_and_equal_each_alone(step, name):
    frontend = LogMel.named(name)
    waveform = torch.randn(64_000 + 6 * step) * torch.linspace(0.001, 1, 64_000 + 6 * step)
    expected = frontend(waveform.unfold(0, 64_000, step))
    found = frontend.sliding(waveform, 64_000, step)
    assert found.shape == expected.shape == (7, 1, 128, 126)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
