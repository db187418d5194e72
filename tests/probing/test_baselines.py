"""The baselines' features against librosa and by hand."""

import librosa
import numpy as np
import pytest
import torch

from ssl_audio.io.errors import SslAudioError
from ssl_audio.models.encoder import build_encoder
from ssl_audio.probing.baselines import BASELINES, create_baseline
from ssl_audio.probing.encoders import load_checkpoints

WAVEFORM = np.random.default_rng(0).normal(0, 0.1, 6 * 16_000).astype(np.float32)
BLOCKS = [WAVEFORM[:30_000], WAVEFORM[30_000:]]
FILE = '''
import numpy as np

from ssl_audio.probing.encoders import FeatureBaseline


class Loudness(FeatureBaseline):
    """Root mean square of each block."""

    def features(self, blocks):
        return np.array([[np.sqrt((block**2).mean())] for block in blocks], np.float32)
'''


def test_mfcc_is_that_of_librosa():
    found = create_baseline("mfcc").features(BLOCKS)
    mfcc = librosa.feature.mfcc(y=WAVEFORM, sr=16_000, n_mfcc=20)
    assert found.shape == (1, 80)
    np.testing.assert_allclose(found[0, :20], mfcc.mean(1), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(found[0, 40:60], mfcc.std(1), rtol=1e-4, atol=1e-3)


def test_mel_statistics_are_those_of_the_log_mel():
    found = create_baseline("mel_statistics").features(BLOCKS)
    mel = build_encoder().frontend(torch.from_numpy(WAVEFORM)[None])[0, 0].numpy()
    np.testing.assert_allclose(found[0], np.concatenate([mel.mean(1), mel.std(1)]), atol=1e-4)


def test_untrained_depends_on_the_seed_alone_and_leaves_torchs_generator_as_it_is():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, same, other = (create_baseline("untrained", seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert one.key == same.key != other.key
    np.testing.assert_array_equal(one.features(BLOCKS), same.features(BLOCKS))
    assert one.features(BLOCKS).shape == (2, 1024)


def test_the_features_of_a_checkpoint_are_its_embeddings(tmp_path):
    encoder = build_encoder(segment=2.0).eval()
    encoder.save(tmp_path / "mine" / "encoder", card="")
    [one] = load_checkpoints([tmp_path / "mine" / "encoder"], hop=1.0)
    np.testing.assert_allclose(
        one.features(BLOCKS), encoder.embed(WAVEFORM, hop=1.0).segments, atol=1e-5
    )
    [other] = load_checkpoints([tmp_path / "mine" / "encoder"], hop=2.0)
    assert one.name == "mine" and one.key != other.key


def test_any_module_with_the_api_of_hear_is_a_baseline():
    assert create_baseline("hear:ssl_audio.hear").features(BLOCKS).shape == (1, 1024)


def test_a_baseline_is_one_file_and_one_line(tmp_path, monkeypatch):
    (tmp_path / "my_loudness.py").write_text(FILE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(BASELINES.paths, "loudness", "my_loudness.Loudness")  # the line
    found = create_baseline("loudness")
    assert (found.name, found.kind, found.features(BLOCKS).shape) == (
        "loudness",
        "features",
        (2, 1),
    )
    by_path = create_baseline("my_loudness.Loudness")  # or none
    np.testing.assert_array_equal(by_path.features(BLOCKS), found.features(BLOCKS))


@pytest.mark.parametrize(
    "name",
    ["untrainde", "timm:no_such_model", "hear:no.such.module", "timm:", "mfcc:13", "no.such.Class"],
)
def test_a_baseline_that_cannot_be_loaded_is_one_line(name):
    with pytest.raises(SslAudioError, match=name.split(":")[-1] or "timm") as caught:
        create_baseline(name)
    assert "\n" not in str(caught.value)
