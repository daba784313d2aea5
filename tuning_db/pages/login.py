"""Logging in with a token, and out again."""

from __future__ import annotations

from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from tuning_db.pages.render import page
from tuning_db.pages.session import forget, look, remember, require_own_form
from tuning_db.service.auth import body, service

router = APIRouter()

MAX_FORM = 4096


@router.get("/login")
async def form(request: Request) -> Response:
    """The form that a token is pasted into."""
    await look(request, lambda store, caller: None)
    return page(request, "login", problem="")


@router.post("/login")
async def login(request: Request) -> Response:
    """Take a token, if it opens something, and go to the releases."""
    require_own_form(request)
    sent = parse_qs((await body(request, MAX_FORM)).decode("ascii", "replace"))
    token = sent.get("token", [""])[0].strip()
    config, lanes = service(request)
    account = await lanes.read(lambda store: store.authenticate(token, config.clock()))
    if account is None:
        return page(request, "login", 401, problem="That token opens nothing: it is mistyped, expired or revoked.")
    if "read" not in account.scopes:
        return page(request, "login", 403, problem="That token may not read; pages take one with the scope read.")
    response = RedirectResponse("/", 303)
    remember(request, response, token)
    return response


@router.post("/logout")
async def logout(request: Request) -> Response:
    """Forget the token; it stays valid elsewhere."""
    require_own_form(request)
    response = RedirectResponse("/", 303)
    forget(request, response)
    return response
