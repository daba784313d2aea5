"""One vendor: its leading claims in the releases that are open to whoever looks, and the keys that signed them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from targets.errors import InputError
from tuning_db.claim import Tier
from tuning_db.pages.render import page
from tuning_db.pages.rows import chips_of, leads_of, ops_of, signing_keys
from tuning_db.pages.session import look
from tuning_db.service.auth import Caller
from tuning_db.service.errors import not_found
from tuning_db.store import Store

router = APIRouter()


@router.get("/vendors/{name}")
async def vendor(request: Request, name: str) -> Response:
    """A vendor by its name: whoever may know of none of its claims does not learn that there is such a vendor."""

    def question(store: Store, caller: Caller) -> dict[str, Any]:
        try:
            account = store.account(name)
        except InputError:
            account = None
        id = account.id if account is not None and account.name == name and account.role == "vendor" else ""
        mine = bool(id) and caller.account is not None and caller.account.id == id
        races, keys = [], set()
        for release in store.releases(caller.viewer):
            rows = leads_of(store, caller.viewer, release.id, id)
            if rows:
                caller.is_shown(store, release.id, f"page of vendor {name}")
                keys |= signing_keys(store, caller.viewer, release.id, id)
                races.append({"release": release, **_race(store, caller, release.id, rows)})
        if not races and not mine:
            raise not_found()
        known = store.keys(account) if account is not None else []
        return {
            "now": caller.now,
            "name": name,
            "mine": mine,
            "races": races,
            "keys": known if mine else [row for row in known if row["id"] in keys],
        }

    return page(request, "vendor", **await look(request, question))


def _race(store: Store, caller: Caller, release: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Claims by chip, with how many of each tier."""
    ops: dict[str, dict[str, Any]] = {}
    for op in ops_of(store, caller.viewer, release):
        ops.setdefault(op["workload"], op)
    chips: dict[str, dict[str, Any]] = {}
    known = chips_of(store, caller.viewer, release)
    for row in rows:
        name = known[row["target"]].name if row["target"] in known else row["target"]
        chip = chips.setdefault(name, {"tiers": {tier.value: 0 for tier in reversed(Tier)}, "rows": []})
        chip["tiers"][row["tier"]] += 1
        chip["rows"].append({**row, "op": ops[row["workload"]]})
    order = {workload: at for at, workload in enumerate(ops)}
    for chip in chips.values():
        chip["rows"].sort(key=lambda row: order[row["workload"]])
        chip["first"] = sum(bool(row["first"]) for row in chip["rows"])
    return {"chips": chips, "operators": len(ops), "ranked": any(row["first"] is not None for row in rows)}
