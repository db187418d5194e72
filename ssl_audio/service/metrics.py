"""Figures of the service for Prometheus."""

import time

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_METHODS = ("GET", "HEAD", "POST", "OPTIONS")
MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counters of one service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "ssl_audio_requests", "Requests answered, by route and status",
            ["method", "route", "status"], registry=self.registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "ssl_audio_request_seconds", "Time to the end of an answer", ["route"],
            registry=self.registry,
        )  # fmt: skip
        self.batches = Histogram(
            "ssl_audio_batch_segments", "Segments that the network embeds together",
            buckets=(1, 2, 4, 8, 16, 32, 64), registry=self.registry,
        )  # fmt: skip
        self.admitted = Gauge(
            "ssl_audio_admitted", "Requests read, waiting or worked on", registry=self.registry
        )
        self.tracks = Gauge("ssl_audio_tracks", "Tracks of the store", registry=self.registry)
        self.reloads = Counter(
            "ssl_audio_reloads", "Reloads, by outcome", ["outcome"], registry=self.registry
        )


class Measured:
    """Middleware that counts answers and measures their time."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status, started = 500, time.monotonic()

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, observed)
        finally:
            # the route's pattern, not the path, of which there are any number
            route = getattr(scope.get("route"), "path", "none")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.requests.labels(method, route, status).inc()
            self._metrics.seconds.labels(route).observe(time.monotonic() - started)
