"""Descriptors against librosa's own functions, and against sounds of which they are known."""

from concurrent.futures import ThreadPoolExecutor

import librosa
import numpy as np
import pytest

from ssl_audio.audio import SAMPLE_RATE
from ssl_audio.catalogue.descriptors import DESCRIPTORS, descriptors_of_blocks, normalised
from ssl_audio.catalogue.spectrum import HOP, N_FFT

NAMES = [each.name for each in DESCRIPTORS]


def descriptors(waveform: np.ndarray) -> np.ndarray:
    return descriptors_of_blocks([np.asarray(waveform, np.float32)])


def described(waveform: np.ndarray) -> dict[str, float]:
    values = descriptors(waveform)
    assert values.shape == (42,) and values.dtype == np.float32
    return dict(zip(NAMES, values.tolist(), strict=True))


def chord(notes: tuple[int, ...], seconds: float = 2.0) -> np.ndarray:
    """Notes above middle C, each with five overtones that fall off."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    sound = np.zeros_like(time)
    for note in notes:
        frequency = 261.63 * 2 ** (note / 12)
        for overtone in range(1, 6):
            sound += np.sin(2 * np.pi * overtone * frequency * time) / overtone**2
    return (0.1 * sound * np.minimum(1, time / 0.02)).astype(np.float32)


def clicks(tempo: float, seconds: float = 20.0) -> np.ndarray:
    times = np.arange(0.25, seconds - 0.1, 60 / tempo)
    return librosa.clicks(
        times=times, sr=SAMPLE_RATE, length=round(seconds * SAMPLE_RATE), click_duration=0.03
    ).astype(np.float32)


def noisy_music(seconds: float = 8.0, seed: int = 0) -> np.ndarray:
    """Chords under noise: no frame is silent, so that librosa's means are over the same frames."""
    rng = np.random.default_rng(seed)
    roots = rng.integers(-12, 12, round(seconds / 0.5))
    sound = np.concatenate([chord((root, root + 4, root + 7), 0.5) for root in roots])
    return (sound + 0.01 * rng.standard_normal(len(sound))).astype(np.float32)


def test_there_are_42_with_a_name_and_a_range_each():
    assert len(DESCRIPTORS) == 42 == len(set(NAMES))
    assert all(each.low < each.high and each.unit and each.meaning for each in DESCRIPTORS)


def test_spectral_descriptors_are_librosas():
    sound = noisy_music()
    found = described(sound)
    centred = sound - sound.mean()
    magnitude = np.abs(librosa.stft(centred / np.abs(centred).max(), n_fft=N_FFT, hop_length=HOP))
    given = {"S": magnitude, "sr": SAMPLE_RATE}
    feature = librosa.feature
    centroid = feature.spectral_centroid(**given)
    below = magnitude[: round(7000 * N_FFT / SAMPLE_RATE) + 1]
    flatness = 10 * np.log10(feature.spectral_flatness(S=below))
    crossings = feature.zero_crossing_rate(sound, frame_length=N_FFT, hop_length=HOP)
    expected = {
        "centroid_mean": centroid.mean(),
        "centroid_deviation": centroid.std(),
        "bandwidth_mean": feature.spectral_bandwidth(**given).mean(),
        "rolloff_mean": feature.spectral_rolloff(**given).mean(),
        "flatness_mean": flatness.mean(),
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=2e-3), name
    assert found["zero_crossing_rate"] == pytest.approx(crossings.mean(), rel=0.03)
    frequencies = librosa.fft_frequencies(sr=SAMPLE_RATE, n_fft=N_FFT)[: len(below)]
    contrast = feature.spectral_contrast(
        S=below, sr=SAMPLE_RATE, freq=frequencies, fmin=125.0
    ).mean(1)
    ours = [found[name] for name in NAMES if name.startswith("contrast")]
    np.testing.assert_allclose(ours, contrast, rtol=1e-3)


def test_mel_and_note_descriptors_are_librosas():
    sound = noisy_music()
    found = described(sound)
    centred = sound - sound.mean()
    centred /= np.abs(centred).max()
    given = {"sr": SAMPLE_RATE, "n_fft": N_FFT, "hop_length": HOP}
    mfcc = librosa.feature.mfcc(y=centred, n_mfcc=9, fmax=7000, **given).mean(1)[1:]
    ours = [found[f"mfcc_{number}"] for number in range(1, 9)]
    np.testing.assert_allclose(ours, mfcc, atol=0.05)
    novelty = librosa.onset.onset_strength(y=centred, fmax=7000, **given)
    assert found["flux_mean"] == pytest.approx(novelty.mean(), rel=1e-3)
    chroma = librosa.feature.chroma_stft(y=centred, tuning=0.0, **given)
    assert found["chroma_deviation"] == pytest.approx(chroma.std(1).mean(), rel=1e-2)
    tonnetz = librosa.feature.tonnetz(chroma=chroma)
    assert found["tonnetz_fifths"] == pytest.approx(np.hypot(*tonnetz[:2]).mean(), rel=1e-2)


