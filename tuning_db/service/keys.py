"""Keys that vendors sign with, and tokens: registering the former, revoking both."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from tuning_db.envelope import ENVELOPE
from tuning_db.possession import proved
from tuning_db.revocation import revoke
from tuning_db.service.accounts import ANY
from tuning_db.service.auth import Caller, act, admit, ask, body, json_body, service
from tuning_db.service.errors import not_found
from tuning_db.store import Store

router = APIRouter(prefix="/v1", tags=["keys and tokens"])

MAX_PROOF = 8192


@router.get("/keys")
async def listed(request: Request) -> dict[str, Any]:
    """The keys of whoever asks, oldest first."""
    return await ask(request, lambda store, caller: {"keys": store.keys(caller.known)}, "submit")


@router.post("/keys", status_code=201, openapi_extra=json_body(ENVELOPE))
async def register(request: Request) -> dict[str, Any]:
    """Register a public key, given a proof that the private one is held (``possession.prove``)."""
    await admit(request, "submit")
    data = await body(request, MAX_PROOF)
    config, _ = service(request)

    def deed(store: Store, caller: Caller) -> dict[str, Any]:
        key = proved(data, caller.known.name, config.signer.name)
        store.add_key(caller.known, key.id, key.line, caller.now)
        return next(row for row in store.keys(caller.known) if row["id"] == key.id)

    return await act(request, deed, "submit")


@router.delete("/keys/{id}")
async def revoke_key(
    request: Request, id: str, since: Annotated[float | None, Query(ge=0, lt=253402300800)] = None
) -> dict[str, Any]:
    """Revoke a key of whoever asks, or for an operator anybody's: from now on, or from a time in the past.

    Claims that came in with its signature since then are withdrawn; the answer has their ids as ``withdrawn``.
    """

    def deed(store: Store, caller: Caller) -> dict[str, Any]:
        account, withdrawn = store.account(_owner(store, caller, "signing_key", id)), []
        if since is None:
            store.revoke_key(account, id, caller.now)
        else:
            withdrawn = revoke(store, account, id, since, caller.known, caller.now)
        (row,) = (row for row in store.keys(account) if row["id"] == id)
        return {"id": id, "revoked": row["revoked"], "withdrawn": withdrawn}

    return await act(request, deed, "submit", "admin")


@router.delete("/tokens/{id}", status_code=204, response_model=None)
async def revoke_token(request: Request, id: str) -> None:
    """Revoke a token by its id: one of whoever asks, or for an operator anybody's."""

    def deed(store: Store, caller: Caller) -> None:
        _owner(store, caller, "token", id)
        store.revoke_token(id, caller.now)

    await act(request, deed, *ANY)


def _owner(store: Store, caller: Caller, table: str, id: str) -> str:
    """Whose a key or a token is, where that is whoever asks or an operator asks.

    Raises:
        ApiError: 404 where it is neither, or there is none.
    """
    owner = store.value(f"SELECT account FROM {table} WHERE id = ?", (id,))
    if owner is None or (owner != caller.known.id and "admin" not in caller.known.scopes):
        raise not_found()
    return str(owner)
