"""Files of a small service: sounds, a store, an encoder, a probe, and a run of `recommend`."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from starlette.testclient import TestClient

from ssl_audio.catalogue.acoustic_model import AcousticModel
from ssl_audio.models.encoder import Encoder, build_encoder
from ssl_audio.probing.estimator import Probe
from ssl_audio.recommenders.data.collection import Catalogue, playlists_of
from ssl_audio.recommenders.data.store import open_store, store_playlists
from ssl_audio.recommenders.models.two_tower import TwoTower
from ssl_audio.reports.results import PlaylistData, PlaylistResults, write_results
from ssl_audio.settings.recommend import (
    CompletionSettings,
    RecommendSettings,
    StoreSettings,
    TwoTowerSettings,
)
from ssl_audio.settings.tree import plain
from ssl_audio.stores.columns import Row
from ssl_audio.stores.writer import write_store

# what a URL, a shell or a router would read as something else
IDS = ["a/b c.wav", "Motörhead/(live) it's 100%.wav", "a/audio.wav", "日本/#1?x=y&z.wav",
       "q+%2F.wav", "a/b/waveform", "..wav"]  # fmt: skip
RATE = 16_000
BASE = "http://127.0.0.1:8000"
TAGS = ["calm", "loud", "fast"]
WIDTH = 16  # of the encoder's embeddings

Client = Callable[..., TestClient]


def tone(k: int, seconds: float = 0.5) -> np.ndarray:
    """A tone whose level rises from 0 to 0.5, different for each k."""
    time = np.arange(round(seconds * RATE)) / RATE
    return 0.5 * time / seconds * np.sin(2 * np.pi * 110 * (k + 1) * time)


def sound(samples: np.ndarray, kind: str = "WAV") -> bytes:
    """The bytes of an audio file."""
    made = io.BytesIO()
    soundfile.write(made, samples, RATE, format=kind)
    return made.getvalue()


def make_music(folder: Path) -> Path:
    """A folder of the files of `IDS`, with features.parquet of vectors that no encoder made."""
    rows = []
    for k, name in enumerate(IDS):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sound(tone(k)))
        vector = np.eye(len(IDS), dtype=np.float32)[k] + 0.1 * k
        rows.append(Row(name, str(path), 0.5, "", vector))
    write_store(folder / "features.parquet", {"kind": "acoustic, pca", "model": "made"}, rows)
    return folder


def make_models(folder: Path, music: Path) -> dict[str, Any]:
    """Settings of a service with everything: store and models of the files of `IDS`."""
    torch.manual_seed(0)
    encoder = build_encoder(segment=0.25, embedding_size=WIDTH, backbone="test_resnet").eval()
    encoder.save(folder / "encoder", card="")
    vectors = np.stack([encoder.embed_file(music / name).track for name in IDS])
    rows = [Row(name, str(music / name), 0.5, "", v) for name, v in zip(IDS, vectors, strict=True)]
    about = {"kind": "embedding", "model": encoder.weights_hash, "hop": None, "segment": 0.25,
             "checkpoint": str(folder / "encoder")}  # fmt: skip
    write_store(folder / "features.parquet", about, rows)
    make_probe(folder / "probe", encoder, vectors)
    _make_acoustic(folder, encoder, vectors, rows)
    _make_run(folder, vectors)
    return {
        "features": folder / "features.parquet", "probe": folder / "probe",
        "acoustic": folder / "acoustic.parquet", "run": folder / "run", "roots": (music,),
    }  # fmt: skip


def make_probe(folder: Path, encoder: Encoder, vectors: np.ndarray) -> None:
    targets = np.random.default_rng(0).integers(0, 2, (40, len(TAGS)))
    noise = np.random.default_rng(1).normal(size=(40, WIDTH)) + vectors.mean(0)
    probe = Probe("logistic").fit(noise, targets, tags=TAGS, encoder=encoder.weights_hash)
    probe.save(folder)


def _make_acoustic(folder: Path, encoder: Encoder, vectors: np.ndarray, rows: list[Row]) -> None:
    weight = np.random.default_rng(2).normal(size=(8, WIDTH)).astype(np.float32)
    about = {"encoder": encoder.weights_hash}
    model = AcousticModel.scaled("pca", weight, vectors.mean(0), vectors, about)
    model.save(folder / "acoustic-model")
    made = [
        Row(row.id, row.path, 0.5, "", v)
        for row, v in zip(rows, model.features(vectors), strict=True)
    ]
    write_store(folder / "acoustic.parquet", {"kind": "acoustic, pca", "model": "made"}, made[:-1])


def _make_run(folder: Path, vectors: np.ndarray) -> None:
    """A run of `recommend model=two_tower` with random weights."""
    own = folder / "run" / "systems" / "two-tower-embeddings"
    model = TwoTower(WIDTH, TwoTowerSettings(dimensions=4, hidden=8)).eval()
    model.save(own / "model")
    np.save(own / "vectors.npy", model.vectors(vectors))
    stored, lists = folder / "playlists.duckdb", [[*range(k, k + 4)] for k in range(len(IDS) - 4)]
    store_playlists(playlists_of(lists), Catalogue(IDS), stored)
    used = RecommendSettings(
        playlists=stored, stores=StoreSettings(embeddings=folder / "features.parquet"),
        completion=CompletionSettings(cold=0),
    )  # fmt: skip
    hashes = {"playlists": str(open_store(stored).about["content"])}
    data = PlaylistData(name="made", counts={}, notes=(), hashes=hashes)
    write_results(folder / "run", PlaylistResults(
        run=str(folder / "run"), seed=0, config=plain(used), versions={}, seconds={}, protocol="",
        data=data, tables=(), losses={}, correlation=None,
        models={"two_tower": "two-tower-embeddings"},
    ))  # fmt: skip
