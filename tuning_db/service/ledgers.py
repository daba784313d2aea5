"""Ledgers: signed checkpoints and entries of the logs that are open to whoever asks."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request

from tuning_db.logs import open_log
from tuning_db.receipt import checkpoint_of
from tuning_db.receipt import receipt as receipt_of
from tuning_db.service.auth import Caller, ask, service
from tuning_db.service.errors import not_found
from tuning_db.store import Store

router = APIRouter(prefix="/v1/ledgers", tags=["ledgers"])

MOST = 1000
Number = Annotated[int, Query(ge=0, lt=2**63)]
Old = Annotated[int | None, Query(ge=0, lt=2**63)]
Seq = Annotated[int, Path(ge=0, lt=2**63)]


@router.get("/{log}/checkpoint")
async def checkpoint(request: Request, log: str, old: Old = None) -> Any:
    """A checkpoint of a log as it is now, perhaps with a proof that it continues what it was at the size ``old``."""
    config, _ = service(request)

    def question(store: Store, caller: Caller) -> dict[str, Any]:
        _require(store, caller, log)
        answer: dict[str, Any] = {"checkpoint": checkpoint_of(store, log, config.signer)}
        if old is not None:
            proof = [node.hex() for node in store.consistency(log, old)]
            answer["consistency"] = {"old": old, "proof": proof}
        return answer

    return await ask(request, question)


@router.get("/{log}/entries")
async def entries(
    request: Request, log: str, start: Number = 0, count: Annotated[int, Query(ge=1, le=MOST)] = MOST
) -> dict[str, Any]:
    """Entries of a log from number ``start`` on, each the text that is hashed, and a checkpoint of the whole log."""
    config, _ = service(request)

    def question(store: Store, caller: Caller) -> dict[str, Any]:
        _require(store, caller, log)
        texts = [entry.content for entry in store.entries(log, start, count)]
        return {"checkpoint": checkpoint_of(store, log, config.signer), "start": start, "entries": texts}

    return await ask(request, question)


@router.get("/{log}/receipts/{seq}")
async def receipt(request: Request, log: str, seq: Seq, old: Old = None) -> Any:
    """A receipt for one entry of a log, perhaps with a proof that the log continues what it was at the size ``old``."""
    config, _ = service(request)

    def question(store: Store, caller: Caller) -> dict[str, Any]:
        _require(store, caller, log)
        return receipt_of(store, log, seq, config.signer, old)

    return await ask(request, question)


def _require(store: Store, caller: Caller, log: str) -> None:
    if not open_log(store, caller.viewer, log):
        raise not_found()
