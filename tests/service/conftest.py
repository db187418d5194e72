"""A service over a few small files, called in this process."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from made_service import BASE, Client, make_models, make_music
from starlette.testclient import TestClient

from ssl_audio.service.app import create_app
from ssl_audio.service.state import Service
from ssl_audio.settings.serve import ServeSettings


@pytest.fixture(scope="session")
def music(once: Callable[..., Any]) -> Path:
    """A folder with files, and a store of vectors that are not embeddings."""
    found: Path = once("service_music", make_music)
    return found


@pytest.fixture(scope="session")
def models(once: Callable[..., Any], music: Path) -> dict[str, Any]:
    """Settings of a service with an encoder, a probe, acoustic features and a run."""
    found: dict[str, Any] = once("service_models", lambda path: make_models(path, music))
    return found


@pytest.fixture
def client(music: Path) -> Iterator[Client]:
    """`client(KEY=VALUE)`: a service with these settings, on the store of `music` by default."""
    with ExitStack() as stack:

        def make(**settings: Any) -> TestClient:
            service = Service(ServeSettings(**{"features": music / "features.parquet", **settings}))
            app = create_app(service)
            return stack.enter_context(TestClient(app, BASE, raise_server_exceptions=False))

        yield make


@pytest.fixture(scope="module")
def everything(models: dict[str, Any]) -> Iterator[TestClient]:
    """A service with all models."""
    app = create_app(Service(ServeSettings(**models)))
    with TestClient(app, BASE, raise_server_exceptions=False) as client:
        yield client
