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
        kernel: as it is to be, or was where it is gone.
        before, after: what is used; None for the default schedule, and where other kernels of a family do the same.
        seconds: of a call before and after, as they were measured: of the kernel, of the default schedule where a trial
            tells, or of those that the plan of a family runs; None where that is not known.
        gone: whether other kernels of the family do the same then.
    """

    kernel: SelectedKernel
    before: Candidate | None
    after: Candidate | None
    seconds: tuple[float | None, float | None]
    gone: bool = False

    @property
    def used(self) -> str:
        """What is used then, in a word: how far it is trusted, the default schedule, or a plan of other kernels."""
        return "others" if self.gone else self.after.tier if self.after else "default"

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
    was, is_now = _Used(before), _Used(after)
    gone = [kernel for id, kernel in was.kernels.items() if id not in is_now.kernels and after.family_of(kernel)]
    pairs = [_change(kernel, was, is_now) for kernel in (*after.kernels, *gone)]
    timed = [pair for pair in pairs if pair.speedup is not None]
    # Of a family, one that others stood in for before is another one too, whatever its schedule.
    new = {id for id, kernel in is_now.kernels.items() if id not in was.kernels and before.family_of(kernel)}
    changed = [
        pair for pair in pairs if _trial(pair.before) != _trial(pair.after) or pair.gone or pair.kernel.workload in new
    ]
    return Changes(
        kernels=tuple(sorted(changed, key=lambda pair: -pair.gain)),
        step_before=fsum(pair.kernel.calls * (pair.seconds[0] or 0.0) for pair in timed),
        step_after=fsum(pair.kernel.calls * (pair.seconds[1] or 0.0) for pair in timed),
        timed=len(timed),
        of=len(pairs),
    )


class _Used:
    """What a selection uses for a workload, by its id."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self.kernels: Mapping[str, SelectedKernel] = {kernel.workload: kernel for kernel in selection.kernels}

    def candidate(self, kernel: SelectedKernel) -> Candidate | None:
        """The one of the kernel itself."""
        return self.kernels[kernel.workload].only if kernel.workload in self.kernels else None

    def seconds(self, kernel: SelectedKernel, default: float | None) -> float | None:
        """Seconds of a call; ``default`` of the default schedule."""
        family = self._selection.family_of(kernel)
        if family is None:
            run = [kernel.workload]
        else:
            rows, of_rows = kernel.params[family.row_parameter], {one.rows: one.workload for one in family.kernels}
            # More rows than the largest are done in pieces; such a kernel was not asked for, and its time is not told.
            plan = next((plan for plan in family.plans if plan.first <= rows <= plan.last), None)
            if plan is None or not plan.run:
                return None if plan is None else default
            run = [of_rows[count] for count in plan.run]
        if run == [kernel.workload]:
            own = self.candidate(kernel)
            return own.seconds if own else default
        parts = [self.kernels[id].only for id in run]
        return fsum(one.seconds for one in parts if one) if all(parts) else None


def _change(kernel: SelectedKernel, was: _Used, now: _Used) -> Change:
    before, after = was.candidate(kernel), now.candidate(kernel)
    default = next((one.default_seconds for one in (after, before) if one), None)
    seconds = was.seconds(kernel, default), now.seconds(kernel, default)
    return Change(kernel, before, after, seconds, kernel.workload not in now.kernels)


def _trial(candidate: Candidate | None) -> str | None:
    return candidate.trial if candidate else None
