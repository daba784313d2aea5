"""Claims: one by its id, and the one to use for a key."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from tuning_db.claim import Claim, Outcome, Verdict, disputed
from tuning_db.logs import log_of
from tuning_db.readers import mapping, matching, plain, record
from tuning_db.records import Key
from tuning_db.service.auth import JSON_BODY, Caller, act, admit, ask, body, read_json
from tuning_db.service.errors import not_found
from tuning_db.store import Store

router = APIRouter(prefix="/v1", tags=["claims"])

MAX_VERDICT = 64 << 10
OUTCOMES = [outcome.value for outcome in Outcome]
VERDICT = record(
    {"outcome": matching("|".join(OUTCOMES), f"one of {', '.join(OUTCOMES)}")},
    {"reason": plain(1000), "evidence": mapping},
)


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


@router.post("/claims/{id}/verdicts", status_code=201, openapi_extra=JSON_BODY)
async def judge(request: Request, id: str) -> dict[str, Any]:
    """Say what a referee found of a claim, or as its vendor that it is withdrawn; answers with the claim as it is then.

    The body has ``outcome``, and perhaps ``reason`` and ``evidence``.
    """
    await admit(request, "judge", "submit")
    given = read_json(VERDICT, await body(request, MAX_VERDICT))

    def deed(store: Store, caller: Caller) -> dict[str, Any]:
        claim = store.claim(caller.viewer, id)
        if claim is None:
            raise not_found()
        outcome = Outcome(given["outcome"])
        verdict = Verdict(id, caller.known.id, outcome, caller.now, given.get("reason", ""), given.get("evidence", {}))
        after = store.add_verdict(verdict)
        told = {"claim": id, "outcome": outcome.value, "verdict": verdict.id}
        log = log_of(store, claim.release, caller.known.id, caller.now)
        store.append(log, caller.known.name, "judge", told, caller.now)
        return shown(store, after)

    return await act(request, deed, "judge", "submit")


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
        "disputed": disputed(store.all_verdicts(trial.id)),
        "schedule": {"id": trial.schedule, "space": space, "version": version, "config": config},
        "samples": list(trial.samples),
        "median": trial.median,
        "spread": trial.spread,
        "machine": trial.machine,
    }
