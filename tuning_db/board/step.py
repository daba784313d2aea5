"""A step of a model out of a vendor's leading claims, and which of two steps is better.

A step is as good as its weakest operator, and no claim at all is weaker than any tier. So steps without gaps come
first, those of a higher lowest tier before others, faster before slower; then steps with gaps, by how much they cover.
A vendor cannot gain a place by leaving out what it is bad at, nor lose one by a claim for an operator that it lacks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from math import fsum
from typing import Any

from tuning_db.board.records import Chip, Entry, Model
from tuning_db.claim import Tier
from tuning_db.leads import Lead

Floors = Mapping[str, float] | None
# Looked up often: a timeline has a step for every change of a lead.
RANKS: dict[str | None, int] = {None: -1, **{tier.value: tier.rank for tier in Tier}}


def rank(tier: str | None) -> int:
    """Higher is trusted more; -1 for nothing."""
    return RANKS[tier]


def entry(
    model: Model, vendor: str, toolchain: str, leads: Mapping[str, Lead], floors: Floors, disputed: int = 0
) -> Entry:
    """What leads come to.

    Args:
        model: whose step it is.
        vendor: name of whose it is.
        toolchain: id.
        leads: by workload, under one policy and toolchain on one chip; those for other models count for nothing.
        floors: least possible seconds of a call, by workload; None where they are not known.
        disputed: number of claims that referees disagree about.
    """
    there = [(op, leads[op.workload]) for op in model.operators if op.workload in leads]
    times = [(op.calls * (lead.median or 0.0), str(lead.tier)) for op, lead in there]
    covered_s = fsum(taken for taken, _ in times)
    tiers = {tier: fsum(taken for taken, of in times if of == tier) / covered_s for tier in {of for _, of in times}}
    whole, least = floor_of(model, floors), None
    if floors is not None:
        least = fsum(op.calls * floors[op.workload] for op, _ in there)
    return Entry(
        vendor=vendor,
        toolchain=toolchain,
        covered=len(there),
        calls=sum(op.calls for op, _ in there) / (sum(op.calls for op in model.operators) or 1),
        work=least / whole if whole and least is not None else None,
        covered_s=covered_s,
        step_s=covered_s if there and len(there) == len(model.operators) else None,
        noise_s=fsum(op.calls * (lead.spread or 0.0) for op, lead in there) / 2,
        roofline=least / covered_s if least and covered_s else None,
        tier=min(tiers, key=rank, default=None),
        tiers={tier.value: tiers[tier.value] for tier in Tier if tier.value in tiers},
        disputed=disputed,
    )


def floor_of(model: Model, floors: Floors) -> float | None:
    """Least possible seconds of a whole step; None where it is not known."""
    return fsum(op.calls * floors[op.workload] for op in model.operators) or None if floors is not None else None


def order(chip: Chip) -> Callable[[Entry], tuple[Any, ...]]:
    """What entries for a chip are sorted by, the best first.

    How much is covered counts by work where the peaks are the catalogue's. Peaks that vendors declare themselves could
    make much of what they cover; there the calls count.
    """

    def key(one: Entry) -> tuple[Any, ...]:
        if one.step_s is not None:
            return 0, -rank(one.tier), one.step_s, one.vendor, one.toolchain
        share = one.work if chip.peaks == "catalogue" and one.work is not None else one.calls
        return 1, -share, -rank(one.tier), one.covered_s, one.vendor, one.toolchain

    return key


def ahead(one: Entry, other: Entry) -> bool:
    """Whether a whole step is faster than another by more than the noise of both, as ``claim.beats`` says of claims."""
    assert one.step_s is not None
    assert other.step_s is not None
    return one.step_s + one.noise_s + other.noise_s < other.step_s


def disputes_of(model: Model, disputes: list[dict[str, Any]]) -> Counter[tuple[str, str, str, str]]:
    """How many claims for a model are disputed, by target, policy, toolchain and vendor."""
    mine = {op.workload for op in model.operators}
    return Counter(
        (one["target"], one["policy"], one["toolchain"], one["vendor"]) for one in disputes if one["workload"] in mine
    )
