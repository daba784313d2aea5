"""Spaces of operators whose rows are computed one without the other, by a program of our own for one row."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from schedules.operator import Operator
from schedules.schedule import Schedule
from schedules.space import KnobSpace
from schedules.traits import Traits
from schedules.workload import Workload
from targets import Target


class RowSpace(KnobSpace):
    """Knob ``rows``: how many rows, one after the other, are a task. Where it is all of them, no thread is started.

    Starting the threads takes some microseconds, which is longer than a small operator takes in decoding.
    """

    families: ClassVar[tuple[type[Operator], ...]]

    def __init__(self, workload: Workload, target: Target) -> None:
        super().__init__(workload, target)
        self.op: Any = workload.instance

    @classmethod
    def supports(cls, workload: Workload, target: Target) -> bool:
        return target.kind == "llvm" and isinstance(workload.instance, cls.families)

    @property
    def total(self) -> int:
        """Rows of the workload."""
        raise NotImplementedError

    def kernel(self, tasks: Tasks, config: Mapping[str, int]) -> Any:
        """The PrimFunc of a configuration, its rows divided into ``tasks``."""
        raise NotImplementedError

    @property
    def knobs(self) -> dict[str, Sequence[int]]:
        return {"rows": chunks(self.total, self.target.cores)}

    def seeds(self) -> list[Schedule]:
        shares = [1, 4] if self.total > 1 else [1]
        wanted: list[dict[str, int]] = [self.seed | {"rows": self.total}]
        wanted += [self.seed | {"rows": -(-self.total // (share * self.target.cores))} for share in shares]
        found = [self.nearest(config) for config in wanted]
        return list(dict.fromkeys(schedule for schedule in found if schedule is not None))

    @property
    def seed(self) -> dict[str, int]:
        """Good values of the knobs other than ``rows``."""
        return {}

    def traits(self, config: Mapping[str, int]) -> Traits:
        row = self.workload.bytes / self.total
        return Traits(tasks=-(-self.total // config["rows"]), inner=row, task=row * config["rows"])

    def program(self, config: Mapping[str, int]) -> Any:
        import tvm

        return tvm.IRModule({"main": self.kernel(Tasks(self.total, config["rows"]), config)})


class Tasks:
    """``total`` rows in ``count`` tasks of ``size``, of which the last may be shorter.

    A kernel writes ``for task in tasks.loop(tasks.count)`` and, inside, rows from ``task * size`` on, with
    ``if tasks.inside(row)`` around each.
    """

    def __init__(self, total: int, size: int) -> None:
        self.total, self.size, self.count = total, size, -(-total // size)

    @property
    def loop(self) -> Callable[..., Any]:
        """The kind of loop: parallel, or serial where there is one task."""
        from tvm.script import tirx as T

        return T.parallel if self.count > 1 else T.serial

    def inside(self, row: Any) -> Any:
        """Whether a row of the last task exists; a plain true where tasks are all full."""
        from tvm import tirx

        return row < self.total if self.total % self.size else tirx.const(True, "bool")


def chunks(total: int, cores: int) -> list[int]:
    """Rows a task: powers of two, equal shares for the cores, and everything at once."""
    shares = {-(-total // (cores * n)) for n in (1, 2, 4, 8)}
    powers = {2**n for n in range(int(math.log2(total)) + 1)}
    # More tasks than this are never better: starting each takes longer than dividing evenly gains.
    return sorted(size for size in shares | powers | {total} if total // size <= 64 * cores)
