"""Limits of requests: the size of their bodies, and how slowly they may arrive."""

import asyncio
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ssl_audio.service.problems import Problem

PATIENCE = 15.0  # seconds that a body may take, and
MIN_RATE = 16_384  # bytes a second that it must arrive at beyond


class Bounded:
    """Middleware: a body that is too large or too slow is answered with 413 or 408.

    Bytes are counted as they arrive, whatever the headers say.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app, self._max = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        body = _Body(receive, self._max, has_body(headers))

        async def closing(message: Message) -> None:
            # the rest of a body that nobody reads would have to be read before the next request
            if message["type"] == "http.response.start" and body.expected:
                MutableHeaders(scope=message)["connection"] = "close"
            await send(message)

        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self._max:
            await body.too_large().response()(scope, receive, closing)
            return
        await self.app(scope, body.receive, closing)


def has_body(headers: Headers) -> bool:
    """True if a request says that it has a body."""
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


class _Body:
    """A body as it arrives."""

    def __init__(self, receive: Receive, max_bytes: int, expected: bool) -> None:
        self._receive, self._max = receive, max_bytes
        self.expected = expected  # more of it
        self._bytes, self._started = 0, time.monotonic()

    async def receive(self) -> Message:
        """The next message.

        Raises:
            Problem: 413 or 408.
        """
        if not self.expected:
            return await self._receive()  # a disconnection, whenever it comes
        left = self._started + PATIENCE + self._bytes / MIN_RATE - time.monotonic()
        try:
            message = await asyncio.wait_for(self._receive(), max(left, 0.0))
        except TimeoutError as error:
            raise Problem(408, f"the body is slower than {MIN_RATE >> 10} KiB a second") from error
        self._bytes += len(message.get("body", b""))
        if self._bytes > self._max:
            raise self.too_large()
        self.expected = message.get("more_body", False)
        return message

    def too_large(self) -> Problem:
        """The problem of this body."""
        return Problem(413, f"the body is larger than {self._max / 1e6:g} MB, max_upload=")
