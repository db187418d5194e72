"""Embeddings of fixed audio by the shipped checkpoints, log-mels, the published reference."""

import numpy as np
import pytest

from . import adapter, material
from .frozen import check_array

FILES = (
    "recordings/sorohanro_-_solo-trumpet-06.ogg",
    "recordings/456440__inspectorj__bird-whistling-robin-single-13.ogg",
    "scores/audio/00/10.ogg",
)

# Processors of two makers, whose FFTs and products add in other orders, differ by 1.4e-6.
ROUNDING = 5e-6


@pytest.mark.parametrize("name", adapter.SHIPPED)
def test_embedding_of_a_waveform(name):
    found = adapter.embed_waveform(adapter.CHECKPOINTS / name, material.waveform())
    check_array(f"waveform by {name}", found, ROUNDING)


@pytest.mark.parametrize("name", adapter.SHIPPED)
def test_embeddings_of_files(name, shared):
    found = [adapter.embed_file(adapter.CHECKPOINTS / name, shared / "audio" / f) for f in FILES]
    for file, vector in zip(FILES, found, strict=True):
        check_array(f"{file} by {name}", vector, ROUNDING)


@pytest.mark.parametrize("frontend", ["default", "released"])
def test_log_mel(frontend):
    found = adapter.log_mel(frontend, material.waveform(1.0)[None])
    check_array(f"log-mel {frontend}", found, ROUNDING)


def test_published_reference(shared, tmp_path):
    reference = np.load(shared / "reference" / "released-format-contrastive.npz")
    published = shared / "reference" / "released-format-contrastive.pt"
    folder = adapter.convert_released(published, tmp_path / "converted")
    found = adapter.embed_batch(folder, reference["waveform"])
    np.testing.assert_allclose(found, reference["embedding"], atol=1e-5)
    mel = adapter.log_mel("released", reference["waveform"])
    # decibels 100 below the peak are rounding errors of float32 spectra: compared as amplitudes
    peak = reference["log_mel"].max()
    given, expected = (10 ** ((x.astype(float) - peak) / 20) for x in (mel, reference["log_mel"]))
    np.testing.assert_allclose(given, expected, atol=2e-6)
