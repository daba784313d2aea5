"""One release: who is ahead, how ready each chip is, how the race goes, and what happens when."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from tuning_db.pages.boards import drawn
from tuning_db.pages.dates import dates, rules
from tuning_db.pages.render import page
from tuning_db.pages.rows import chips_of, own_openings
from tuning_db.pages.session import look
from tuning_db.service.auth import Caller
from tuning_db.service.releases import found
from tuning_db.store import Store

router = APIRouter()


@router.get("/releases/{id}")
async def release(request: Request, id: str) -> Response:
    """A release by its id or name."""

    def question(store: Store, caller: Caller) -> dict[str, Any]:
        release = found(store, caller.viewer, id)
        caller.is_shown(store, release.id, "page of the release")
        invited = store.openings(caller.viewer, release.id)
        own = own_openings(store, caller.viewer, release.id)
        chips = chips_of(store, caller.viewer, release.id)
        for row in (*own, *invited):
            row["target"] = chips[row["target"]].name if row["target"] in chips else row["target"]
        listed = dates(release, own, invited)
        return {
            "now": caller.now,
            "release": release,
            "publisher": store.account(release.publisher).name,
            "dates": listed,
            "next": next((date for date in listed if date.at > caller.now), None),
            "rules": rules(release.rules),
            **drawn(store, caller.viewer, release, chips),
        }

    return page(request, "release", **await look(request, question))
