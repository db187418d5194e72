"""State, figures and documentation of the service; playlists."""

import asyncio

from fastapi import Request
from fastapi.responses import HTMLResponse, Response
from prometheus_client import generate_latest

from ssl_audio.io.errors import SslAudioError
from ssl_audio.service.docs import PAGE
from ssl_audio.service.metrics import MEDIA_TYPE
from ssl_audio.service.problems import Problem
from ssl_audio.service.received import body_of, received
from ssl_audio.service.routing import Router
from ssl_audio.service.schemas import Completion, CompletionQuery, Health
from ssl_audio.service.state import Current, Shared

router = Router()


@router.get("/health", tags=["service"])
def health(snapshot: Current) -> Health:
    """What is loaded."""
    return snapshot.health()


@router.get("/metrics", tags=["service"], response_class=Response)
def metrics(service: Shared) -> Response:
    """Figures in Prometheus' text format."""
    return Response(generate_latest(service.metrics.registry), media_type=MEDIA_TYPE)


@router.get("/docs", include_in_schema=False)
def docs(request: Request) -> HTMLResponse:
    """The documentation of the API."""
    return HTMLResponse(PAGE.render(api=request.app.openapi()))


@router.post("/reload", tags=["service"])
async def reload(service: Shared) -> Health:
    """Load store, encoder and models anew; requests meanwhile are answered from the old ones."""
    async with service.workers.place():
        try:
            snapshot = await asyncio.to_thread(service.reload)
        except SslAudioError as error:
            raise Problem(409, f"{error}; what was loaded before is still used") from error
    return snapshot.health()


@router.post("/complete", tags=["playlists"], openapi_extra=body_of(CompletionQuery, "an M3U"))
async def complete(request: Request, snapshot: Current, service: Shared) -> Completion:
    """Tracks that continue a playlist, given by ids or as an M3U."""
    async with service.workers.place(), received(request, CompletionQuery) as found:
        query = found.query
        if found.upload is not None:
            ids = await service.workers.run(request, snapshot.entries, found.upload)
            query = query.model_copy(update={"ids": ids})
        return await service.workers.run(request, snapshot.complete, query)
