"""The converted musicnn gives what the package's own graph gives."""

from pathlib import Path

import librosa
import numpy as np
import pytest
import torch

import ssl_audio
from ssl_audio.audio import decode
from ssl_audio.io.errors import CheckpointError, SslAudioError
from ssl_audio.models.musicnn import load_musicnn
from ssl_audio.probing.baselines import create_baseline

REFERENCE = Path(__file__).with_name("musicnn_reference.npz")  # of tools/convert_musicnn.py
NOISE = np.random.default_rng(0).normal(0, 0.1, 110_000).astype(np.float32)


@pytest.fixture(scope="module")
def network():
    return load_musicnn()


def test_outputs_are_those_of_the_original_graph(network, shared):
    reference = dict(np.load(REFERENCE))
    recordings = sorted({k.split("/")[0] for k in reference if not k.startswith("package/")})
    assert len(recordings) == 3
    for name in recordings:
        path = shared / "audio" / "recordings" / f"{name}.ogg"
        found = network.embed(torch.from_numpy(decode.read(path)[:160_000]))._asdict()
        for output, values in found.items():
            expected = reference[f"{name}/{output}"]
            largest = max(1.0, np.abs(expected).max())  # maxima over time reach 100
            np.testing.assert_allclose(values.numpy() / largest, expected / largest, atol=2e-5)
            rounded = reference[f"package/{name}/{output}"]  # log-mel in float16
            np.testing.assert_allclose(values.numpy() / largest, rounded / largest, atol=1e-3)


def test_the_log_mel_is_that_of_librosa(network):
    mel = librosa.feature.melspectrogram(
        y=NOISE, sr=16_000, n_fft=512, hop_length=256, n_mels=96, pad_mode="reflect"
    )
    found = network.log_mel(torch.from_numpy(NOISE)[None])[0]
    np.testing.assert_allclose(found.T, np.log10(10_000 * mel + 1), atol=1e-4)


def test_patches_and_short_waveforms(network):
    waveform = torch.from_numpy(NOISE)  # 430 frames: two patches of 187
    assert network.embed(waveform).taggram.shape == (2, 50)
    assert network.embed(waveform, hop=1.0).penultimate.shape == (4, 200)
    for samples in (90_000, 500):  # one patch, of 352 frames and with silence
        short = network.embed(waveform[:samples])
        assert short.max_pool.shape == (1, 753) and all(x.isfinite().all() for x in short)
    loud = network.embed(waveform * 100)  # above the range of float16
    assert loud.penultimate.isfinite().all()


def test_it_is_a_baseline_and_no_encoder():
    found = create_baseline("musicnn", hop=1.0)
    rows = found.features([NOISE[:50_000], NOISE[50_000:]])
    assert rows.shape == (4, 1506) and rows.dtype == np.float32
    assert found.key == create_baseline("musicnn:checkpoints/musicnn", hop=1.0).key
    few = create_baseline("musicnn::penultimate")
    assert few.features([NOISE]).shape == (2, 200) and few.key != found.key
    with pytest.raises(SslAudioError, match="pool is none of pooled, taggram"):
        create_baseline("musicnn::pool")
    with pytest.raises(CheckpointError, match="holds a model of kind musicnn"):
        ssl_audio.load_encoder("musicnn")
    with pytest.raises(CheckpointError, match="holds a model of kind encoder"):
        load_musicnn("contrastive")
