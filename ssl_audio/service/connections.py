"""Connections that are ended when the other side keeps them waiting."""

import asyncio
import socket
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS = 15.0  # for the head of a request, from the connection or the first byte on
READ_SECONDS = 30.0  # for the reader of an answer to make place in a full buffer


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 of uvicorn, whose own limit is that of connections without a byte of a request."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._waiting: dict[str, asyncio.TimerHandle] = {}

    def _wait(self, what: str, seconds: float) -> None:
        if what not in self._waiting:
            self._waiting[what] = self.loop.call_later(seconds, self.transport.abort)

    def _stop_waiting(self, what: str) -> None:
        if what in self._waiting:
            self._waiting.pop(what).cancel()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # asyncio does this for sockets that name their protocol only: without it, an answer in two
        # packets waits 40 ms for the acknowledgement of the first
        one = transport.get_extra_info("socket")
        if one is not None:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._wait("head", HEADER_SECONDS)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting("head")  # it is there
        else:
            self._wait("head", HEADER_SECONDS)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._wait("reader", READ_SECONDS)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_waiting("reader")

    def timeout_keep_alive_handler(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # an answer that nobody has read
        super().timeout_keep_alive_handler()

    def connection_lost(self, exc: Exception | None) -> None:
        for what in list(self._waiting):
            self._stop_waiting(what)
        super().connection_lost(exc)
