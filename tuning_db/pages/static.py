"""The style sheet and the icon: files that never change under their names, which hold a hash of what is in them."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Response

from tuning_db.service.errors import not_found

router = APIRouter()

FOLDER = Path(__file__).parent / "templates"
KINDS = {"style.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml"}
FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}


@cache
def address(file: str) -> str:
    """Where a file is served."""
    stem, _, kind = file.partition(".")
    return f"/static/{stem}-{hashlib.sha256((FOLDER / file).read_bytes()).hexdigest()[:16]}.{kind}"


@router.get("/static/{name}")
async def static(name: str) -> Response:
    """One of the files, by its hashed name."""
    for file, kind in KINDS.items():
        if address(file) == f"/static/{name}":
            return Response((FOLDER / file).read_bytes(), media_type=kind, headers=FOR_EVER)
    raise not_found()
