"""Submissions: signed batches of claims."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from targets.errors import HeadstartError
from tuning_db.envelope import ENVELOPE, MAX_ENVELOPE
from tuning_db.intake import open_submission, take
from tuning_db.service.auth import act, admit, ask, body, json_body, service
from tuning_db.service.errors import ApiError
from tuning_db.service.metrics import Metrics

router = APIRouter(prefix="/v1/submissions", tags=["submissions"])


@router.post("", openapi_extra=json_body(ENVELOPE))
async def submit(request: Request) -> dict[str, Any]:
    """Take a batch in its envelope, all or nothing; sent once more, it gets the same answer.

    Reading and verifying may take long, so that it is done among the readers and holds up nobody who writes.
    """
    metrics: Metrics = request.app.state.metrics
    try:
        answer = await _submit(request)
    except (ApiError, HeadstartError) as error:
        metrics.refused(error)
        raise
    metrics.taken(len(answer["claims"]))
    return answer


async def _submit(request: Request) -> dict[str, Any]:
    await admit(request, "submit")
    data = await body(request, MAX_ENVELOPE)
    config, _ = service(request)
    batch, signer = await ask(
        request, lambda store, caller: open_submission(store, data, caller.known, caller.now), "submit"
    )
    return await act(
        request,
        lambda store, caller: take(
            store, batch, signer, len(data), caller.known, caller.now, config.signer, config.spaces, config.quota
        ),
        "submit",
    )
