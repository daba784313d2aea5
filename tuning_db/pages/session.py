"""Who reads a page: the account of the token in a cookie.

The cookie holds the token itself, and nothing about it is stored here: it ends when the token does, at its expiry or at
the moment it is revoked, and logging in writes nothing. A row of sessions would have to be kept as safe as tokens are
and would be one more thing to revoke. Scripts cannot read the cookie, other sites cannot make a browser send it, and
only pages take it: the API wants its header, so no form elsewhere can act for anybody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

from fastapi import Request
from starlette.responses import Response

from tuning_db.service.auth import Caller, ask, service
from tuning_db.service.errors import ApiError
from tuning_db.store import Store

T = TypeVar("T")


async def look(request: Request, question: Callable[[Store, Caller], T]) -> T:
    """Ask the database something for a page, as whoever the cookie is of; a token that opens nothing makes nobody.

    What is shown of releases to come is noted in a ledger as for the API.

    Raises:
        ApiError: 403 for a token that may not read.
    """
    token = request.cookies.get(cookie(request), "")
    if token:
        config, lanes = service(request)
        account = await lanes.read(lambda store: store.authenticate(token, config.clock()))
        request.state.over = account is None
        if account is not None:
            request.state.account = account.name
            request.state.token = token
    return await ask(request, question)


def cookie(request: Request) -> str:
    """The cookie's name; over TLS one that browsers take from this host alone."""
    return "__Host-headstart" if request.url.scheme == "https" else "headstart"


def remember(request: Request, response: Response, token: str) -> None:
    """Let the browser keep a token until it is closed."""
    _set(request, response, token, None)


def forget(request: Request, response: Response) -> None:
    """Let the browser forget it."""
    _set(request, response, "", 0)


def _set(request: Request, response: Response, token: str, age: int | None) -> None:
    secure = request.url.scheme == "https"
    response.set_cookie(cookie(request), token, age, path="/", secure=secure, httponly=True, samesite="strict")


def require_own_form(request: Request) -> None:
    """See that a form was sent from a page of ours, by what browsers say of where it was.

    Raises:
        ApiError: 403 where it was not.
    """
    origin, host = request.headers.get("origin"), request.headers.get("host")
    elsewhere = request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")
    if elsewhere or (origin is not None and urlsplit(origin).netloc != host):
        raise ApiError(403, "forbidden", "this form was sent from another site")
