"""What is to be judged, for referees."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from tuning_db.docket import docket
from tuning_db.service.auth import Caller, ask
from tuning_db.service.claims import shown
from tuning_db.store import Store

router = APIRouter(prefix="/v1", tags=["claims"])

MOST = 20


@router.get("/pending")
async def pending(
    request: Request,
    target: str,
    limit: Annotated[int, Query(ge=1, le=MOST)] = MOST,
    since: Annotated[float, Query(ge=0, allow_inf_nan=False)] = 0.0,
) -> dict[str, Any]:
    """Claims for a chip, by its fingerprint, that whoever asks has not judged yet, or not since then; oldest first.

    Each has all that is needed to judge it. That it was handed out is in a ledger, and so is what it is to be timed
    against.
    """

    def question(store: Store, caller: Caller) -> dict[str, Any]:
        found = docket(store, caller.viewer, target, limit, since)
        shows = [claim for one in found for claim in (one.claim, one.incumbent) if claim]
        for id, release in {claim.trial.id: claim.release for claim in shows}.items():
            caller.is_shown(store, release, f"pending {id}")
        return {
            "pending": [
                {
                    "claim": shown(store, one.claim),
                    "incumbent": shown(store, one.incumbent) if one.incumbent else None,
                    "workload": one.workload,
                    "target": one.target,
                    "toolchain": one.toolchain,
                    "policy": one.policy,
                }
                for one in found
            ]
        }

    return await ask(request, question, "judge")
