"""Accounts: who somebody is by the token that they show."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from tuning_db.accounts import SCOPES
from tuning_db.service.auth import Caller, ask
from tuning_db.store import Store

router = APIRouter(prefix="/v1", tags=["accounts"])

ANY = tuple(sorted({scope for scopes in SCOPES.values() for scope in scopes}))


@router.get("/account")
async def own(request: Request) -> dict[str, Any]:
    """The account of whoever asks: ``id``, ``name``, ``role``, and the ``scopes`` of the token."""

    def question(store: Store, caller: Caller) -> dict[str, Any]:
        return {**vars(caller.known), "scopes": list(caller.known.scopes)}

    return await ask(request, question, *ANY)
