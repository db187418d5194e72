"""What the service shows in a browser."""

from fastapi import FastAPI

from ssl_audio.service.explorer.map import MapMaker
from ssl_audio.service.explorer.routes import router, static_files


def mount(app: FastAPI) -> None:
    """Add the explorer's routes and files to the service's application."""
    app.state.maps = MapMaker()
    app.include_router(router)
    app.mount("/explorer", static_files(), name="explorer")
