"""Claims that can be judged here, right in everything but what a test changes."""

from __future__ import annotations

from typing import Any

from schedules.schedule import Schedule
from schedules.workload import Workload
from targets import Target, detect
from tuner.referee.docket import Case, Claimed
from tuner.task import DEFAULT
from tuner.toolchain import toolchain
from tuning_db.records import Policy


def row(workload: Workload, **fields: Any) -> dict[str, Any]:
    """What a server says of a workload."""
    return {
        "id": workload.id,
        "operator": workload.operator,
        "params": dict(workload.params),
        "label": workload.label,
        "canonical": workload.canonical,
        "flops": workload.flops,
        "bytes": workload.bytes,
    } | fields


def claimed(
    of: Workload, schedule: Schedule = DEFAULT, median: float = 1.0, target: Target | None = None, **fields: Any
) -> Claimed:
    """A claim of a second, which any machine reproduces."""
    chip = target or detect.host()
    whole: dict[str, Any] = {
        "workload": row(of),
        "toolchain": toolchain(chip),
        "policy": Policy("warm", chip.cores),
    } | fields
    return Claimed("t1", "acme", "r1", schedule, median, target=chip, **whole)


def case(workload: Workload, schedule: Schedule = DEFAULT, median: float = 1.0, **fields: Any) -> Case:
    """The same, as it comes out of ``admit``, whatever the schedule is."""
    return Case(claimed(workload, schedule, median, **fields), workload, detect.host(), "", None, {})
