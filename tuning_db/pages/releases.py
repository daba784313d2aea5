"""The first page: releases that are open to whoever looks."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from tuning_db.pages.render import page
from tuning_db.pages.session import look
from tuning_db.service.auth import Caller
from tuning_db.store import Store

router = APIRouter()


@router.get("/")
async def releases(request: Request) -> Response:
    """Releases, those to come first, then the latest launch first."""

    def question(store: Store, caller: Caller) -> dict[str, Any]:
        found: list[dict[str, Any]] = []
        for release in store.releases(caller.viewer):
            caller.is_shown(store, release.id, "page of releases")
            models = store.models_of(caller.viewer, release.id)
            found.append(
                {
                    "release": release,
                    "publisher": store.account(release.publisher).name,
                    "models": [model["name"] for model in models],
                    "operators": len({op["workload"] for model in models for op in model["ops"] if op["workload"]}),
                }
            )
        coming = [one for one in found if one["release"].launch > caller.now]
        return {"now": caller.now, "coming": coming, "launched": [one for one in found if one not in coming][::-1]}

    return page(request, "releases", **await look(request, question))
