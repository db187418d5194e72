"""The baselines' features, against librosa and by hand."""

import librosa
import numpy as np
import pytest
import torch

from ssl_audio.io.errors import SslAudioError
from ssl_audio.models.encoder import build_encoder
from ssl_audio.probing.baselines import baseline, checkpoint_system

WAVEFORM = np.random.default_rng(0).normal(0, 0.1, 6 * 16_000).astype(np.float32)
BLOCKS = [WAVEFORM[:30_000], WAVEFORM[30_000:]]


def test_mfcc_is_librosas():
    found = baseline("mfcc").features(BLOCKS)
    mfcc = librosa.feature.mfcc(y=WAVEFORM, sr=16_000, n_mfcc=20)
    assert found.shape == (1, 80)
    np.testing.assert_allclose(found[0, :20], mfcc.mean(1), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(found[0, 40:60], mfcc.std(1), rtol=1e-4, atol=1e-3)


def test_mel_statistics_are_of_the_log_mel():
    found = baseline("mel_statistics").features(BLOCKS)
    encoder = build_encoder()
    mel = encoder.frontend(torch.from_numpy(WAVEFORM)[None])[0, 0].numpy()
    np.testing.assert_allclose(found[0], np.concatenate([mel.mean(1), mel.std(1)]), atol=1e-4)


def test_untrained_is_the_same_for_a_seed_and_leaves_the_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, same, other = baseline("untrained", 1), baseline("untrained", 1), baseline("untrained", 2)
    assert torch.equal(torch.rand(3), expected)
    assert one.key == same.key != other.key
    np.testing.assert_array_equal(one.features(BLOCKS), same.features(BLOCKS))
    assert one.features(BLOCKS).shape == (2, 1024)


def test_a_checkpoints_features_are_its_encoders(tmp_path):
    encoder = build_encoder(segment=2.0).eval()
    encoder.save(tmp_path / "encoder", card="")
    system = checkpoint_system(str(tmp_path / "encoder"), "mine", hop=1.0)
    expected = encoder.embed(WAVEFORM, hop=1.0).segments
    np.testing.assert_allclose(system.features(BLOCKS), expected, atol=1e-5)
    assert system.key != checkpoint_system(str(tmp_path / "encoder"), "mine", hop=2.0).key


def test_any_module_with_the_hear_api_is_a_baseline():
    system = baseline("hear:ssl_audio.hear")
    assert system.features(BLOCKS).shape == (1, 1024)


@pytest.mark.parametrize(
    "name", ["untrainde", "timm:no_such_model", "hear:no.such.module", "timm:"]
)
def test_what_cannot_be_loaded_is_one_line(name):
    with pytest.raises(SslAudioError, match=name.split(":")[-1] or "timm") as caught:
        baseline(name)
    assert "\n" not in str(caught.value)
