"""The process: listens, answers, and ends once the running requests are answered."""

from __future__ import annotations

import uvicorn

from ssl_audio.io.console import say
from ssl_audio.service.app import create_app
from ssl_audio.service.state import Service
from ssl_audio.settings.serve import ServeSettings


def serve(settings: ServeSettings) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    service = Service(settings)
    config = uvicorn.Config(
        create_app(service), settings.host, settings.port, log_level="warning", access_log=False,
        server_header=False, proxy_headers=False, lifespan="off",
    )  # fmt: skip
    say(f"{len(service.snapshot.tracks)} tracks: http://{settings.host}:{settings.port}")
    uvicorn.Server(config).run()
