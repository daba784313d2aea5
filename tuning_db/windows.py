"""Windows: which releases are open to whom at a moment, as a predicate that stands in every query of the service.

A release opens for its publisher when it is made, for an invited account at the time of its opening, and for everybody at
its launch. Nothing happens at those times: the clock is part of the query. The release ``public`` has been open to
everybody for ever; what belongs to no other release belongs to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

PUBLIC = "public"


@dataclass(frozen=True)
class Viewer:
    """Who looks, and when.

    Attributes:
        now: seconds since 1970.
        account: id of an account, empty for anybody.
    """

    now: float
    account: str = ""

    @property
    def values(self) -> dict[str, Any]:
        """What the named parameters of the predicates stand for."""
        return {"now": self.now, "account": self.account}


def open_release(release: str) -> str:
    """SQL that is true where a release, a row of the table ``release`` under this alias, is open to the viewer."""
    return (
        f"({release}.launch <= :now OR {release}.publisher = :account OR EXISTS (SELECT 1 FROM opening o"
        f" WHERE o.release = {release}.id AND o.account = :account AND o.opens <= :now))"
    )


def open_target(release: str, target: str) -> str:
    """The same, for work on one target: an opening may be for one target only, and others stay shut."""
    return (
        f"({release}.launch <= :now OR {release}.publisher = :account OR EXISTS (SELECT 1 FROM opening o"
        f" WHERE o.release = {release}.id AND o.account = :account AND o.opens <= :now"
        f" AND o.target IN ('', {target})))"
    )


def visible_claim(claim: str, release: str) -> str:
    """SQL that is true where a claim of a release may be seen with all that is in it.

    Before the launch a claim is its vendor's and the referees' only, whatever the rules of the release say: these may
    let rivals see ranks and times, but not schedules.
    """
    return (
        f"({release}.launch <= :now OR {claim}.vendor = :account OR EXISTS (SELECT 1 FROM opening o"
        f" JOIN account a ON a.id = o.account WHERE o.release = {release}.id AND o.account = :account"
        f" AND o.opens <= :now AND a.role = 'referee' AND o.target IN ('', {claim}.target)))"
    )