@pytest.mark.parametrize("tempo", [90, 120, 150])
def test_clicks_have_their_tempo(tempo: int):
    found = described(clicks(tempo))
    assert found["tempo"] == pytest.approx(tempo, rel=0.015)
    assert found["beat_strength"] > 0.8 and found["beat_regularity"] > 0.95
    assert found["onset_rate"] == pytest.approx(tempo / 60, rel=0.05)


def test_a_steady_pulse_has_more_beat_strength_than_irregular_clicks():
    steady = described(clicks(120))
    rng = np.random.default_rng(0)
    times = np.sort(rng.uniform(0, 19.8, 40))
    loose = described(librosa.clicks(times=times, sr=SAMPLE_RATE, length=20 * SAMPLE_RATE))
    assert loose["beat_strength"] < 0.6 * steady["beat_strength"]
    assert loose["beat_regularity"] < steady["beat_regularity"]


@pytest.mark.parametrize("root", range(-6, 6))
def test_major_and_minor_chords_are_distinguished(root: int):
    # over their root, as chords are played: the overtones of E and G make a bare C E G a chord of E
    major = described(chord((root - 12, root, root + 4, root + 7)))
    minor = described(chord((root - 12, root, root + 3, root + 7)))
    assert major["major_strength"] > major["minor_strength"] + 0.05
    assert minor["minor_strength"] > minor["major_strength"] + 0.05


def test_keys_and_noise_are_distinguished():
    roots = (0, 5, 7, 0)
    major = described(np.concatenate([chord((root, root + 4, root + 7)) for root in roots]))
    minor = described(np.concatenate([chord((root, root + 3, root + 7)) for root in roots]))
    assert major["major_strength"] > major["minor_strength"] + 0.05
    assert minor["minor_strength"] > minor["major_strength"] + 0.05
    triad = described(chord((0, 4, 7)))
    noise = described(np.random.default_rng(0).standard_normal(80_000).astype(np.float32))
    assert noise["chroma_entropy"] > triad["chroma_entropy"] + 0.3
    assert noise["tonnetz_fifths"] < triad["tonnetz_fifths"]
    assert noise["flatness_mean"] > triad["flatness_mean"] + 10


def test_transposing_leaves_harmony_alone():
    low, high = described(chord((-12, 0, 4, 7))), described(chord((-9, 3, 7, 10)))
    for name in ("tonnetz_fifths", "tonnetz_minor_thirds", "major_strength", "minor_strength"):
        assert high[name] == pytest.approx(low[name], abs=0.1), name


def test_only_loudness_follows_the_level():
    sound = noisy_music()
    loud, soft = described(sound), described(0.1 * sound + 0.05)
    assert loud["loudness"] == pytest.approx(20 * np.log10(np.std(sound)), abs=0.01)
    assert loud["loudness"] - soft["loudness"] == pytest.approx(20, abs=0.01)
    for name in set(NAMES) - {"loudness"}:
        assert soft[name] == pytest.approx(loud[name], rel=1e-2, abs=1e-3), name


def test_dynamics_and_bands():
    sound = noisy_music()
    halves = np.concatenate([sound, 0.1 * sound])
    assert described(halves)["loudness_range"] == pytest.approx(20, abs=3)
    assert described(halves)["dynamic_complexity"] > described(sound)["dynamic_complexity"] + 5
    gap = np.concatenate([sound, np.zeros_like(sound)])
    assert described(gap)["silence_ratio"] == pytest.approx(0.5, abs=0.02)
    assert described(gap)["centroid_mean"] == pytest.approx(
        described(sound)["centroid_mean"], rel=0.01
    )
    time = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    for frequency, low, high in ((100, 1, 0), (1000, 0, 0), (4000, 0, 1)):
        found = described(np.sin(2 * np.pi * frequency * time).astype(np.float32))
        assert found["low_energy"] == pytest.approx(low, abs=0.01)
        assert found["high_energy"] == pytest.approx(high, abs=0.01)
        assert found["loudness"] == pytest.approx(-3.01, abs=0.01)


