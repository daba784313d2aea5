"""The ledgers that are open to whoever looks, and one of them: who did what, and the checkpoint that says how much."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from targets.digest import canonical_json
from tuning_db.checkpoint import key_of_log
from tuning_db.entry import Entry
from tuning_db.logs import open_log
from tuning_db.pages.render import page
from tuning_db.pages.rows import open_logs
from tuning_db.pages.session import look
from tuning_db.receipt import checkpoint_of
from tuning_db.service.auth import Caller, service
from tuning_db.service.errors import not_found
from tuning_db.store import Store

router = APIRouter()

PAGE = 50


@router.get("/ledgers")
async def ledgers(request: Request) -> Response:
    """The logs with their sizes."""
    logs = await look(request, lambda store, caller: open_logs(store, caller.viewer))
    return page(request, "ledgers", logs=logs)


@router.get("/ledgers/{log}")
async def ledger(request: Request, log: str, end: Annotated[int | None, Query(ge=0, lt=2**63)] = None) -> Response:
    """Entries of a log, the latest first, or those before number ``end``."""
    config, _ = service(request)

    def question(store: Store, caller: Caller) -> dict[str, Any]:
        if not open_log(store, caller.viewer, log):
            raise not_found()
        size = store.size(log)
        stop = size if end is None else min(end, size)
        start = max(0, stop - PAGE)
        entries = [
            {"seq": entry.seq, "at": entry.created, "actor": entry.actor, "action": entry.action, "what": _what(entry)}
            for entry in store.entries(log, start, stop - start)
        ]
        return {
            "log": log,
            "size": size,
            "start": start,
            "stop": stop,
            "page_size": PAGE,
            "entries": entries[::-1],
            "checkpoint": checkpoint_of(store, log, config.signer),
            "verifier": str(key_of_log(config.signer, log).verifier),
        }

    return page(request, "ledger", **await look(request, question))


def _what(entry: Entry) -> str:
    """What was done to what: the subject of a reading, else the whole."""
    subject = entry.payload.get("subject")
    return str(subject) if entry.action == "read" and subject else canonical_json(dict(entry.payload))
