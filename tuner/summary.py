"""What tuning a model came to: one row a workload, and the total weighted by how often the model calls each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tuner.frontend.missed import NAME as MISSES
from tuner.frontend.model import Model, Step
from tuner.task import Task
from tuning_db.selection import MEASURED


@dataclass(frozen=True)
class Row:
    """One workload of a model.

    Attributes:
        names: where it stands in the model.
        default_s, champion_s, floor_s: seconds of a call; None where not measured, 0.0 floor where peaks are unknown.
        bytes: least traffic of a call.
        bound: which side of the roof it is under, ``compute`` or ``memory``.
        untimed: what stood in for the chip, where there is a champion that is right and has no time; else empty.
    """

    workload: str
    names: tuple[str, ...]
    operator: str
    label: str
    calls: int
    trials: int
    flops: int
    bytes: int
    arithmetic: str
    bound: str
    default_s: float | None
    champion_s: float | None
    floor_s: float
    untimed: str = ""

    @property
    def tier(self) -> str | None:
        """How far the champion is trusted, as in a selection; None where there is none."""
        return "replayed" if self.untimed else MEASURED if self.champion_s is not None else None

    @property
    def speedup(self) -> float | None:
        """Default over champion."""
        return self.default_s / self.champion_s if self.default_s and self.champion_s else None

    @property
    def work(self) -> tuple[int, str]:
        """What bounds it, of one call, and the unit of that a second: operations, or bytes."""
        return (self.flops, "FLOP/s") if self.bound == "compute" and self.flops else (self.bytes, "B/s")

    @property
    def gflops(self) -> float | None:
        """Achieved 10^9 operations per second."""
        return self.flops / self.champion_s / 1e9 if self.champion_s else None

    @property
    def gbytes(self) -> float | None:
        """Achieved 10^9 bytes per second."""
        return self.bytes / self.champion_s / 1e9 if self.champion_s else None

    @property
    def roofline(self) -> float | None:
        """Fraction of the roofline reached."""
        return self.floor_s / self.champion_s if self.champion_s and self.floor_s else None

    def to_json(self) -> dict[str, Any]:
        """The fields and what follows from them as JSON types."""
        return {
            "workload": self.workload,
            "names": list(self.names),
            "operator": self.operator,
            "label": self.label,
            "calls": self.calls,
            "trials": self.trials,
            "flops": self.flops,
            "bytes": self.bytes,
            "bound": self.bound,
            "default_s": self.default_s,
            "champion_s": self.champion_s,
            "floor_s": self.floor_s,
            "speedup": self.speedup,
            "gflops": self.gflops,
            "gbytes": self.gbytes,
            "roofline": self.roofline,
            "tier": self.tier,
            "untimed": self.untimed or None,
        }


@dataclass(frozen=True)
class Summary:
    """Every workload of a model, most expensive first.

    Attributes:
        missing: operators of the model that Headstart does not have, with calls a step.
        setting: which step on which chip, for people.
    """

    model: str
    rows: tuple[Row, ...]
    missing: Mapping[str, int]
    setting: str = ""

    @property
    def measured(self) -> list[Row]:
        """Rows with both a default and a champion."""
        return [row for row in self.rows if row.default_s is not None and row.champion_s is not None]

    @property
    def untimed(self) -> list[Row]:
        """Rows with a champion that is right, and that nobody could time."""
        return [row for row in self.rows if row.untimed]

    @property
    def default_s(self) -> float:
        """Seconds of one step with default schedules, over the measured rows."""
        return sum(row.calls * (row.default_s or 0.0) for row in self.measured)

    @property
    def champion_s(self) -> float:
        """Seconds of one step with champions, over the measured rows."""
        return sum(row.calls * (row.champion_s or 0.0) for row in self.measured)

    @property
    def floor_s(self) -> float:
        """Seconds of one step at the roofline, over the measured rows."""
        return sum(row.calls * row.floor_s for row in self.measured)

    @property
    def speedup(self) -> float | None:
        """Default over champion, of one step."""
        return self.default_s / self.champion_s if self.champion_s else None

    @property
    def roofline(self) -> float | None:
        """Fraction of the roofline that one step reaches; None where a measured row has no known floor."""
        known = all(row.floor_s for row in self.measured)
        return self.floor_s / self.champion_s if self.champion_s and known else None

    def to_json(self) -> dict[str, Any]:
        """The summary as JSON types."""
        return {
            "model": self.model,
            "setting": self.setting,
            "workloads": [row.to_json() for row in self.rows],
            "missing": dict(self.missing),
            "total": {
                "measured": len(self.measured),
                "untimed": len(self.untimed),
                "default_s": self.default_s,
                "champion_s": self.champion_s,
                "floor_s": self.floor_s,
                "speedup": self.speedup,
                "roofline": self.roofline,
            },
        }


def summarise(model: Model, tasks: Sequence[Task]) -> Summary:
    """Put what tasks found in the order in which it matters to the model."""
    names: dict[str, list[str]] = {}
    missing: dict[str, int] = {}
    for op in model.ops:
        if op.tunable:
            names.setdefault(op.workload.id, []).append(op.name)
        else:
            missing[op.operator] = missing.get(op.operator, 0) + op.calls
    rows = [
        Row(
            workload=task.workload.id,
            names=tuple(names.get(task.workload.id, ())),
            operator=task.workload.operator,
            label=task.workload.label,
            calls=task.calls,
            trials=task.tried,
            flops=task.workload.flops,
            bytes=task.workload.bytes,
            arithmetic=task.workload.arithmetic,
            bound=task.bound,
            default_s=task.default_s,
            champion_s=task.champion_s,
            floor_s=task.floor_s,
            untimed=task.untimed if task.champion is not None and task.champion_s is None else "",
        )
        for task in tasks
    ]
    rows.sort(key=lambda row: -row.calls * (row.default_s or (row.floor_s if row.untimed else 0.0)))
    return Summary(model.name, tuple(rows), missing, _setting(None if model.name == MISSES else model.step, tasks))


def _setting(step: Step | None, tasks: Sequence[Task]) -> str:
    """The step, where there is one, and the chip in a line."""
    said = []
    if step is not None:
        said += [f"{step.phase} of {step.tokens} tokens", f"batch {step.batch}", f"{step.kv_len} keys"]
        said += [f"{name} {degree}" for name, degree in (("tp", step.tp), ("ep", step.ep)) if degree > 1]
    if not tasks:
        return ", ".join(said)
    return f"{', '.join([*said, f'{tasks[0].policy.cache} cache'])} on {tasks[0].target.name}"
