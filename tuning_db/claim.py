"""A claim is a trial that a vendor submitted, and how far it is trusted: what verdicts come to, and who leads.

All of this follows from claims and verdicts in the order of their arrival, so that it can be computed again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from tuning_db.records import Status, Trial, new_id

STANDING = "standing"


class Tier(str, Enum):
    """How far a claim is trusted."""

    CLAIMED = "claimed"
    REPLAYED = "replayed"
    REPRODUCED = "reproduced"

    @property
    def rank(self) -> int:
        """Higher is trusted more."""
        return RANKS[self]


RANKS = {tier: at for at, tier in enumerate(Tier)}


class Outcome(str, Enum):
    """What a verdict says: a tier, that the judge cannot tell, that the claim is refused, or that it is taken back."""

    REPLAYED = "replayed"
    REPRODUCED = "reproduced"
    UNJUDGED = "unjudged"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


TIERS = {Outcome.REPLAYED: Tier.REPLAYED, Outcome.REPRODUCED: Tier.REPRODUCED}


@dataclass(frozen=True)
class Claim:
    """A submitted trial.

    Attributes:
        trial: what was measured, by its vendor's word.
        release, vendor: ids.
        batch: id of the submission that it came in.
        received: seconds since 1970.
        tier: how far it is trusted.
        state: ``standing``, ``refused`` or ``withdrawn``; only standing ones lead.
        reason: why it does not stand.
    """

    trial: Trial
    release: str
    vendor: str
    batch: str
    received: float
    tier: Tier = Tier.CLAIMED
    state: str = STANDING
    reason: str = ""


@dataclass(frozen=True)
class Verdict:
    """What somebody says of a claim.

    Attributes:
        trial: id of the claim's trial.
        judge: id of a referee's account, or of the vendor's who withdraws it.
        outcome: what it says.
        created: seconds since 1970.
        reason: a sentence that the vendor can read; a refusal has one.
        evidence: figures: what was timed against what.
    """

    trial: str
    judge: str
    outcome: Outcome
    created: float
    reason: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=lambda: new_id("d"))


def beats(challenger: Trial, champion: Trial) -> bool:
    """Whether a trial is faster than another by more than the noise of both.

    The two were not timed in turn, so half of each interquartile range stands for the noise.
    """
    noise = ((challenger.spread or 0.0) + (champion.spread or 0.0)) / 2
    return (challenger.median or math.inf) + noise < (champion.median or math.inf)


def leader(claims: Iterable[Claim]) -> Claim | None:
    """Who leads among claims for one key, given in the order of their arrival.

    A claim ranks below all of a higher tier. So a leader falls to one of a higher tier, or to one of its own that wins
    by more than the noise, and never to one of a lower tier. What does not stand, or is a failed trial, never leads.
    """
    found: Claim | None = None
    for claim in claims:
        if claim.state != STANDING or claim.trial.status is not Status.OK:
            continue
        if (
            found is None
            or claim.tier.rank > found.tier.rank
            or (claim.tier is found.tier and beats(claim.trial, found.trial))
        ):
            found = claim
    return found


def leaders(claims: Sequence[Claim]) -> dict[str, str]:
    """The trials that lead among all claims for one key in a release: each vendor's own, and under "" that of all."""
    found = {vendor: leader(c for c in claims if c.vendor == vendor) for vendor in {c.vendor for c in claims}}
    found[""] = leader(claims)
    return {vendor: claim.trial.id for vendor, claim in found.items() if claim}


def judged(verdicts: Iterable[Verdict]) -> tuple[Tier, str, str]:
    """Tier, state and reason that verdicts, in the order of their arrival, come to.

    Withdrawn stays withdrawn. Where one referee refuses what another reproduced, the claim does not stand (and is
    ``disputed``): a leader that might be wrong is worse than a slower one.
    """
    last = last_words(verdicts)
    for bad in (Outcome.WITHDRAWN, Outcome.REFUSED):
        if reasons := [verdict.reason for verdict in last if verdict.outcome is bad]:
            return Tier.CLAIMED, bad.value, reasons[-1]
    tiers = [TIERS[verdict.outcome] for verdict in last if verdict.outcome in TIERS]
    return max(tiers, key=lambda tier: tier.rank, default=Tier.CLAIMED), STANDING, ""


def disputed(verdicts: Iterable[Verdict]) -> bool:
    """Whether referees disagree: one refuses what another replayed or reproduced."""
    outcomes = {verdict.outcome for verdict in last_words(verdicts)}
    return Outcome.REFUSED in outcomes and bool(outcomes & set(TIERS))


def last_words(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """The last verdict of each judge, in the order of their arrival: a judge may think again."""
    last: dict[str, Verdict] = {}
    for verdict in verdicts:
        last.pop(verdict.judge, None)
        last[verdict.judge] = verdict
    return list(last.values())
