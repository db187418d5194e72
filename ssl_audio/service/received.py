"""What a request brings: values, checked by a pydantic model, and perhaps a file."""

import asyncio
import mmap
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, get_origin

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile

from ssl_audio.audio.sources import SUFFIXES
from ssl_audio.service.problems import Problem, invalid

MAX_TEXT = 8 << 20  # bytes of JSON, of all fields of a form, and of a playlist
_FIELDS = 1000  # of a form; each id to exclude is one
_JSON, _FORM = "application/json", "multipart/form-data"
# files that FFmpeg reads as lists of other files, of this machine or of others
_LISTS = (b"#EXTM3U", b"ffconcat version", b"<MPD", b"\nc=IN IP", b"[playlist]", b"<SMIL", b"<smil")

Query = TypeVar("Query", bound=BaseModel)


@dataclass(frozen=True)
class Received(Generic[Query]):
    """Values, and the temporary copy of the file that came with them."""

    query: Query
    upload: Path | None


@asynccontextmanager
async def received(request: Request, kind: type[Query]) -> AsyncIterator[Received[Query]]:
    """Read a request's body: JSON, or a form with a `file`; the file is removed on leaving.

    Raises:
        Problem: another content type, a body that is neither, or values that are refused.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == _JSON:
        yield Received(_query(kind, await _text(request)), None)
        return
    if content_type != _FORM:
        raise Problem(415, f"the content type is {content_type!r}: {_JSON} or {_FORM}")
    async with request.form(max_files=1, max_fields=_FIELDS, max_part_size=MAX_TEXT) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise Problem(422, "the form has no file named 'file'")
        query = _query(kind, _values(form, kind))
        with tempfile.TemporaryDirectory(prefix="ssl-audio-") as folder:
            path = Path(folder) / f"upload{_suffix(file.filename)}"
            with open(path, "wb") as copy:
                await asyncio.to_thread(shutil.copyfileobj, file.file, copy, 1 << 20)
            yield Received(query, path)


async def _text(request: Request) -> bytes:
    text = bytearray()
    async for chunk in request.stream():
        text += chunk
        if len(text) > MAX_TEXT:
            raise Problem(413, f"more than {MAX_TEXT >> 20} MiB of JSON")
    return bytes(text)


def _values(form: FormData, kind: type[BaseModel]) -> dict[str, Any]:
    """The fields of a form; of those that take lists, all values."""
    found: dict[str, Any] = {}
    for name in form:
        if name == "file":
            continue
        field = kind.model_fields.get(name)
        many = field is not None and get_origin(field.annotation) is list
        found[name] = form.getlist(name) if many else form[name]
    return found


def _query(kind: type[Query], values: bytes | dict[str, Any]) -> Query:
    try:
        if isinstance(values, dict):
            return kind.model_validate(values, context={"upload": True})
        return kind.model_validate_json(values, context={"upload": False})
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        raise invalid(list(details)) from error


def _suffix(name: str | None) -> str:
    """Of an audio file, since decoders go by it; "" for any other."""
    suffix = Path(name or "").suffix.lower()
    return suffix if suffix in SUFFIXES else ""


def refuse_lists(path: Path) -> None:
    """Refuse an upload that a decoder might read as a list of other files.

    Raises:
        Problem: 415.
    """
    if not path.stat().st_size:
        return
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if any(content.find(mark) >= 0 for mark in _LISTS):
            raise Problem(415, "the file is a list of other files, not audio")


def body_of(kind: type[BaseModel], file: str = "") -> dict[str, Any]:
    """The description of a request's body for OpenAPI; `file` is what the file of a form is."""
    schema = kind.model_json_schema()
    content = {_JSON: {"schema": schema}}
    if file:
        uploaded = {"type": "string", "format": "binary", "description": file}
        fields = {**schema["properties"], "file": uploaded}
        content[_FORM] = {"schema": {"type": "object", "properties": fields, "required": ["file"]}}
    return {"requestBody": {"required": True, "content": content}}