RNG = np.random.default_rng(0)
ODD = {
    "silence": np.zeros(5 * SAMPLE_RATE, np.float32),
    "one sample": np.ones(1, np.float32),
    "an impulse": np.eye(1, SAMPLE_RATE, 8000, dtype=np.float32)[0],
    "an offset": np.full(5 * SAMPLE_RATE, 0.7, np.float32),
    "0.1 s": RNG.standard_normal(1600).astype(np.float32),
    "0.5 s": RNG.standard_normal(8000).astype(np.float32),
    "a frame and one": RNG.standard_normal(N_FFT + 1).astype(np.float32),
    "very soft": 1e-30 * RNG.standard_normal(SAMPLE_RATE).astype(np.float32),
    "very loud": 1e30 * RNG.standard_normal(SAMPLE_RATE).astype(np.float32),
    "silence around a second": np.pad(
        RNG.standard_normal(SAMPLE_RATE).astype(np.float32), 15 * SAMPLE_RATE
    ),
    "Nyquist": np.tile(np.float32([1, -1]), SAMPLE_RATE),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ODD)
def test_odd_sounds_are_finite(name: str):
    values = descriptors(ODD[name])
    assert np.isfinite(values).all()
    mapped = normalised(values)
    assert mapped.min() >= 0 and mapped.max() <= 1


@pytest.mark.parametrize("name", ["silence", "one sample", "an offset", "very soft"])
def test_silence_is_zero_except_loudness_and_silence_ratio(name: str):
    found = described(ODD[name])
    assert found.pop("loudness") == -100 and found.pop("silence_ratio") == 1
    assert not any(found.values())


def test_blocks_of_frames_leave_no_seams(monkeypatch: pytest.MonkeyPatch):
    sound = noisy_music()
    whole = descriptors(sound)
    for frames in (1, 7, 10_000):
        monkeypatch.setattr("ssl_audio.catalogue.spectrum._BLOCK", frames)
        np.testing.assert_allclose(descriptors(sound), whole, rtol=1e-3, atol=1e-3)


def test_a_resampled_track_is_described_as_one_that_was_not():
    # noise that was made at 16 kHz goes up to 8 kHz, and noise that was resampled to it does not
    rng = np.random.default_rng(0)
    native = described(0.1 * rng.standard_normal(10 * SAMPLE_RATE).astype(np.float32))
    higher = 0.1 * rng.standard_normal(10 * 44_100).astype(np.float32)
    resampled = described(librosa.resample(higher, orig_sr=44_100, target_sr=SAMPLE_RATE))
    for name in ("flatness_mean", "contrast_4000_7000_hz", *(f"mfcc_{n}" for n in range(1, 9))):
        assert resampled[name] == pytest.approx(native[name], abs=1), name


def test_normalised_is_linear_and_clipped():
    low = np.array([each.low for each in DESCRIPTORS])
    high = np.array([each.high for each in DESCRIPTORS])
    values = np.stack([low - 1, low, (low + high) / 2, high, high + 1])[None]
    mapped = normalised(values)
    assert mapped.shape == (1, 5, 42) and mapped.dtype == np.float32
    np.testing.assert_allclose(mapped[0, :, 7], [0, 0, 0.5, 1, 1], atol=1e-6)
    np.testing.assert_allclose(mapped, np.broadcast_to(mapped[:, :, 7:8], mapped.shape), atol=1e-6)
    with pytest.raises(ValueError, match="42"):
        normalised(np.zeros(41))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_wrong_waveforms_are_refused(value: float):
    with pytest.raises(ValueError, match="not finite"):
        descriptors(np.full(1600, value))


def test_threads_agree():
    sounds = [noisy_music(4.0, seed) for seed in range(4)]
    given = [sound.copy() for sound in sounds]
    alone = [descriptors(sound) for sound in sounds]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(descriptors, sounds * 8))
    for place, values in enumerate(together):
        np.testing.assert_array_equal(values, alone[place % 4])
    for before, after in zip(given, sounds, strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("cuts", [[1], [100, 101, 60_000], list(range(0, 64_000, 700))])
def test_a_waveform_in_blocks_is_described_as_its_whole(cuts):
    sound = noisy_music(4.0)
    blocks = [block for block in np.split(sound, cuts) if len(block)]
    np.testing.assert_allclose(descriptors_of_blocks(blocks), descriptors(sound), rtol=1e-5)
    short = sound[:900]  # less than a frame
    blocks = np.split(short, [300])
    np.testing.assert_allclose(descriptors_of_blocks(blocks), descriptors(short), rtol=1e-5)
