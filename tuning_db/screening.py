"""Holding the claims of a batch against what is known, without building or running anything.

Everything here is arithmetic and look-ups, so that what fails here never gets near a compiler. What passes is not
true yet: it is a claim that a referee can look at.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any, Protocol

from schedules.operator import make_operator
from schedules.schedule import Schedule
from schedules.trace import check_trace
from targets import Target, catalogue
from targets.errors import InputError
from targets.roofline import IMPOSSIBLE, floor_seconds
from targets.units import seconds
from tuning_db.batch import Batch, ClaimedTrial
from tuning_db.reasons import Finding, Reason, printable
from tuning_db.records import Key

# Trials of one key in a batch: more than the best few of a search tell nobody anything.
MAX_PER_KEY = 50
MIN_SAMPLES = 3
# A coarse clock repeats itself: only so many samples that are all the same, or of which the middle half is, are none.
SAME, NO_SPREAD = 8, 33
# And a few short measurements may be equal by chance; one of SAME samples or more may not.
ALIKE = 4
KNOB = re.compile("[a-z][a-z0-9_]{0,31}")
MOST_KNOBS, LARGEST_KNOB = 32, 2**31 - 1


@dataclass(frozen=True)
class Computation:
    """What is known of a workload, from our own copy of it and never from a vendor.

    Attributes:
        flops: operations of one call.
        bytes: that one call must move.
        arithmetic: the type that bounds it, see ``Peaks.bound``; None where it is not known.
        near: bytes of those that the caches may still hold from the call before even under the policy ``cold``: the
            first argument and the outputs. None where that is not known; then all of them may.
    """

    flops: int
    bytes: int
    arithmetic: str | None = None
    near: int | None = None

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Computation:
        """What a row of the table ``workload`` tells without a compiler."""
        arithmetic = None
        with suppress(InputError):  # an operator that this Headstart does not have, or none at all
            arithmetic = make_operator(row["operator"], dict(row["params"])).arithmetic
        return cls(row["flops"], row["bytes"], arithmetic)


@cache
def catalogue_by_fingerprint() -> dict[str, Target]:
    """The chips of the catalogue."""
    return {target.fingerprint: target for target in catalogue.targets()}


def space_versions() -> dict[str, int]:
    """Name and version of every space there is here."""
    from schedules.space import spaces

    return {name: space.version for name, space in spaces().items()}


class Schedules(Protocol):
    """As a mapping has it."""

    def get(self, what: tuple[Key, str], /) -> str | None:
        """Id of the schedule that was claimed for a key with an ``essence``, None where none was."""


NOTHING: Mapping[tuple[Key, str], str] = MappingProxyType({})


@dataclass(frozen=True)
class Known:
    """What the claims of one batch are held against; only what its vendor may know, since findings tell of it.

    Attributes:
        workloads: that are open to the vendor, by id.
        targets: chips whose peaks count for more than what a vendor declares, by fingerprint.
        spaces: versions by name.
        claims: ids (``ClaimedTrial.id``) of claims that were taken before.
        schedules: by key and ``essence``, the id of a schedule that was claimed before.
    """

    workloads: Mapping[str, Computation]
    targets: Mapping[str, Target] = field(default_factory=catalogue_by_fingerprint)
    spaces: Mapping[str, int] = field(default_factory=space_versions)
    claims: Container[str] = frozenset()
    schedules: Schedules = field(default_factory=lambda: NOTHING)


def screen(batch: Batch, known: Known) -> list[Finding]:
    """Everything that is to be said of a batch, by entry; it is refused where any ``Finding.reason.refuses``.

    Each claim is held against what is known and against the claims before it in the batch.
    """
    findings = []
    for at, claim in enumerate(batch.claims, 1):
        for check in CHECKS:
            found = check(claim, known)
            if found is not None:
                findings.append(Finding(found[0], at, printable(found[1])))
    wrong = {finding.entry for finding in findings if finding.reason in NO_SCHEDULE}
    findings += _repetitions(batch, known, wrong)
    return sorted(findings, key=lambda finding: finding.entry)


def check_schedule(schedule: Schedule, spaces: Mapping[str, int]) -> tuple[Reason, str] | None:
    """Whether a schedule is one that may be replayed, whatever the workload; whether it fits one is for a referee.

    Args:
        schedule: the schedule.
        spaces: versions of the spaces that are known, by name.
    """
    if spaces.get(schedule.space) != schedule.version:
        has = f"here it is v{spaces[schedule.space]}" if schedule.space in spaces else "there is none of that name"
        return Reason.UNKNOWN_SPACE, f"space {schedule.space} v{schedule.version}: {has}"
    try:
        if schedule.space == "generic":
            if set(schedule.config) != {"trace"}:
                raise InputError("a schedule of this space has a trace and nothing else")
            check_trace(schedule.config["trace"])
        else:
            _check_knobs(schedule.config)
    except InputError as error:
        return Reason.SCHEDULE_NOT_ALLOWED, f"space {schedule.space}: {error}"
    return None


def floor(computation: Computation, target: Target, cache: str) -> float | None:
    """Seconds that the chip takes at least, as far as is known; None where it has no peaks."""
    if target.peaks is None:
        return None
    flops = target.peaks.flops
    # The fastest of all types where the type is not known: a floor must be true before it is tight.
    arithmetic = computation.arithmetic or max(flops, key=flops.__getitem__)
    near = computation.bytes if cache == "warm" or computation.near is None else computation.near
    far = max(0, computation.bytes - near)
    return floor_seconds(target, computation.flops, far, computation.bytes - far, arithmetic)


def _check_knobs(config: Mapping[str, Any]) -> None:
    if len(config) > MOST_KNOBS:
        raise InputError(f"{len(config)} knobs; at most {MOST_KNOBS} are allowed")
    for knob, value in config.items():
        if not KNOB.fullmatch(knob):
            raise InputError(f"{knob[:40]!r} is not the name of a knob")
        # true and 1.0 are equal to 1, but another schedule by their hash.
        if type(value) is not int or not 0 <= value <= LARGEST_KNOB:
            raise InputError(f"knob {knob} must be a whole number from 0 to {LARGEST_KNOB}")


Check = Callable[[ClaimedTrial, Known], "tuple[Reason, str] | None"]


def _workload(claim: ClaimedTrial, known: Known) -> tuple[Reason, str] | None:
    if claim.workload in known.workloads:
        return None
    return Reason.UNKNOWN_WORKLOAD, f"no workload {claim.workload}"


def _schedule(claim: ClaimedTrial, known: Known) -> tuple[Reason, str] | None:
    return check_schedule(claim.schedule, known.spaces)


def _floor(claim: ClaimedTrial, known: Known) -> tuple[Reason, str] | None:
    computation = known.workloads.get(claim.workload)
    if computation is None:
        return None
    target = known.targets.get(claim.target.fingerprint, claim.target)
    least = floor(computation, target, claim.policy.cache)
    if least is None:
        return Reason.NO_PEAKS, f"{target.name} declares no peaks; its times are taken without a floor to hold them to"
    if claim.median >= IMPOSSIBLE * least:
        return None
    return Reason.BELOW_FLOOR, f"{seconds(claim.median)} on {target.name}, which takes {seconds(least)} at its best"


def _samples(claim: ClaimedTrial, known: Known) -> tuple[Reason, str] | None:
    samples = claim.samples
    if len(samples) < MIN_SAMPLES:
        return Reason.TOO_FEW_SAMPLES, f"{len(samples)} samples; at least {MIN_SAMPLES} are needed"
    if len(samples) >= SAME and len(set(samples)) == 1:
        return Reason.NO_NOISE, f"{len(samples)} samples that are all the same"
    ordered = sorted(samples)
    quarter = len(samples) // 4
    if len(samples) >= NO_SPREAD and ordered[quarter] == ordered[-1 - quarter]:
        return Reason.NO_NOISE, f"the middle half of {len(samples)} samples is all the same"
    return None


CHECKS: tuple[Check, ...] = (_workload, _schedule, _floor, _samples)


NO_SCHEDULE = (Reason.UNKNOWN_SPACE, Reason.SCHEDULE_NOT_ALLOWED)


def _repetitions(batch: Batch, known: Known, wrong: Container[int]) -> Iterator[Finding]:
    """What is only seen beside other claims: duplicates, clones, copied samples, more than enough.

    Args:
        batch, known: as for ``screen``.
        wrong: entries whose schedules are refused, so that there is no telling what they are clones of.
    """
    ids: dict[str, int] = {}
    essences: dict[tuple[Key, str], str] = {}
    copies: dict[tuple[float, ...], list[tuple[Key, str]]] = {}
    counts: Counter[Key] = Counter()
    for at, claim in enumerate(batch.claims, 1):
        key, schedule = claim.key, claim.schedule
        counts[key] += 1
        if counts[key] == MAX_PER_KEY + 1:
            said = f"more than {MAX_PER_KEY} trials of {key.workload} on {claim.target.name}; send the fastest"
            yield Finding(Reason.TOO_MANY, at, printable(said))
        if claim.id in known.claims or claim.id in ids:
            where = f"entry {ids[claim.id]}" if claim.id in ids else "here already"
            yield Finding(Reason.DUPLICATE, at, f"schedule {schedule.id} with the same samples: {where}")
            continue
        ids[claim.id] = at
        if at not in wrong:
            what = key, claim.essence
            other = known.schedules.get(what) or essences.setdefault(what, schedule.id)
            if other != schedule.id:
                yield Finding(Reason.CLONE, at, f"schedule {schedule.id} does what {other} does")
        seen = copies.setdefault(claim.samples, [])
        seen.append((key, schedule.id))
        if len(seen) > (1 if len(claim.samples) >= SAME else ALIKE):
            yield Finding(Reason.COPIED_SAMPLES, at, f"the samples of schedule {seen[0][1]}, one for one")
