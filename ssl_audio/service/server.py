"""The process: listens, answers, and ends once the running requests are answered."""

import socket
from urllib.parse import quote

import uvicorn

from ssl_audio.io.console import say, terminable
from ssl_audio.io.errors import SslAudioError
from ssl_audio.service.app import create_app
from ssl_audio.service.connections import BoundedProtocol
from ssl_audio.service.state import Service
from ssl_audio.settings.serve import ServeSettings

MAX_CONNECTIONS = 512  # 503 beyond
STOP_SECONDS = 60  # for running requests, before they are abandoned


def serve(settings: ServeSettings) -> None:
    """Serve until Ctrl-C or SIGTERM; then answer what was asked before, and end.

    Raises:
        SslAudioError: files that cannot be loaded, or an address that cannot be listened on.
        KeyboardInterrupt: it was stopped.
    """
    listener = _listener(settings.host, settings.port)
    with listener, terminable():
        service = Service(settings)
        config = uvicorn.Config(
            create_app(service), http=BoundedProtocol, ws="none", lifespan="on",
            log_level="error", access_log=False, server_header=False, proxy_headers=False,
            limit_concurrency=MAX_CONNECTIONS, timeout_graceful_shutdown=STOP_SECONDS,
        )  # fmt: skip
        say(f"{len(service.snapshot.tracks)} tracks: {_address(settings, listener)}")
        uvicorn.Server(config).run([listener])


def _listener(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server((address[0], port), family=family, backlog=1024)
    except OSError as error:
        raise SslAudioError(
            f"cannot listen on {host}:{port} ({error.strerror or error}): give another host= or "
            "port="
        ) from error


def _address(settings: ServeSettings, listener: socket.socket) -> str:
    """What a browser opens."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"http://{host}:{listener.getsockname()[1]}/"
    return f"{address}?token={quote(settings.secret, safe='')}" if settings.secret else address
