"""The application: all routes, and what every request passes on its way to them."""

from __future__ import annotations

from fastapi import FastAPI

from ssl_audio.io.version import __version__
from ssl_audio.service import explorer, routes_queries, routes_tracks
from ssl_audio.service.paths import EncodedIds
from ssl_audio.service.problems import add_problems
from ssl_audio.service.state import Service


def create_app(service: Service) -> FastAPI:
    """The application of a service."""
    app = FastAPI(title="ssl_audio", version=__version__, docs_url=None, redoc_url=None)
    app.state.service = service
    app.include_router(routes_queries.router)
    app.include_router(routes_tracks.router)
    explorer.mount(app)
    add_problems(app)
    app.add_middleware(EncodedIds)
    return app
