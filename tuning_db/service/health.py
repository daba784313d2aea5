"""Whether the service is there, and what it is called; whether it can write."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from tuning_db.service.auth import service
from tuning_db.service.errors import unavailable
from tuning_db.service.readiness import Readiness

router = APIRouter()


@router.get("/healthz")
async def health(request: Request) -> dict[str, Any]:
    """Whether the database can be read; nothing of what is in it."""
    config, lanes = service(request)
    await lanes.read(lambda store: store.value("SELECT 1 FROM release LIMIT 1"))
    return {"status": "ok", "service": config.key.name if config.key else ""}


@router.get("/readyz")
async def ready(request: Request) -> dict[str, Any]:
    """Whether submissions can be stored, as of some seconds ago; 503 says what is in the way."""
    readiness: Readiness = request.app.state.readiness
    if problem := await readiness.problem():
        raise unavailable(problem)
    return {"status": "ready"}
