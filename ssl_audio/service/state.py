"""The service: its current snapshot, its workers, and the folders that it may read."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Request

from ssl_audio.io.console import say, warn
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.parallel import available_processors
from ssl_audio.service.analysis import Limits
from ssl_audio.service.files import Roots
from ssl_audio.service.metrics import Metrics
from ssl_audio.service.snapshot import Snapshot
from ssl_audio.service.waveform import PeakCache
from ssl_audio.service.work import Workers
from ssl_audio.settings.serve import ServeSettings
from ssl_audio.stores.feature_store import read_version
from ssl_audio.stores.remote import fetched


class Service:
    """What all requests share.

    A request takes the snapshot once and keeps it to its end; `reload` changes which one the next
    requests take.

    Raises:
        SslAudioError: see `Snapshot`.
    """

    def __init__(self, settings: ServeSettings) -> None:
        self.settings, self.metrics = settings, Metrics()
        self.snapshot = self._load()
        self.workers = Workers(available_processors(), settings.queue)
        self.roots, self.peaks = Roots(settings.roots), PeakCache()
        self.limits = Limits(settings.max_seconds, settings.decode_seconds)
        self.metrics.tracks.set_function(lambda: len(self.snapshot.tracks))
        self.metrics.admitted.set_function(lambda: self.workers.admitted)
        self._reloading, self._closing = threading.Lock(), threading.Event()

    def reload(self) -> Snapshot:
        """Load the files again beside the current snapshot, and replace it.

        Raises:
            SslAudioError: they cannot be loaded; the current snapshot stays.
        """
        with self._reloading:
            try:
                self.snapshot = self._load()
            except SslAudioError:
                self.metrics.reloads.labels("failed").inc()
                raise
            self.metrics.reloads.labels("done").inc()
            return self.snapshot

    def _load(self) -> Snapshot:
        return Snapshot(self.settings, self.metrics.batches.observe)

    def watch(self, seconds: float) -> None:
        """Reload whenever the store has changed, until the service is closed."""
        tried = self.snapshot.tracks.version
        while not self._closing.wait(seconds):
            try:
                version = read_version(fetched(self.settings.features))
                if version not in (tried, self.snapshot.tracks.version):
                    tried = version
                    say(f"{self.settings.features} has changed: loading it")
                    self.reload()
            except (OSError, SslAudioError) as error:
                warn(f"{error}; what was loaded before is still used")

    @asynccontextmanager
    async def running(self, app: FastAPI) -> AsyncIterator[None]:
        """Watch the store while the application runs, if asked to; then end all threads."""
        if self.settings.watch is not None:
            threading.Thread(target=self.watch, args=(self.settings.watch,), daemon=True).start()
        try:
            yield
        finally:
            self._closing.set()
            self.workers.close()


def service_of(request: Request) -> Service:
    """The service of a request's application."""
    found: Service = request.app.state.service
    return found


def snapshot_of(request: Request) -> Snapshot:
    """The snapshot that a request is answered from."""
    return service_of(request).snapshot


Shared = Annotated[Service, Depends(service_of)]
Current = Annotated[Snapshot, Depends(snapshot_of)]
