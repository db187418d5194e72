"""The way of a file that no playlist has, with a run of MUSIG: the service against the commands."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import call
from made_service import TAGS, Client, make_probe, sound, tone

from ssl_audio import acoustic, complete, embed, recommend
from ssl_audio.models.encoder import build_encoder
from ssl_audio.probing.estimator import load_probe
from ssl_audio.stores.feature_store import Stored, read_store

TRACKS = 24
NEW = sound(tone(30, 1.2))
SMALL = [
    "trainer.accelerator=cpu", "baselines=[]", "graph.min_weight=1", "musig.steps=3",
    "musig.batch_size=16", "musig.dimensions=8", "musig.fan_out=[3,2]", "completion.min_tracks=4",
    "completion.resamples=10", "completion.cold=0.1",
]  # fmt: skip


def command(main: Callable[..., int], *words: str) -> None:
    status, _, said = call(main, *words)
    assert status == 0, said


def features(folder: Path, model: Path) -> list[str]:
    """Stores of the files in `folder/music`, by the commands, as words of other commands."""
    stored = {name: folder / f"{name}.parquet" for name in ("embeddings", "acoustic", "audio")}
    command(embed.main, f"source={folder / 'music'}", f"checkpoint={model.parent / 'encoder'}",
            f"output={stored['embeddings']}", "workers=1")  # fmt: skip
    command(acoustic.main, f"features={stored['embeddings']}", f"output={stored['acoustic']}",
            f"model={model}")  # fmt: skip
    command(acoustic.main, "kind=descriptors", f"source={folder / 'music'}",
            f"output={stored['audio']}", "workers=1")  # fmt: skip
    return [f"stores.{name}={path}" for name, path in stored.items()]


def make_catalogue(folder: Path) -> Path:
    """Files, their features, a probe, playlists, and a run of MUSIG."""
    draw = np.random.default_rng(0)
    (folder / "music").mkdir(parents=True)
    for k in range(TRACKS):
        (folder / "music" / f"{k:02}.wav").write_bytes(sound(tone(k, 1.0)))
    encoder = build_encoder(segment=0.25, embedding_size=16, backbone="test_resnet").eval()
    encoder.save(folder / "encoder", card="")
    words = features(folder, folder / "acoustic-model")
    make_probe(folder / "probe", encoder, read_store(folder / "embeddings.parquet").vectors)
    with (folder / "playlists.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["playlist", "track"])
        for p in range(60):
            members = draw.permutation(TRACKS)[:8]
            rows.writerows([f"p{p}", f"{k:02}.wav"] for k in members.tolist())
    command(recommend.main, f"playlists={folder / 'playlists.csv'}", f"run_dir={folder / 'run'}",
            *words, "model=[musig]", "features=[acoustic,audio,popularity]", *SMALL)  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def catalogue(once: Callable[..., Any]) -> Path:
    found: Path = once("service_catalogue", make_catalogue)
    return found


def test_a_new_track_is_described_as_by_the_commands(
    client: Client, catalogue: Path, tmp_path: Path
) -> None:
    service = client(
        features=catalogue / "embeddings.parquet", acoustic=catalogue / "acoustic.parquet",
        probe=catalogue / "probe", run=catalogue / "run",
    )  # fmt: skip
    assert service.get("/health").json()["inductive"] == "musig"
    fields = {"k": 3, "length": 5}
    found = service.post("/new-track", files={"file": ("new.wav", NEW)}, data=fields).json()

    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "new.wav").write_bytes(NEW)
    words = features(tmp_path, catalogue / "acoustic-model")
    command(complete.main, f"run={catalogue / 'run'}", f"output={tmp_path / 'new.parquet'}", *words)
    (vector,) = read_store(tmp_path / "embeddings.parquet").vectors
    np.testing.assert_allclose(found["embedding"], vector, rtol=1e-4, atol=1e-5)
    (expected,) = read_store(tmp_path / "acoustic.parquet").vectors
    np.testing.assert_allclose(list(found["acoustic"].values()), expected, atol=1e-4)

    (probabilities,) = load_probe(catalogue / "probe").predict_proba(vector[None])
    assert {tag["name"]: tag["probability"] for tag in found["tags"]} == pytest.approx(
        dict(zip(TAGS, probabilities, strict=True)), abs=1e-4
    )
    stored = read_store(catalogue / "embeddings.parquet")
    assert [one["id"] for one in found["neighbours"]] == nearest(stored, vector, 3)

    (inductive,) = read_store(tmp_path / "new.parquet").vectors
    assert found["inductive"]["model"] == found["playlist"]["model"] == "musig"
    np.testing.assert_allclose(found["inductive"]["vector"], inductive, atol=1e-4)
    assert np.linalg.norm(inductive) == pytest.approx(1, abs=1e-4)
    around = nearest(read_store(catalogue / "run" / "musig-tracks.parquet"), inductive, 5)
    assert found["playlist"]["ids"] == around


def nearest(stored: Stored, vector: np.ndarray, count: int) -> list[str]:
    """Ids of the vectors of highest cosine similarity."""
    lengths = np.linalg.norm(stored.vectors, axis=1)
    order = np.argsort(-(stored.vectors @ vector) / lengths, kind="stable")
    return [stored.ids[k] for k in order[:count].tolist()]
