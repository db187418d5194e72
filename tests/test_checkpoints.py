"""The encoders that the repository ships."""

from pathlib import Path

import numpy as np
import pytest

import ssl_audio
from ssl_audio.models.shipped import BEST, NAMES

FOLDER = Path(__file__).resolve().parents[1] / "checkpoints"
RECIPES = {"contrastive": "contrastive", "distilled": "distillation"}


@pytest.mark.parametrize("name", NAMES)
def test_each_loads_and_its_card_states_its_origin(name):
    encoder = ssl_audio.load_encoder(FOLDER / name)
    noise = np.random.default_rng(0).normal(0, 0.1, 5 * 16_000).astype(np.float32)
    assert np.isfinite(encoder.embed(noise).track).all()
    card = (FOLDER / name / "README.md").read_text()
    command = f"ssl-audio pretrain recipe={RECIPES[name]}"
    for said in (command, "ssl-audio probe",
                 "license: mit", "model-index",
                 "ROC-AUC", "±", "Limits"):  # fmt: skip
        assert said in card
    assert sum(path.stat().st_size for path in (FOLDER / name).iterdir()) < 11.5e6


def test_the_best_one_has_a_name():
    best, named = ssl_audio.load_encoder("best"), ssl_audio.load_encoder(BEST)
    assert best.weights_hash == named.weights_hash


@pytest.mark.parametrize("folder", sorted((FOLDER / "probes").glob("*")), ids=lambda f: f.name)
def test_each_probe_is_for_the_encoder_of_its_name_and_its_card_states_its_limits(folder):
    probe = ssl_audio.load_probe(folder.name)
    assert probe.encoder_ == ssl_audio.load_encoder(folder.name).weights_hash
    assert len(probe.tags_) > 1 and probe.hop_ is None
    assert "Limits" in (folder / "README.md").read_text()
    assert sum(path.stat().st_size for path in folder.iterdir()) < 500_000
