"""Windows: what is open to whom at a moment, as predicates that stand in every query of the service.

A release opens for its publisher when it is made, for an invited account at the time of its opening, and for everybody
at its launch. Nothing happens at those times: the clock is part of the query. The release ``public`` has been open to
everybody for ever; a model that belongs to no release belongs to it, and so does a workload of no model.

Each function returns SQL with the named parameters of ``Viewer.values``. Its arguments are aliases or columns of the
query around it, never text from outside.
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
    """True where a row of ``release`` is open to the viewer, for one target at least."""
    return f"({release}.launch <= :now OR {release}.publisher = :account OR {_opening(release)})"


def open_releases() -> str:
    """The ids of all releases that are open to the viewer: found without a look at those that are not."""
    return (
        "(SELECT id FROM release WHERE launch <= :now UNION SELECT id FROM release WHERE publisher = :account"
        " UNION SELECT release FROM opening WHERE account = :account AND opens <= :now)"
    )


def open_repositories() -> str:
    """The ids of all releases whose repository the viewer may read: everybody's from the launch on, its publisher's."""
    return (
        "(SELECT id FROM release WHERE launch <= :now UNION"
        " SELECT id FROM release WHERE publisher = :account AND :account <> '')"
    )


def open_target(release: str, target: str) -> str:
    """The same, for work on one target: an opening may be for one target only, and others stay shut."""
    return f"({release}.launch <= :now OR {release}.publisher = :account OR {_opening(release, target)})"


def sees_all(release: str, target: str) -> str:
    """True where the viewer may see every vendor's claims for a target: all may from the launch on, referees before."""
    return f"({release}.launch <= :now OR {_opening(release, target, 'referee')})"


def sees_others(release: str) -> str:
    """True where the viewer may see every vendor's claims for one target at least."""
    return f"({release}.launch <= :now OR {_opening(release, role='referee')})"


def visible_claim(claim: str, release: str) -> str:
    """True where a claim of a release may be seen with all that is in it.

    Before the launch a claim is its vendor's and the referees' only, whatever the rules of the release say: these may
    let rivals see ranks and times, but not schedules. Not even the publisher sees those.
    """
    return f"({claim}.vendor = :account OR {sees_all(release, f'{claim}.target')})"


def visible_time(claim: str, release: str) -> str:
    """True where it may be known that there is this claim, whose it is and how fast, but not more.

    The publisher always may, who must know how ready the chips are; rivals may where the release is not sealed.
    """
    return f"({claim}.vendor = :account OR {sees_times(release, f'{claim}.target')})"


def sees_times(release: str, target: str) -> str:
    """True where the viewer may know of every vendor's claims for a target, as ``visible_time`` says of one."""
    return (
        f"({release}.publisher = :account OR {sees_all(release, target)}"
        f" OR (NOT {release}.sealed AND {_opening(release, target)}))"
    )


def public_model(model: str) -> str:
    """True where anybody may know of a model, given by its id: it is in a launched release, or in none."""
    return (
        f"(NOT EXISTS (SELECT 1 FROM release_model rm WHERE rm.model = {model}) OR EXISTS (SELECT 1"
        f" FROM release_model rm JOIN release pr ON pr.id = rm.release WHERE rm.model = {model} AND pr.launch <= :now))"
    )


def public_workload(workload: str) -> str:
    """True where anybody may know of a workload, given by its id: through a public model, or as one of no model."""
    return (
        f"(EXISTS (SELECT 1 FROM model_op po WHERE po.workload = {workload} AND {public_model('po.model')})"
        f" OR NOT EXISTS (SELECT 1 FROM model_op po WHERE po.workload = {workload})"
        f" OR EXISTS (SELECT 1 FROM public_workload pw WHERE pw.workload = {workload}))"
    )


def public_trial(trial: str) -> str:
    """True where anybody may know of a row of ``trial``: of a claim its release decides, else the workload."""
    return f"({public_workload(f'{trial}.workload')} AND NOT {early_claim(trial)})"


def early_claim(trial: str) -> str:
    """True where a row of ``trial`` is a claim of a release that is not launched."""
    return (
        "EXISTS (SELECT 1 FROM claim ec JOIN release er ON er.id = ec.release"
        f" WHERE ec.trial = {trial}.id AND er.launch > :now)"
    )


def _opening(release: str, target: str | None = None, role: str | None = None) -> str:
    """True where the viewer's window is open: for a target, where one is given, and in a role, where one is given."""
    return (
        "EXISTS (SELECT 1 FROM opening o JOIN account a ON a.id = o.account"
        f" WHERE o.release = {release}.id AND o.account = :account AND o.opens <= :now"
        + (f" AND o.target IN ('', {target})" if target else "")
        + (f" AND a.role = '{role}'" if role else "")
        + ")"
    )
