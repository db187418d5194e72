"""The application: all routes, and what every request passes on its way to them."""

from fastapi import FastAPI

from ssl_audio.io.version import __version__
from ssl_audio.service import explorer, routes_audio, routes_service, routes_tracks
from ssl_audio.service.bounded import Bounded
from ssl_audio.service.gate import Gate
from ssl_audio.service.metrics import Measured
from ssl_audio.service.paths import EncodedIds
from ssl_audio.service.problems import ProblemDocument, add_problems
from ssl_audio.service.state import Service

ERROR = {"description": "a problem document", "model": ProblemDocument}


def create_app(service: Service) -> FastAPI:
    """The application of a service."""
    settings = service.settings
    app = FastAPI(
        title="ssl_audio", version=__version__, docs_url=None, redoc_url=None,
        lifespan=service.running, responses={"4XX": ERROR, "422": ERROR},
    )  # fmt: skip
    app.state.service = service
    for routes in (routes_service, routes_audio, routes_tracks):
        app.include_router(routes.router)
    explorer.mount(app)
    add_problems(app)
    # the last one is passed first
    app.add_middleware(EncodedIds)
    app.add_middleware(Bounded, max_bytes=round(settings.max_upload * 1e6))
    app.add_middleware(Gate, token=settings.secret, loopback=settings.loopback)
    app.add_middleware(Measured, metrics=service.metrics)
    return app
