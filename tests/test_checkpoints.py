"""The encoders that the repository ships."""

from pathlib import Path

import numpy as np
import pytest

import ssl_audio

FOLDER = Path(__file__).resolve().parents[1] / "checkpoints"
FIVE = ("barlow_twins", "byol", "clustering", "contrastive", "vicreg")


@pytest.mark.parametrize("name", FIVE)
def test_each_loads_and_its_card_states_its_origin(name):
    encoder = ssl_audio.load_encoder(FOLDER / name)
    noise = np.random.default_rng(0).normal(0, 0.1, 5 * 16_000).astype(np.float32)
    assert np.isfinite(encoder.embed(noise).track).all()
    card = (FOLDER / name / "README.md").read_text()
    for said in (f"python -m ssl_audio.pretrain recipe={name}", "python -m ssl_audio.probe",
                 "license: mit", "model-index",
                 "ROC-AUC", "±", "Limits"):  # fmt: skip
        assert said in card
    assert sum(path.stat().st_size for path in (FOLDER / name).iterdir()) < 11.5e6
