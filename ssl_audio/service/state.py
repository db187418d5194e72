"""The service: its current snapshot, its workers, and the folders that it may read."""

from __future__ import annotations

import threading
from typing import Annotated

from fastapi import Depends, Request

from ssl_audio.io.parallel import available_processors
from ssl_audio.service.files import Roots
from ssl_audio.service.snapshot import Snapshot
from ssl_audio.service.waveform import PeakCache
from ssl_audio.service.work import Workers
from ssl_audio.settings.serve import ServeSettings


class Service:
    """What all requests share.

    A request takes the snapshot once and keeps it to its end; `reload` changes which one the next
    requests take.

    Args:
        settings: of the command.

    Raises:
        SslAudioError: see `Snapshot`.
    """

    def __init__(self, settings: ServeSettings) -> None:
        self.settings = settings
        self.snapshot = Snapshot(settings)
        self.workers = Workers(available_processors(), settings.queue)
        self.roots = Roots(settings.roots)
        self.peaks = PeakCache()
        self._reloading = threading.Lock()

    def reload(self) -> Snapshot:
        """Load the files again beside the current snapshot, and replace it.

        Raises:
            SslAudioError: they cannot be loaded; the current snapshot stays.
        """
        with self._reloading:
            self.snapshot = Snapshot(self.settings)
            return self.snapshot


def service_of(request: Request) -> Service:
    """The service of a request's application."""
    found: Service = request.app.state.service
    return found


def snapshot_of(request: Request) -> Snapshot:
    """The snapshot that a request is answered from."""
    return service_of(request).snapshot


Shared = Annotated[Service, Depends(service_of)]
Current = Annotated[Snapshot, Depends(snapshot_of)]
