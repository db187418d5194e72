"""A run's encoders are whitened, and its projectors give what they gave before."""

from pathlib import Path

import pytest
import torch
from labelled_music import SMALL, write_labelled_music

from ssl_audio.models.encoder import load_encoder
from ssl_audio.objectives.projector import load_projector
from ssl_audio.pretrain import main

WORDS = [
    "recipe=byol", *SMALL, "encoder.embedding_size=16", "trainer.max_steps=6",
    "online_probe=none", "objective.hidden=8",
]  # fmt: skip


@pytest.fixture(autouse=True)
def music(own_folder: Path) -> None:
    """Six tracks of noise."""
    write_labelled_music(("genre---rock", "mood---calm"))


@pytest.mark.parametrize("system", ["encoder", "teacher"])
def test_embeddings_have_unit_variance_and_projections_are_as_trained(tmp_path, system):
    for name, value in (("raw", "null"), ("white", "0.001")):
        assert main([*WORDS, f"run_dir={name}", f"encoder.whitening={value}"]) == 0
    projector = {"encoder": "projector", "teacher": "teacher-projector"}[system]
    audio = torch.randn(64, 16_000) * torch.linspace(0.01, 0.5, 64)[:, None]
    found = {}
    with torch.no_grad():
        for name in ("raw", "white"):
            embedding = load_encoder(f"{name}/{system}")(audio)
            found[name] = embedding, load_projector(f"{name}/{projector}")(embedding)
    (raw, expected), (white, projection) = found["raw"], found["white"]
    assert not torch.allclose(raw, white, atol=0.1)
    torch.testing.assert_close(projection, expected, rtol=1e-3, atol=1e-4)
    spread = torch.linalg.svdvals(white - white.mean(0))
    before = torch.linalg.svdvals(raw - raw.mean(0))
    assert spread[3] / spread[0] > 1.5 * before[3] / before[0]
    text = (tmp_path / "white" / system / "README.md").read_text()
    assert "whitened after training, shrinkage 0.001" in text


def test_a_network_that_cannot_be_whitened_is_refused_before_training(tmp_path, capsys):
    words = [*WORDS, "run_dir=run", "encoder.backbone=deit_tiny_distilled_patch16_224"]
    assert main(words) == 1
    assert "set encoder.whitening=null" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
