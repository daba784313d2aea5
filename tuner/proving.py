"""Run every kernel of a bundle and compare with the references: in a process of its own, which may crash.

``python -m tuner.proving DIR`` is that process. It prints a line of JSON when it begins with a kernel and one when it
is done with it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from headstart_runtime import bundle
from headstart_runtime.manifest import BundleKernel
from schedules.compare import mismatch
from schedules.workload import Workload
from targets import Target, resolve
from targets.errors import HeadstartError
from tuner.measure import poison, unscheduled

SEED = 20_261_127


def prove(path: Path, listener: Callable[[str], None] = lambda label: None) -> None:
    """See that every kernel of a bundle for this machine computes what it should.

    Args:
        path: the bundle.
        listener: called with each kernel before it is run.

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
    inputs = workload.inputs(np.random.default_rng(SEED))
    expected = workload.reference(inputs)
    if expected is None:
        expected = unscheduled(workload, target, inputs)
    kernel = kernels[entry.workload]
    outputs = kernel.allocate()
    for output in outputs:
        poison(output)
    kernel(*inputs, *outputs)
    return mismatch(outputs, expected, workload.tolerances)


def main() -> None:
    """Say of each kernel of a bundle when it begins, and what is wrong with it."""
    kernels, target = bundle.load(sys.argv[1]), resolve("host")
    for entry in kernels.manifest.kernels:
        name = f"{entry.operator} {entry.label}"
        print(json.dumps({"kernel": name}), flush=True)
        print(json.dumps({"kernel": name, "wrong": wrong_outputs(kernels, entry, target)}), flush=True)


if __name__ == "__main__":
    main()
