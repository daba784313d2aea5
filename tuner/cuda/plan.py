"""What is to be run on a GPU elsewhere: workloads and schedules with their CUDA C, as a folder of files.

    python -m tuner.cuda.plan FOLDER --target h100

The folder holds ``plan.json`` and the text of each schedule. ``tuner/cuda/build.py`` compiles it where nvcc is, and
``tuner/cuda/run.py`` runs it where the GPU is; neither needs TVM.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from schedules.cuda.source import source
from schedules.operator import Operator
from schedules.schedule import Schedule
from schedules.space import apply, spaces_for
from schedules.workload import Workload
from targets import Target, resolve
from targets.errors import HeadstartError, one_line
from tuner.cuda.cases import CASES
from tuner.toolchain import toolchain


def schedules(workload: Workload, target: Target, count: int, seed: int = 0) -> Iterator[Schedule]:
    """The default, the seeds of every space, then random ones of each in turn, ``count`` in all where there are."""
    rng = np.random.default_rng(seed)
    found = spaces_for(workload, target)
    wanted = [schedule for space in found.values() for schedule in space.seeds()]
    for _ in range(2 * count):
        drawn = [space.sample(rng) for space in found.values()]
        wanted += [schedule for schedule in drawn if schedule is not None]
    yield from list(dict.fromkeys(wanted))[:count]


def make(folder: Path, operators: Sequence[Operator], target: Target, count: int) -> dict[str, Any]:
    """Write schedules of each operator into a folder, and the plan of it, which is returned as well."""
    folder.mkdir(parents=True, exist_ok=True)
    cases = []
    for operator in operators:
        workload = Workload.of(operator)
        lines = [_lowered(folder, workload, schedule, target) for schedule in schedules(workload, target, count)]
        cases.append(
            {
                "operator": operator.name,
                "params": operator.params(),
                "label": operator.label,
                "workload": workload.id,
                "flops": workload.flops,
                "bytes": workload.bytes,
                "arithmetic": workload.arithmetic,
                "inputs": [argument.name for argument in workload.input_arguments],
                "outputs": [argument.name for argument in workload.output_arguments],
                "schedules": lines,
            }
        )
        refused = [line["error"] for line in lines if "error" in line]
        print(f"{operator.name} {operator.label}: {len(lines)} schedules, {len(refused)} refused", *refused, flush=True)
    plan = {"target": target.spec(), "toolchain": dict(toolchain(target).versions), "cases": cases}
    (folder / "plan.json").write_text(json.dumps(plan, indent=1))
    return plan


def _lowered(folder: Path, workload: Workload, schedule: Schedule, target: Target) -> dict[str, Any]:
    line: dict[str, Any] = {"schedule": schedule.to_json(), "id": schedule.id}
    try:
        program = source(apply(workload, schedule, target), target)
    except (HeadstartError, RuntimeError, ValueError) as error:
        return line | {"error": one_line(error)}
    name = f"{workload.id}-{schedule.id}"
    (folder / f"{name}.cu").write_text(program.text)
    return line | {
        "file": name,
        "launches": [asdict(launch) for launch in program.launches],
        "scratch": program.scratch,
    }


def main() -> None:
    """The command above."""
    parser = argparse.ArgumentParser(description="Write schedules for a GPU that is elsewhere.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--target", default="h100")
    parser.add_argument("--count", type=int, default=24, help="schedules a workload")
    parser.add_argument("--only", default="", help="operators or labels that contain this")
    given = parser.parse_args()
    chosen = [case for case in CASES if given.only in f"{case.name} {case.label}"]
    make(given.folder, chosen, resolve(given.target), given.count)


if __name__ == "__main__":
    main()
