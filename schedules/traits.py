"""How a schedule uses a chip, as far as its space can say without lowering it: what a cost model learns from."""

from __future__ import annotations

import math
from dataclasses import dataclass

from targets import Target

NAMES = ("tasks", "idle", "inner", "task", "share", "registers", "loads")


@dataclass(frozen=True)
class Traits:
    """What a space knows of a schedule; what it does not know stays None.

    Attributes:
        tasks: iterations of the parallel loop.
        inner: bytes that are read again and again between two steps of the loop around them: they want to be in L1.
        task: bytes that one task reads and writes: what it reads twice wants to be in L2.
        registers: vector registers that hold values over the innermost loop, of those that the chip has.
        loads: vectors loaded for each vector operation of the innermost loop.
    """

    tasks: float | None = None
    inner: float | None = None
    task: float | None = None
    registers: tuple[int, int] | None = None
    loads: float | None = None

    def features(self, target: Target) -> dict[str, float]:
        """Ratios to what the chip has, by the names of ``NAMES``; NaN where something is not known.

        ``tasks`` is log2 of tasks a core, ``idle`` the fraction of the cores' time that is lost because tasks do not
        divide evenly; ``inner``, ``task`` and ``share`` are log2 of bytes over L1, L2, and a core's part of L3.
        """
        cores, third = target.cores, target.l3 / target.cores
        busy = self.tasks / (cores * math.ceil(self.tasks / cores)) if self.tasks else None
        values = (
            ratio(self.tasks, cores),
            math.nan if busy is None else 1 - busy,
            ratio(self.inner, target.l1d),
            ratio(self.task, target.l2),
            ratio(self.task, third),
            self.registers[0] / self.registers[1] if self.registers else math.nan,
            math.nan if self.loads is None else self.loads,
        )
        return dict(zip(NAMES, values, strict=True))


def ratio(value: float | None, whole: float) -> float:
    """log2 of value / whole, NaN where either is unknown or nothing."""
    return math.log2(value / whole) if value and whole else math.nan
