"""Errors as problem documents: `application/problem+json` of RFC 9457."""

import http
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from ssl_audio.io.errors import AudioError, SslAudioError

MEDIA_TYPE = "application/problem+json"


class ProblemDocument(BaseModel):
    """What every error answers."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[dict[str, Any]] | None = None


class Problem(HTTPException):
    """An error that a request is answered with; `errors`: place and reason of wrong values."""

    def __init__(
        self, status: int, detail: str, headers: Mapping[str, str] | None = None,
        errors: list[dict[str, Any]] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(status, detail, headers)
        self.errors = errors

    def response(self) -> JSONResponse:
        """The document."""
        title = http.HTTPStatus(self.status_code).phrase
        document = ProblemDocument(
            title=title, status=self.status_code, detail=self.detail, errors=self.errors
        )
        return JSONResponse(
            document.model_dump(exclude_none=True), self.status_code, self.headers, MEDIA_TYPE
        )


def invalid(errors: list[Any]) -> Problem:
    """The problem of values that pydantic refuses."""
    listed = [
        {"place": [str(part) for part in error["loc"]], "reason": str(error["msg"])}
        for error in errors[:20]
    ]
    first = listed[0]
    where = ".".join(first["place"]) or "the request"
    return Problem(422, f"{where}: {first['reason']}", errors=listed)


def of_audio(error: AudioError) -> Problem:
    """The problem of an audio file; its path is not repeated, since it may be a temporary one."""
    detail = error.detail.replace(f"b'{error.path}'", "it").replace(error.path, "it")
    return Problem(422, f"the audio is {error.reason}" + (f" ({detail})" if detail else ""))


def add_problems(app: FastAPI) -> None:
    """Let an application answer every error with a problem document."""

    @app.exception_handler(HTTPException)
    def of_http(request: Request, error: HTTPException) -> JSONResponse:
        if isinstance(error, Problem):
            return error.response()
        return Problem(error.status_code, str(error.detail), error.headers).response()

    @app.exception_handler(RequestValidationError)
    def of_values(request: Request, error: RequestValidationError) -> JSONResponse:
        return invalid(list(error.errors())).response()

    @app.exception_handler(SslAudioError)
    def of_user(request: Request, error: SslAudioError) -> JSONResponse:
        found = of_audio(error) if isinstance(error, AudioError) else Problem(422, str(error))
        return found.response()

    @app.exception_handler(Exception)
    def unforeseen(request: Request, error: Exception) -> JSONResponse:
        return Problem(500, "the request failed; the service's log says why").response()
