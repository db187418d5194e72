"""What is asked of an audio file, uploaded or named, and of the tracks around it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from fastapi import Request

from ssl_audio.service.received import body_of, received, refuse_lists
from ssl_audio.service.routing import Router
from ssl_audio.service.schemas import (
    Embedded,
    FileQuery,
    Neighbour,
    NeighbourQuery,
    NewTrack,
    NewTrackQuery,
    Tagged,
)
from ssl_audio.service.state import Current, Service, Shared

AUDIO = "an audio file"
router = Router(tags=["audio"])
Query = TypeVar("Query", FileQuery, NewTrackQuery, NeighbourQuery)


@asynccontextmanager
async def _asked(
    request: Request, service: Service, kind: type[Query]
) -> AsyncIterator[tuple[Query, Path | None]]:
    """A place among the workers, the values of a request, and its file if it has one."""
    async with service.workers.place(), received(request, kind) as found:
        if found.upload is not None:
            refuse_lists(found.upload)
            yield found.query, found.upload
        elif found.query.path is not None:
            yield found.query, service.roots.named(found.query.path)
        else:
            yield found.query, None


@router.post("/embed", openapi_extra=body_of(FileQuery, AUDIO))
async def embed(request: Request, snapshot: Current, service: Shared) -> Embedded:
    """The embedding of a file, as `embed` computes it."""
    async with _asked(request, service, FileQuery) as (_, path):
        assert path is not None
        embedded = await service.workers.run(request, snapshot.embed, path)
    return Embedded(
        seconds=embedded.seconds, note=embedded.note, embedding=embedded.vector.tolist()
    )


@router.post("/tag", openapi_extra=body_of(FileQuery, AUDIO))
async def tag(request: Request, snapshot: Current, service: Shared) -> Tagged:
    """The tags of a file with their probabilities, by the probe."""
    async with _asked(request, service, FileQuery) as (_, path):
        assert path is not None
        embedded, tags = await service.workers.run(request, snapshot.tag_file, path)
    return Tagged(seconds=embedded.seconds, note=embedded.note, tags=tags)


@router.post("/neighbours", openapi_extra=body_of(NeighbourQuery, AUDIO))
async def neighbours(request: Request, snapshot: Current, service: Shared) -> list[Neighbour]:
    """The tracks most similar to a track, a vector or a file; of a track, without itself."""
    async with _asked(request, service, NeighbourQuery) as (query, path):
        return await service.workers.run(request, snapshot.neighbours, query, path)


@router.post("/new-track", openapi_extra=body_of(NewTrackQuery, AUDIO))
async def new_track(request: Request, snapshot: Current, service: Shared) -> NewTrack:
    """All that can be said of a file that no playlist has, with a playlist around it."""
    async with _asked(request, service, NewTrackQuery) as (query, path):
        assert path is not None
        return await service.workers.run(request, snapshot.new_track, query, path)
