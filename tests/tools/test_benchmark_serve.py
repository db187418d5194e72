"""tools/benchmark_serve.py as a user runs it, on a small service."""

from __future__ import annotations

import json
from pathlib import Path

import benchmark_serve as tool
import pytest
from commands import call

from ssl_audio.models.encoder import build_encoder

FIGURES = {"p50_ms", "p95_ms", "p99_ms", "requests_per_second", "errors"}


@pytest.mark.slow
def test_load_and_soak_of_every_route(tmp_path: Path) -> None:
    encoder = build_encoder(segment=0.25, embedding_size=8, backbone="test_resnet").eval()
    encoder.save(tmp_path / "encoder", card="")
    words = [f"checkpoint={tmp_path / 'encoder'}", "tracks=20", "seconds=0.5", "requests=3",
             "clients=[1,2]", "soak=20", f"json={tmp_path / 'found.json'}"]  # fmt: skip
    status, out, err = call(tool.main, *words)
    found = json.loads((tmp_path / "found.json").read_text())
    load, soak = found["load"], found["soak"]
    assert load.pop("agree") and soak["errors"] == {}, (out, err)
    assert status == (0 if soak["agree"] else 1)  # the memory of few requests
    assert list(load) == list(tool.routes(uploads(tmp_path), 20))
    for by_clients in load.values():
        assert list(by_clients) == ["1", "2"]
        for figures in by_clients.values():
            assert set(figures) == FIGURES and figures["errors"] == 0
            assert 0 < figures["p50_ms"] <= figures["p95_ms"] <= figures["p99_ms"]
    assert len(soak["memory_mb"]) == 11 and min(soak["memory_mb"]) > 10


def uploads(folder: Path) -> Path:
    """The folder, with the files that requests upload."""
    for k in range(tool.FILES):
        (folder / f"{k}.flac").write_bytes(b"")
    return folder


def test_a_refused_request_is_an_error_and_not_a_success() -> None:
    outcome = tool.Outcome(seconds=[0.5, 1.5], took=4.0)
    outcome.errors["500 of /embed"] += 1
    figures = outcome.figures()
    assert figures["errors"] == 1 and figures["requests_per_second"] == 0.5
    assert figures["p50_ms"] == 1000.0
