"""What findings come to: a verdict. It follows from them alone, so that whoever has the figures can draw it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from targets.units import seconds
from tuner.referee.causes import Cause
from tuning_db.claim import Outcome
from tuning_db.reasons import printable

# Secret seeds on which an output must be right.
SEEDS = 3
# Slower than claimed by up to this is the same: two machines of one chip, or two hours of one, differ by as much.
TOLERANCE = 0.10
# Slower by more than this, and nothing else ran on the machine, is no such difference any more.
FAR = 0.50


# What shows where a kernel for another chip is run on a CPU by what it means. That LLVM cannot compile it, or that it
# takes too long there, says nothing of it.
SHOWN = (Cause.WRONG_OUTPUT, Cause.OUT_OF_BOUNDS)


@dataclass(frozen=True)
class CaseResult:
    """What a kernel computed from some inputs.

    Attributes:
        name: ``seed``, or what the inputs are: ``zeros``, ``ones``, ...
        seed: that they were drawn from.
        wrong: what is wrong with the outputs; empty if nothing is.
    """

    name: str
    seed: int
    wrong: str = ""


@dataclass(frozen=True)
class Findings:
    """What was found of a claim.

    Attributes:
        stopped: why it was not looked at any further; None where everything was done.
        said: more on that, one line.
        cases: outputs that were compared.
        claimed: seconds.
        takes: median seconds of each time it was timed, with whether nothing else ran on the machine.
        untimed: why it was not timed.
        meant: whether the claimed kernel itself was not run, but on a CPU what it means.
        evidence: figures for whoever wants to do it again.
    """

    claimed: float
    stopped: Cause | None = None
    said: str = ""
    cases: Sequence[CaseResult] = ()
    takes: Sequence[tuple[float, bool]] = ()
    untimed: str = ""
    meant: bool = False
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Ruling:
    """A verdict: what it says, the code of why, and a line for the vendor."""

    outcome: Outcome
    cause: Cause
    reason: str


def judge(findings: Findings) -> Ruling:
    """The verdict on what was found; the order of cases and of takes makes no difference to the outcome."""
    cause, more = _cause(findings)
    return Ruling(cause.outcome, cause, printable(f"{cause.value}: {cause.meaning}{f' ({more})' if more else ''}"))


def retimed(takes: Sequence[tuple[float, bool]]) -> tuple[float, bool]:
    """Seconds to hold a claim to, and whether nothing disturbed them.

    Other work on the machine only ever makes a kernel slower, so the fastest take is nearest the truth.
    """
    return min(takes, key=lambda take: (take[0], not take[1]))


def _cause(findings: Findings) -> tuple[Cause, str]:
    wrong = sorted((case.name, case.seed, case.wrong) for case in findings.cases if case.wrong)
    stopped = findings.stopped
    refused = stopped is not None and stopped.outcome is Outcome.REFUSED
    if stopped is not None and refused and (not findings.meant or stopped in SHOWN):
        return stopped, findings.said
    if wrong:
        name, seed, said = wrong[0]
        return Cause.WRONG_OUTPUT, f"{said}; inputs {name} {seed}"
    if stopped is not None:
        return (Cause.MEANING_ONLY if refused else stopped), findings.said
    if len({case.seed for case in findings.cases if case.name == "seed"}) < SEEDS:
        return Cause.NO_CONTROL, "too few outputs were compared"
    if findings.meant:
        return Cause.MEANING_ONLY, findings.untimed
    if not findings.takes:
        return Cause.NOT_TIMED, findings.untimed
    found, settled = retimed(findings.takes)
    both = f"{seconds(found)} here, {seconds(findings.claimed)} claimed"
    if found <= findings.claimed * (1 + TOLERANCE):
        return Cause.REPRODUCED, both
    if not settled:
        return Cause.DISTURBED, both
    return (Cause.SLOWER if found <= findings.claimed * (1 + FAR) else Cause.NOT_REPRODUCED), both
