"""`/tracks`: search by name, details, audio and waveform of the tracks of the store."""

from typing import Annotated
from urllib.parse import unquote

from fastapi import Depends, Query, Request
from fastapi.responses import FileResponse

from ssl_audio.catalogue.tracks import fingerprint, os_reason
from ssl_audio.service.files import MEDIA_TYPES
from ssl_audio.service.problems import Problem
from ssl_audio.service.routing import Router
from ssl_audio.service.schemas import MAX_RESULTS, Found, TrackDetails, Waveform
from ssl_audio.service.state import Current, Shared
from ssl_audio.service.waveform import MAX_POINTS, PART_SECONDS, part_peaks, reduced

router = Router(prefix="/tracks", tags=["tracks"])


def _track_id(track: str) -> str:
    """The id of a path, which arrives percent-encoded (`paths.EncodedIds`)."""
    try:
        return unquote(track, errors="strict")
    except UnicodeDecodeError as error:
        raise Problem(404, "the track's id is not UTF-8") from error


TrackId = Annotated[str, Depends(_track_id)]


@router.get("")
def find_tracks(
    snapshot: Current,
    query: Annotated[str, Query(max_length=500)] = "",
    limit: Annotated[int, Query(ge=1, le=MAX_RESULTS)] = 20,
) -> Found:
    """Tracks whose id has all words of the query, whatever case and accents."""
    rows = snapshot.tracks.find(query)
    return Found(total=len(rows), tracks=[snapshot.tracks.track(row) for row in rows[:limit]])


@router.get("/{track:path}/audio", response_class=FileResponse)
def audio(track: TrackId, snapshot: Current, service: Shared) -> FileResponse:
    """The file of a track; range requests give parts of it."""
    path = service.roots.of_track(snapshot.tracks.paths[snapshot.tracks.of(track)])
    kind = MEDIA_TYPES.get(path.suffix.lower(), "application/octet-stream")
    return FileResponse(path, media_type=kind)


@router.get("/{track:path}/waveform")
async def waveform(
    request: Request,
    track: TrackId,
    snapshot: Current,
    service: Shared,
    points: Annotated[int, Query(ge=1, le=MAX_POINTS)] = 400,
) -> Waveform:
    """Peaks of a track, of `points` parts of equal length; at most one per 20 ms."""
    path = service.roots.of_track(snapshot.tracks.paths[snapshot.tracks.of(track)])
    try:
        key = (path, fingerprint(path))
    except OSError as error:
        raise Problem(404, f"no such file: {os_reason(error)}") from error
    peaks = service.peaks.get(key)
    if peaks is None:
        async with service.workers.place():
            peaks = await service.workers.run(request, part_peaks, service.limits.blocks(path))
        service.peaks.put(key, peaks)
    return Waveform(seconds=len(peaks) * PART_SECONDS, peaks=reduced(peaks, points))


@router.get("/{track:path}")
def details(track: TrackId, snapshot: Current) -> TrackDetails:
    """A track with its acoustic features and its tags, where they are known."""
    return snapshot.details(snapshot.tracks.of(track))
