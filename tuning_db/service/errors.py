"""What a client is told when something is not done: one body for all, and one answer for what is not there for it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from targets.errors import HeadstartError, InputError
from tuning_db.intake import Rejected, told
from tuning_db.reasons import Reason, Refused, printable
from tuning_db.service.logs import say
from tuning_db.service.storage import storage_problem

CODES = {401: "unauthorized", 404: "not_found", 405: "method_not_allowed"}


class ApiError(Exception):
    """A request that is not done; ``body`` is what the client is told."""

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})
        self.body = {"error": {"code": code, "message": printable(message), **more}}


def not_found() -> ApiError:
    """For what does not exist and for what is not open to the client: there is one answer for both."""
    return ApiError(404, "not_found", "no such thing is open to you")


def unauthorized() -> ApiError:
    """For a token that opens nothing, and for none where one is needed."""
    return ApiError(401, "unauthorized", "a valid token is needed", {"WWW-Authenticate": "Bearer"})


def too_large(limit: int) -> ApiError:
    """For a body over its limit."""
    return ApiError(413, "too_large", f"at most {limit} bytes are read", {"Connection": "close"})


def unavailable(problem: str | None) -> ApiError:
    """For what the storage does not let be done; ``problem`` as ``storage`` has it, None where it is busy."""
    said = f"the storage of this service is {problem}: nothing was changed" if problem else "this cannot be done now"
    return ApiError(503, "unavailable", f"{said}; try again later", {"Retry-After": "30" if problem else "5"})


def response(error: ApiError) -> Response:
    """The answer of an error."""
    return JSONResponse(error.body, error.status, error.headers)


def of(error: Exception) -> ApiError:
    """What a client is told of an error from the layers below."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error.__cause__, sqlite3.Error):
        # It is about the file, whose path is nobody's business; a writer that cannot write leaves readers at work.
        say("the database is not usable", error=str(error.__cause__))
        return unavailable(storage_problem(error))
    if isinstance(error, Rejected):
        return ApiError(422, "refused", str(error), reasons=[told(finding) for finding in error.findings])
    if isinstance(error, Refused):
        status = 413 if error.reason is Reason.TOO_LARGE else 422
        reason = {"code": error.reason.value, "entry": None, "message": str(error)}
        return ApiError(status, "refused", str(error), reasons=[reason])
    if isinstance(error, InputError):
        return ApiError(400, "invalid", str(error))
    say("a request failed", error=type(error).__name__)
    return ApiError(500, "internal", "something went wrong here")


def install(app: FastAPI, page: Callable[[Request, ApiError], Response | None]) -> None:
    """Answer every error of an app with the one body, or with the page that ``page`` makes of it for a browser."""

    def answer(request: Request, error: ApiError) -> Response:
        return page(request, error) or response(error)

    async def headstart(request: Request, error: Exception) -> Response:
        request.app.state.readiness.note(error)
        return answer(request, of(error))

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 404:
            return answer(request, not_found())
        code = CODES.get(error.status_code, "invalid")
        return answer(request, ApiError(error.status_code, code, str(error.detail), error.headers))

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        wrong = sorted({".".join(str(part) for part in one["loc"]) for one in error.errors()})
        return answer(request, ApiError(400, "invalid", f"missing or not as documented: {', '.join(wrong)}"))

    async def gone(request: Request, error: Exception) -> Response:
        # Nobody will read it; the line in the log will say that it was the client's doing.
        return answer(request, ApiError(400, "invalid", "the body ended early"))

    app.add_exception_handler(ClientDisconnect, gone)
    for kind in (ApiError, HeadstartError):
        app.add_exception_handler(kind, headstart)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
