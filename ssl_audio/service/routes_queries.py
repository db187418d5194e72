"""Questions: neighbours of a track, a vector or a file; the continuation of a playlist."""

from __future__ import annotations

from fastapi import APIRouter

from ssl_audio.service.schemas import (
    Completion,
    CompletionQuery,
    Health,
    Neighbour,
    NeighbourQuery,
)
from ssl_audio.service.state import Current, Shared

router = APIRouter()


@router.get("/health", tags=["service"])
def health(snapshot: Current) -> Health:
    """What is loaded."""
    return snapshot.health()


@router.post("/neighbours", tags=["audio"])
async def neighbours(query: NeighbourQuery, snapshot: Current, service: Shared) -> list[Neighbour]:
    """The most similar tracks; of an id, without the track itself."""
    async with service.workers.place():
        return await service.workers.run(snapshot.neighbours, query)


@router.post("/complete", tags=["playlists"])
async def complete(query: CompletionQuery, snapshot: Current, service: Shared) -> Completion:
    """Tracks that continue a playlist."""
    async with service.workers.place():
        return await service.workers.run(snapshot.complete, query)
