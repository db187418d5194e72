"""Features of many files: order, failures, bounded lookahead."""

import threading

import numpy as np
import pytest
import soundfile
import torch

from ssl_audio.io.errors import AudioError
from ssl_audio.io.parallel import LOOKAHEAD
from ssl_audio.models.encoder import build_encoder
from ssl_audio.models.extraction import extract


@pytest.fixture
def paths(tmp_path):
    made = []
    for index in range(12):
        noise = np.random.default_rng(index).normal(0, 0.1, 4000 * (1 + index % 3))
        soundfile.write(tmp_path / f"{index}.wav", noise, 16_000, subtype="FLOAT")
        made.append(tmp_path / f"{index}.wav")
    return made


def mean(blocks):
    return np.concatenate(list(blocks)).mean(keepdims=True)[None]


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_the_order_of_the_files(paths, workers):
    found = list(extract(paths, mean, 16_000, workers))
    for path, rows in zip(paths, found, strict=True):
        expected = soundfile.read(path, dtype="float32")[0].mean()
        np.testing.assert_allclose(rows, [[expected]], rtol=1e-6)


def test_a_damaged_file_is_a_result(paths):
    paths[3].write_bytes(b"nothing of use")
    found = list(extract(paths, mean, 16_000, 2))
    assert [isinstance(rows, AudioError) for rows in found] == [i == 3 for i in range(12)]
    assert "3.wav" in str(found[3])


def test_an_error_of_the_program_is_not_swallowed(paths):
    def broken(blocks):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(extract(paths, broken, 16_000, 2))


def test_read_ahead_is_bounded(paths):
    started = []
    lock = threading.Lock()

    def counting(blocks):
        with lock:
            started.append(1)
        return mean(blocks)

    results = extract(paths, counting, 16_000, 1)
    next(results)
    assert len(started) <= LOOKAHEAD + 2
    results.close()
    assert len(started) < len(paths)


def test_threads_are_given_back_and_embeddings_are_the_encoders_own(paths):
    torch.manual_seed(0)
    encoder = build_encoder(segment=1.0).eval()
    threads = torch.get_num_threads()
    embedder = encoder.embedder()
    found = list(
        extract(paths[:3], lambda blocks: embedder.embed_blocks(blocks).segments, 16_000, 2)
    )
    assert torch.get_num_threads() == threads
    for path, rows in zip(paths, found, strict=False):
        expected = encoder.embed_file(path).segments
        np.testing.assert_allclose(rows, expected, atol=1e-5)
