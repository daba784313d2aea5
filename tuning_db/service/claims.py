"""Claims: one by its id, and the one to use for a key."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from tuning_db.claim import Claim, Outcome, Verdict
from tuning_db.logs import log_of
from tuning_db.readers import mapping, matching, plain, record
from tuning_db.records import Key
from tuning_db.service.auth import Caller, act, admit, ask, body, json_body, read_json
from tuning_db.service.errors import not_found
from tuning_db.service.releases import found
from tuning_db.store import Store
from tuning_db.windows import PUBLIC

router = APIRouter(prefix="/v1", tags=["claims"])

MOST = 500
MAX_VERDICT = 64 << 10
OUTCOMES = [outcome.value for outcome in Outcome]
VERDICT = record(
    {"outcome": matching("|".join(OUTCOMES), f"one of {', '.join(OUTCOMES)}")},
    {"reason": plain(1000), "evidence": mapping},
)


@router.get("/claims")
async def listed(
    request: Request,
    release: str | None = None,
    vendor: str | None = None,
    after: str | None = None,
    count: Annotated[int, Query(ge=1, le=MOST)] = 100,
) -> dict[str, Any]:
    """Claims that whoever asks may see, the latest first: of a release by id or name, of a vendor by name, or all.

    ``next`` is what to give as ``after`` for those that follow, null where there are none. It is the id of the last
    claim that is here, so that it says nothing that the answer does not.
    """

    def question(store: Store, caller: Caller) -> dict[str, Any]:
        of = None if release is None else PUBLIC if release == PUBLIC else found(store, caller.viewer, release).id
        if after is not None and store.claim(caller.viewer, after) is None:
            raise not_found()
        claims = store.visible(caller.viewer, of, vendor, after, count + 1)
        for shown_of in sorted({claim.release for claim in claims} | ({of} if of else set())):
            caller.is_shown(store, shown_of, "claims")
        more, claims = len(claims) > count, claims[:count]
        return {"claims": [brief(store, claim) for claim in claims], "next": claims[-1].trial.id if more else None}

    return await ask(request, question)


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


@router.post("/claims/{id}/verdicts", status_code=201, openapi_extra=json_body(VERDICT))
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


@router.get("/champions")
async def champions(request: Request, workload: str, target: str) -> dict[str, Any]:
    """The claims to use for a workload on a chip: one for each toolchain and policy that there is one for."""

    def question(store: Store, caller: Caller) -> dict[str, Any]:
        claims = store.bests(caller.viewer, workload, target)
        if not claims:
            raise not_found()
        for claim in claims:
            caller.is_shown(store, claim.release, f"champion {claim.trial.id}")
        return {"champions": [shown(store, claim) for claim in claims]}

    return await ask(request, question)


@router.get("/workloads/{id}")
async def workload(request: Request, id: str) -> dict[str, Any]:
    """A workload by its id, with the text that its id is the hash of."""

    def question(store: Store, caller: Caller) -> dict[str, Any]:
        there = store.workload_for(caller.viewer, id)
        if there is None:
            raise not_found()
        for release in there[1]:
            caller.is_shown(store, release, f"workload {id}")
        return there[0]

    return await ask(request, question)


def shown(store: Store, claim: Claim) -> dict[str, Any]:
    """A claim as JSON, with all that is in it."""
    trial = claim.trial
    space, version, config = store.schedule(trial.schedule)
    (policy,) = store.rows("SELECT cache, threads, clock FROM policy WHERE id = ?", (trial.key.policy,))
    return {
        **brief(store, claim),
        "schedule": {"id": trial.schedule, "space": space, "version": version, "config": config},
        "versions": json.loads(store.value("SELECT versions FROM toolchain WHERE id = ?", (trial.key.toolchain,))),
        "timing": policy,
        "samples": list(trial.samples),
        "machine": trial.machine,
    }


def brief(store: Store, claim: Claim) -> dict[str, Any]:
    """A claim as a list has it."""
    trial = claim.trial
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
        "disputed": store.is_disputed(claim.release, trial.id),
        "schedule": trial.schedule,
        "median": trial.median,
        "spread": trial.spread,
    }
