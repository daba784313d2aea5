"""Whether the service is there, and what it is called."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from tuning_db.service.auth import service

router = APIRouter()


@router.get("/healthz")
async def health(request: Request) -> dict[str, Any]:
    """Whether the database can be read; nothing of what is in it."""
    config, lanes = service(request)
    await lanes.read(lambda store: store.value("SELECT 1 FROM release LIMIT 1"))
    return {"status": "ok", "service": config.key.name if config.key else ""}
