"""Run every kernel and plan of a bundle and compare with the references: in a process of its own, which may crash.

``python -m tuner.proving DIR`` is that process. It prints a line of JSON when it begins with a kernel and one when it
is done with it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headstart_runtime import bundle
from headstart_runtime.family import Family
from headstart_runtime.manifest import BundleKernel
from headstart_runtime.memory import empty
from headstart_runtime.row_plan import BundleFamily
from schedules.compare import mismatch, poison
from schedules.operator import make_operator
from schedules.workload import Workload
from targets import Target, resolve
from targets.errors import HeadstartError
from tuner.measure import unscheduled

SEED = 20_261_127


def prove(path: Path, listener: Callable[[str], None] = lambda label: None) -> None:
    """See that every kernel of a bundle for this machine computes what it should, and families at some numbers of rows.

    Args:
        path: the bundle.
        listener: called with each kernel, or number of rows, before it is run.

    Raises:
        HeadstartError: one does not; the message names it and says how.
    """
    command = [sys.executable, "-m", "tuner.proving", str(path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    at, wrong = "", None
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            told = json.loads(line)
            at, wrong = told["kernel"], told.get("wrong")
            if wrong:
                process.kill()
                break
            listener(at)
        errors = process.stderr.read().decode(errors="replace").strip().splitlines()
    if wrong:
        raise HeadstartError(f"{at} was built and computes something else: {wrong}; nothing was placed")
    if process.returncode:
        why = errors[-1][:300] if errors else f"exit code {process.returncode}"
        raise HeadstartError(f"{at or 'the bundle'} was built and does not run: {why}; nothing was placed")


def wrong_outputs(kernels: bundle.Bundle, entry: BundleKernel, target: Target) -> str | None:
    """What is wrong with a kernel's outputs on fresh inputs; None if nothing is."""
    workload = Workload.load(entry.operator, entry.params, entry.label)
    return _wrong(workload, target, kernels[entry.workload], kernels[entry.workload].allocate())


def wrong_rows(family: Family, rows: int, target: Target) -> Iterator[str | None]:
    """What is wrong with so many rows, by the plan, and by the function for any number where there is one."""
    entry = family.entry
    workload = Workload.of(make_operator(entry.operator, {**entry.params, entry.row_parameter: rows}))
    calls: list[Callable[..., Any]] = [family]
    if any(one.first <= rows <= one.last for one in entry.any):
        calls.append(family.kernel(rows))
    for call in calls:
        outputs = [empty(a.shape, a.numpy_dtype) for a in family.arguments(rows) if a.role == "output"]
        yield _wrong(workload, target, call, outputs)


def rows_to_prove(entry: BundleFamily) -> list[int]:
    """Numbers of rows at which a family is run: each way to do them that there is, at its ends.

    That is the first and last of each function for any number, and of plans the longest, the first that is padded, the
    largest, and one row more than that, which is done in pieces.
    """
    rows = {at for one in entry.any for at in (one.first, one.last)} | {1, entry.largest, entry.largest + 1}
    longest = max(entry.plans, key=lambda plan: len(plan.run))
    rows |= {longest.first, longest.last}
    padded = [plan.first for plan in entry.plans if len(plan.run) == 1 and plan.first < plan.run[0]]
    return sorted(rows | set(padded[:1]) | set(padded[-1:]))


def _wrong(workload: Workload, target: Target, call: Callable[..., Any], outputs: Sequence[np.ndarray]) -> str | None:
    inputs = workload.inputs(np.random.default_rng(SEED))
    expected = workload.reference(inputs)
    if expected is None:
        expected = unscheduled(workload, target, inputs)
    for output in outputs:
        poison(output)
    call(*inputs, *outputs)
    return mismatch(outputs, expected, workload.tolerances)


def main() -> None:
    """Say of each kernel of a bundle when it begins, and what is wrong with it."""
    kernels, target = bundle.load(sys.argv[1]), resolve("host")
    for entry in kernels.manifest.kernels:
        _say(f"{entry.operator} {entry.label}")
        _say(f"{entry.operator} {entry.label}", wrong_outputs(kernels, entry, target))
    for family in kernels.manifest.families:
        for rows in rows_to_prove(family):
            name = f"{family.names[0]} at {rows} rows"
            _say(name)
            for wrong in wrong_rows(kernels.family(family.names[0]), rows, target):
                _say(name, wrong)


def _say(name: str, wrong: str | None = None) -> None:
    print(json.dumps({"kernel": name, "wrong": wrong}), flush=True)


if __name__ == "__main__":
    main()
