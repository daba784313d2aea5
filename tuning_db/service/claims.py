"""Claims: one by its id, and the one to use for a key."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from tuning_db.claim import Claim
from tuning_db.records import Key
from tuning_db.service.auth import Caller, ask
from tuning_db.service.errors import not_found
from tuning_db.store import Store

router = APIRouter(prefix="/v1", tags=["claims"])


@router.get("/claims/{id}")
async def one(request: Request, id: str) -> dict[str, Any]:
    """A claim by the id of its trial, with its schedule and what was said of it."""

    def question(store: Store, caller: Caller) -> dict[str, Any]:
        claim = store.claim(caller.viewer, id)
        if claim is None:
            raise not_found()
        caller.is_shown(store, claim.release, f"claim {claim.trial.id}")
        said = [
            {
                "judge": store.account(verdict.judge).name,
                "outcome": verdict.outcome.value,
                "reason": verdict.reason,
                "evidence": dict(verdict.evidence),
                "created": verdict.created,
            }
            for verdict in store.verdicts(caller.viewer, id)
        ]
        return {**shown(store, claim), "verdicts": said}

    return await ask(request, question)


@router.get("/champion")
async def champion(request: Request, workload: str, target: str, toolchain: str, policy: str) -> dict[str, Any]:
    """The claim to use for exactly this key, of all that whoever asks may see."""

    def question(store: Store, caller: Caller) -> dict[str, Any]:
        claim = store.best(caller.viewer, Key(workload, target, toolchain, policy))
        if claim is None:
            raise not_found()
        caller.is_shown(store, claim.release, f"champion {claim.trial.id}")
        return shown(store, claim)

    return await ask(request, question)


def shown(store: Store, claim: Claim) -> dict[str, Any]:
    """A claim as JSON."""
    trial = claim.trial
    space, version, config = store.schedule(trial.schedule)
    return {
        "id": trial.id,
        **vars(trial.key),
        "release": claim.release,
        "vendor": store.account(claim.vendor).name,
        "batch": claim.batch,
        "received": claim.received,
        "tier": claim.tier.value,
        "state": claim.state,
        "reason": claim.reason,
        "schedule": {"id": trial.schedule, "space": space, "version": version, "config": config},
        "samples": list(trial.samples),
        "median": trial.median,
        "spread": trial.spread,
        "machine": trial.machine,
    }
