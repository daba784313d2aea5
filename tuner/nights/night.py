"""What a morning report holds: what got faster, by how much, what was spent, what failed, what to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tuner.failures import Failures


@dataclass(frozen=True)
class Gain:
    """What became of one workload on one chip.

    Attributes:
        chip: its name.
        calls: in the steps that a job tunes it for, all together; 0 where it was measured besides.
        fresh: whether it had no champion before; the first one of the night stands for it then, mostly the default.
        before_s: seconds of the old champion, as they were measured then.
        after_s: seconds of the champion; None where there is none, or it was not timed.
        faster: how many times faster it is than the old one, timed in turn with it, and the
        error: of that, as a factor, where it is known (``tuner.reigns.gain``).
        floor_s: seconds below which the chip cannot be, 0 where that is not known.
        trials, failed: made in the time of the report, and those of them that failed.
        built: whether any schedule ever ran and was right.
    """

    workload: str
    operator: str
    label: str
    chip: str
    cache: str
    calls: int
    trials: int
    failed: int
    built: bool
    fresh: bool
    before_s: float | None
    after_s: float | None
    faster: float | None
    error: float | None
    floor_s: float

    @property
    def saved_s(self) -> float:
        """Seconds of all its calls that a step saves."""
        return max(self.calls, 1) * (self.before_s - self.after_s) if self.before_s and self.after_s else 0.0

    @property
    def roofline(self) -> float | None:
        """The share of the roofline that the champion reaches."""
        return self.floor_s / self.after_s if self.after_s and self.floor_s else None


@dataclass(frozen=True)
class StepGain:
    """What became of one step of a model on one chip: sums over the workloads that have times, by their calls."""

    model: str
    step: Mapping[str, Any]
    chip: str
    workloads: int
    measured: int
    before_s: float
    after_s: float
    floor_s: float | None

    @property
    def faster(self) -> float | None:
        """Seconds before over seconds after."""
        return self.before_s / self.after_s if self.after_s else None


@dataclass(frozen=True)
class Spent:
    """What a job took, in the time of the report."""

    job: str
    model: str
    chip: str
    state: str
    share: float
    spent_s: float
    trials: int
    good: int
    champions: int

    @property
    def counts(self) -> tuple[int, int, int]:
        """Trials, those that were right, and those that dethroned a champion or were the first."""
        return self.trials, self.good, self.champions


@dataclass(frozen=True)
class Night:
    """All of it. ``steps`` and ``gains`` have what gained most first, ``look`` what a person should look at."""

    since: float
    until: float
    database: str
    steps: Sequence[StepGain] = ()
    gains: Sequence[Gain] = ()
    spent: Sequence[Spent] = ()
    failed: Sequence[Failures] = ()
    look: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON types."""
        found = asdict(self)
        for name in ("gains", "steps"):
            for row, one in zip(found[name], getattr(self, name), strict=True):
                row.update({"roofline": one.roofline} if isinstance(one, Gain) else {"faster": one.faster})
        return found
