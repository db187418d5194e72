"""Ids of tracks in paths."""

from starlette.types import ASGIApp, Receive, Scope, Send

_PREFIX = b"/tracks/"


class EncodedIds:
    """Middleware: paths below /tracks/ are routed as they were sent, percent-encoded.

    Ids have slashes in them. Decoded, `/tracks/a%2Faudio` could be the details of "a/audio" or the
    audio of "a"; the routes decode the id themselves.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw = scope.get("raw_path") or b""
        if scope["type"] == "http" and raw.startswith(_PREFIX):
            scope["path"] = raw.partition(b"?")[0].decode("latin-1")
        await self.app(scope, receive, send)
