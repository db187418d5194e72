"""A service over a few small files, called in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from made_service import BASE, IDS, RATE, Client, tone
from starlette.testclient import TestClient

from ssl_audio.service.app import create_app
from ssl_audio.service.state import Service
from ssl_audio.settings.serve import ServeSettings
from ssl_audio.stores.columns import Row
from ssl_audio.stores.writer import write_store


@pytest.fixture(scope="session")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store, features.parquet, of the files of `IDS`."""
    folder = tmp_path_factory.mktemp("service") / "music"
    rows = []
    for k, name in enumerate(IDS):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, tone(k), RATE, format="WAV")
        vector = np.eye(len(IDS), dtype=np.float32)[k] + 0.1 * k
        rows.append(Row(name, str(path), 0.5, "", vector))
    about = {"kind": "acoustic, pca", "model": "made"}
    write_store(folder / "features.parquet", about, rows)
    return folder


@pytest.fixture
def client(music: Path) -> Client:
    """`client(KEY=VALUE)`: a service with these settings, on the store of `music` by default."""

    def make(**settings: Any) -> TestClient:
        given = {"features": music / "features.parquet", **settings}
        service = Service(ServeSettings(**given))
        return TestClient(create_app(service), BASE, raise_server_exceptions=False)

    return make
