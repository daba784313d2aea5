"""One workload of a release: who claims what for it, what became of that, and the schedule that leads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from tuning_db.claim import STANDING, Verdict, disputed
from tuning_db.leads import Lead
from tuning_db.pages.charts.claims import Mark, claims
from tuning_db.pages.render import page
from tuning_db.pages.rows import chips_of, claims_of, ops_of
from tuning_db.pages.schedule import plan
from tuning_db.pages.series import kinds
from tuning_db.pages.session import look
from tuning_db.service.auth import Caller
from tuning_db.service.errors import not_found
from tuning_db.service.releases import found
from tuning_db.store import Store

router = APIRouter()

MOST = 300
WIDE, NARROW = 720, 358


@router.get("/releases/{id}/workloads/{workload}")
async def workload(request: Request, id: str, workload: str) -> Response:
    """A workload by its id."""

    def question(store: Store, caller: Caller) -> dict[str, Any]:
        release = found(store, caller.viewer, id)
        ops = [op for op in ops_of(store, caller.viewer, release.id) if op["workload"] == workload]
        if not ops:
            raise not_found()
        caller.is_shown(store, release.id, f"page of workload {workload}")
        rows = claims_of(store, caller.viewer, release.id, workload, MOST + 1)
        named = kinds(row["vendor"] for row in rows)
        chips = chips_of(store, caller.viewer, release.id)
        for row in rows:
            row["target"] = chips[row["fingerprint"]].name if row["fingerprint"] in chips else row["fingerprint"]
            row["verdicts"] = _verdicts(store, caller, row)
        groups = _groups(rows[:MOST])
        changes: dict[tuple[str, ...], list[Lead]] = {}
        for one in store.best_changes(caller.viewer, release.id, caller.now):
            if one.workload == workload:
                changes.setdefault((one.target, one.policy, one.toolchain), []).append(one)
        return {
            "now": caller.now,
            "release": release,
            "op": ops[0],
            "names": [op["name"] for op in ops],
            "calls": sum(op["calls"] for op in ops),
            "more": len(rows) > MOST,
            "canonical": _canonical(store, workload),
            "groups": [
                _group(store, caller.now, release.launch, nth, group, changes.get(key, ()), named)
                for nth, (key, group) in enumerate(groups.items())
            ],
        }

    return page(request, "workload", **await look(request, question))


def _groups(rows: Sequence[dict[str, Any]]) -> dict[tuple[str, ...], list[dict[str, Any]]]:
    """Claims that compete: of one chip, policy and toolchain."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: (row["target"], row["fingerprint"], row["policy"], row["toolchain"])):
        groups.setdefault((row["fingerprint"], row["policy"], row["toolchain"]), []).append(row)
    return groups


def _group(
    store: Store,
    now: float,
    launch: float,
    nth: int,
    rows: list[dict[str, Any]],
    changes: Sequence[Lead],
    named: dict[str, str],
) -> dict[str, Any]:
    """What the page has of one chip: the charts, the claims, and the schedule that leads of what may be seen whole."""
    first = rows[0]
    rows = sorted(rows, key=lambda row: -row["received"])
    marks = [
        Mark(row["received"], row["median"], row["vendor"], row["tier"] if row["state"] == STANDING else row["state"])
        for row in rows
    ]
    leads = next((row for row in rows if changes and row["trial"] and row["trial"] == changes[-1].trial), None)
    level = [(one.since or 0.0, one.median) for one in changes]
    title = f"Claims on {first['target']}, {first['cache']} cache"
    drawn = {
        name: claims(f"claims-{nth}-{name}", width, title, marks, level, named, now, launch)
        for name, width in (("wide", WIDE), ("narrow", NARROW))
    }
    return {
        **{name: first[name] for name in ("target", "fingerprint", "cache", "threads", "toolchain")},
        "drawn": drawn,
        "rows": rows,
        "vendors": sorted({row["vendor"] for row in rows}),
        "kinds": named,
        "leads": leads,
        "plan": plan(leads["schedule"], *store.schedule(leads["schedule"])) if leads else None,
        "samples": store.trial(leads["trial"]).samples if leads else (),
        "versions": _versions(store, first["toolchain"]),
    }


def _verdicts(store: Store, caller: Caller, row: dict[str, Any]) -> dict[str, Any]:
    """What was said of a claim that may be seen whole."""
    said: Sequence[Verdict] = store.verdicts(caller.viewer, row["trial"]) if row["whole"] else ()
    return {
        "disputed": disputed(said),
        "said": [{**vars(one), "judge": store.account(one.judge).name, "outcome": one.outcome.value} for one in said],
    }


def _versions(store: Store, toolchain: str) -> str:
    return str(store.value("SELECT versions FROM toolchain WHERE id = ?", (toolchain,)) or "")


def _canonical(store: Store, workload: str) -> str:
    return str(store.value("SELECT canonical FROM workload WHERE id = ?", (workload,)) or "")
