"""What would get faster, and by how much, kernel by kernel and for a step of the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import fsum
from typing import Any

from tuning_db.selection import Candidate, SelectedKernel, Selection


@dataclass(frozen=True)
class Change:
    """A kernel that is another one than before.

    Attributes:
        kernel: as it is to be.
        before, after: what is used; None for the default schedule.
    """

    kernel: SelectedKernel
    before: Candidate | None
    after: Candidate | None

    @property
    def seconds(self) -> tuple[float | None, float | None]:
        """Seconds of a call before and after, as they were measured; of the default schedule where a trial tells."""
        told = next((c.default_seconds for c in (self.after, self.before) if c), None)
        return (self.before.seconds if self.before else told), (self.after.seconds if self.after else told)

    @property
    def speedup(self) -> float | None:
        """How many times as fast; None where it is not known."""
        before, after = self.seconds
        return before / after if before and after else None

    @property
    def gain(self) -> float:
        """Seconds of a step that it saves; 0 where that is not known."""
        before, after = self.seconds
        return self.kernel.calls * (before - after) if before and after else 0.0

    def to_json(self) -> dict[str, Any]:
        """It as JSON types."""
        before, after = self.seconds
        return {
            "names": list(self.kernel.names),
            "workload": self.kernel.workload,
            "operator": self.kernel.operator,
            "label": self.kernel.label,
            "calls": self.kernel.calls,
            "seconds_before": before,
            "seconds_after": after,
            "speedup": self.speedup,
            "trial_before": self.before.trial if self.before else None,
            "trial_after": self.after.trial if self.after else None,
            "tier": self.after.tier if self.after else None,
        }


@dataclass(frozen=True)
class Changes:
    """All kernels that change.

    Attributes:
        kernels: those, by what a step gains with each.
        step_before, step_after: seconds of all calls of a step whose times are known both before and after.
        timed, of: how many kernels these are, and how many there are.
    """

    kernels: tuple[Change, ...]
    step_before: float
    step_after: float
    timed: int
    of: int

    @property
    def speedup(self) -> float | None:
        """How many times as fast a step is, as far as it is timed."""
        return self.step_before / self.step_after if self.step_after else None

    def to_json(self) -> dict[str, Any]:
        """They as JSON types."""
        return {
            "kernels": [change.to_json() for change in self.kernels],
            "step": {
                "seconds_before": self.step_before,
                "seconds_after": self.step_after,
                "speedup": self.speedup,
                "kernels_timed": self.timed,
                "kernels": self.of,
            },
        }


def changes(before: Selection, after: Selection) -> Changes:
    """What is different between what was chosen and what is to be."""
    was: Mapping[str, SelectedKernel] = {kernel.workload: kernel for kernel in before.kernels}
    pairs = [Change(kernel, _only(was.get(kernel.workload)), _only(kernel)) for kernel in after.kernels]
    timed = [pair for pair in pairs if pair.speedup is not None]
    changed = [pair for pair in pairs if _trial(pair.before) != _trial(pair.after)]
    return Changes(
        kernels=tuple(sorted(changed, key=lambda pair: -pair.gain)),
        step_before=fsum(pair.kernel.calls * (pair.seconds[0] or 0.0) for pair in timed),
        step_after=fsum(pair.kernel.calls * (pair.seconds[1] or 0.0) for pair in timed),
        timed=len(timed),
        of=len(pairs),
    )


def _only(kernel: SelectedKernel | None) -> Candidate | None:
    return kernel.candidates[0] if kernel is not None and kernel.candidates else None


def _trial(candidate: Candidate | None) -> str | None:
    return candidate.trial if candidate else None
