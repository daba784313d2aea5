"""What a job works on, as numbers that a report needs and the database has nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tuner.frontend.model import Model
from tuner.task import Task
from tuner.tasks import distinct


def plan_of(models: Sequence[Model], tasks: Sequence[Task]) -> dict[str, Any]:
    """The workloads of each step with their calls, the seconds below which the chip cannot be, and the key's ids.

    JSON types: ``steps`` (each with ``step`` and ``calls`` by workload), ``floors`` by workload, ``target``,
    ``toolchain`` and ``policy``.
    """
    steps = [{"step": asdict(m.step), "calls": {w.id: n for w, n in distinct(m).items()}} for m in models]
    floors = {task.workload.id: task.floor_s for task in tasks}
    key = {name: getattr(tasks[0].key, name) for name in ("target", "toolchain", "policy")} if tasks else {}
    return {"steps": steps, "floors": floors, **key}
