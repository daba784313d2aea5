"""Boards of a release: who is ahead, how ready the chips are, how the race went, what a head start was worth."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from tuning_db import board as boards
from tuning_db.service.auth import Caller, ask
from tuning_db.service.errors import not_found
from tuning_db.store import Store

router = APIRouter(prefix="/v1/releases", tags=["boards"])

Moment = Annotated[float | None, Query(ge=0, le=253402300799)]


@router.get("/{id}/board")
async def board(request: Request, id: str, at: Moment = None, target: str | None = None) -> Response:
    """What each vendor has of a step, best first, by model, chip and policy; perhaps as it was ``at`` a time."""
    return await _shown(request, lambda store, caller: boards.board(store, caller.viewer, id, at, target), "board")


@router.get("/{id}/readiness")
async def readiness(request: Request, id: str, at: Moment = None, target: str | None = None) -> Response:
    """How far each operator is on each chip, and what the best claims come to; perhaps as it was ``at`` a time."""
    return await _shown(
        request, lambda store, caller: boards.readiness(store, caller.viewer, id, at, target), "readiness"
    )


@router.get("/{id}/timeline")
async def timeline(request: Request, id: str, at: Moment = None, target: str | None = None) -> Response:
    """Who led with what from when on; perhaps up to the time ``at``."""
    return await _shown(
        request, lambda store, caller: boards.timeline(store, caller.viewer, id, at, target), "timeline"
    )


@router.get("/{id}/headstart")
async def headstart(request: Request, id: str, target: str | None = None) -> Response:
    """How far ahead who was ready at launch was, and when the others drew level; of releases that are launched."""
    return await _shown(request, lambda store, caller: boards.headstart(store, caller.viewer, id, target), "headstart")


async def _shown(request: Request, look: Callable[[Store, Caller], Any], subject: str) -> Response:
    def question(store: Store, caller: Caller) -> bytes:
        found = look(store, caller)
        if found is None:
            raise not_found()
        caller.is_shown(store, found.release.id, subject)
        # Written in the thread that read it: a timeline is long, and all the others would wait.
        return json.dumps(found, default=vars, separators=(",", ":"), allow_nan=False).encode()

    return Response(await ask(request, question), media_type="application/json")
