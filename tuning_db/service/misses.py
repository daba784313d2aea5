"""Misses: what deployments wanted and had no kernel for, for whoever runs the database to have tuned."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from headstart_runtime.misses import MOST
from tuning_db.misses import TOLD, Missed
from tuning_db.service.auth import Caller, act, admit, ask, body, json_body, read_json, service
from tuning_db.store import Store

router = APIRouter(prefix="/v1/misses", tags=["misses"])

SCOPE = "misses"
MAX_TOLD = 1 << 20


@router.post("", openapi_extra=json_body(TOLD))
async def tell(request: Request) -> dict[str, Any]:
    """Tell of the misses in a file: ``source``, the id of the file, and ``misses``. To tell them again changes nothing.

    The answer says of no workload whether it is known here.
    """
    await admit(request, SCOPE)
    given = read_json(TOLD, await body(request, MAX_TOLD))
    config, _ = service(request)

    def deed(store: Store, caller: Caller) -> dict[str, Any]:
        misses = [Missed(**miss) for miss in given["misses"]]
        most = store.quota(caller.known.id, config.quota).misses
        store.tell_misses(given["source"], misses, caller.now, caller.known.id, most)
        return {"source": given["source"], "misses": len(misses)}

    return await act(request, deed, SCOPE)


@router.get("")
async def told(
    request: Request, target: str | None = None, count: Annotated[int, Query(ge=1, le=MOST)] = MOST
) -> dict[str, Any]:
    """Misses that the account told of, and for an operator all, what was missed most first; perhaps of one chip."""

    def question(store: Store, caller: Caller) -> dict[str, Any]:
        whose = None if caller.known.role == "operator" else caller.known.id
        return {"misses": [miss.to_json() for miss in store.misses(whose, target, count)]}

    return await ask(request, question, SCOPE)
