"""`/`: the page; `/explorer/`: its files; `/map`: the map of the catalogue."""

from __future__ import annotations

import gzip
import mimetypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import Request
from fastapi.responses import JSONResponse, Response
from starlette.staticfiles import StaticFiles

from ssl_audio.reports.components import STYLES, TOOLTIP, component
from ssl_audio.reports.projection import estimated_seconds
from ssl_audio.service.explorer.map import Answer, MapMaker, Points, folders
from ssl_audio.service.problems import Problem
from ssl_audio.service.routing import Router
from ssl_audio.service.snapshot import Snapshot
from ssl_audio.service.state import Current

STATIC = Path(__file__).with_name("static")
# only files of this service, and no script or style inside of a page; blob: is a file that the
# user has opened, which the browser plays
POLICY = (
    "default-src 'self'; media-src 'self' blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
# asked for again, and sent again if it has changed
HEADERS = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
router = Router(include_in_schema=False)


class _Files(StaticFiles):
    """Files with the headers of the page."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers.update(HEADERS)
        return response


def static_files() -> StaticFiles:
    """The files of the page."""
    mimetypes.add_type("text/javascript", ".js")  # some systems say text/plain
    return _Files(directory=STATIC)


@router.get("/")
def page() -> Response:
    """The explorer."""
    return Response((STATIC / "index.html").read_bytes(), media_type="text/html", headers=HEADERS)


@router.get("/explorer/" + STYLES)
def styles() -> Response:
    """Colours and controls, which the report has too."""
    return Response(component(STYLES), media_type="text/css", headers=HEADERS)


@router.get("/explorer/" + TOOLTIP)
def tooltip() -> Response:
    """The tooltip, which the report has too."""
    return Response(component(TOOLTIP), media_type="text/javascript", headers=HEADERS)


@router.get("/map")
def track_map(request: Request, snapshot: Current) -> Response:
    """Places of the tracks, see `map.map_json`; 202 while they are computed, with the `seconds`
    that this takes, and whether there is a `preview`."""
    maps: MapMaker = request.app.state.maps
    made = maps.get(snapshot.tracks.version, snapshot.features, lambda: _points(snapshot))
    if made is not None:
        return _sent(request, made)
    tracks = snapshot.tracks
    seconds = estimated_seconds(len(tracks), tracks.dimensions)
    computed = {"seconds": seconds, "preview": maps.preview is not None}
    return JSONResponse(computed, 202, {"Cache-Control": "no-store"})


@router.get("/map/preview")
def map_preview(request: Request) -> Response:
    """The same by principal components, while the map is computed."""
    maps: MapMaker = request.app.state.maps
    if (preview := maps.preview) is None:
        raise Problem(404, "no map is computed now: see /map")
    return _sent(request, preview)


def _sent(request: Request, made: Answer) -> Response:
    headers = {"ETag": made.etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
    if request.headers.get("if-none-match") == made.etag:
        return Response(status_code=304, headers=headers)
    if "gzip" not in request.headers.get("accept-encoding", ""):
        content = gzip.decompress(made.content)
        return Response(content, media_type="application/json", headers=headers)
    headers["Content-Encoding"] = "gzip"
    return Response(made.content, media_type="application/json", headers=headers)


def _points(snapshot: Snapshot) -> Points:
    tracks, probe = snapshot.tracks, snapshot.probe
    colourings: dict[str, Sequence[str]] = {"folder": folders(tracks.ids)}
    if probe is not None:
        likely = probe.predict_proba(np.nan_to_num(tracks.vectors)).argmax(1)
        colourings["most probable tag"] = [probe.tags_[tag] for tag in likely.tolist()]
    return Points(tracks.ids, tracks.directions, colourings)
