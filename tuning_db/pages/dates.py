"""The dates of a release, and its rules, in sentences."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tuning_db.pages.words import span
from tuning_db.releases import Release, Rules


@dataclass(frozen=True)
class Date:
    """Something that happens at a moment, or has."""

    at: float
    what: str


def dates(release: Release, own: Iterable[dict[str, Any]], invited: Iterable[dict[str, Any]]) -> list[Date]:
    """What happens when, in the order of time.

    Args:
        release: which.
        own: the viewer's own windows, as ``history.own_openings``.
        invited: everybody's, for the publisher, as ``Store.openings``.
    """
    found = [Date(release.created, "The release was made")]
    found += [Date(row["opens"], f"It opened for you{_where(row)}") for row in own]
    found += [Date(row["opens"], f"It opens for {row['name']}, a {row['role']}{_where(row)}") for row in invited]
    found.append(Date(release.launch, "Launch: everything here is everybody's to see, and everybody may claim"))
    if release.rules.object_s is not None:
        last = release.launch + release.rules.object_s
        found.append(Date(last, "Referees can no longer refuse claims from before the launch"))
    return sorted(found, key=lambda date: date.at)


def rules(of: Rules) -> list[str]:
    """The rules of a race."""
    return [
        "Sealed: until the launch vendors see nothing of each other."
        if of.sealed
        else "Open: vendors see each other's ranks and times before the launch, and no schedules.",
        "A vendor may withdraw a claim at any time."
        if of.withdraw_s is None
        else f"A vendor may withdraw a claim within {span(of.withdraw_s)} of sending it.",
        "Referees may refuse a claim at any time."
        if of.object_s is None
        else f"Referees may refuse a claim until {span(of.object_s)} after the launch, or after it came where that is"
        " later.",
        "A claim ranks below all of a higher tier; within a tier a leader falls only to one that wins by more than the"
        " noise.",
    ]


def _where(row: dict[str, Any]) -> str:
    return f", for {row['target']} only" if row["target"] else ""
