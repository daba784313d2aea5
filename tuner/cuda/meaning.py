"""Whether a schedule for a GPU computes its workload, found out on a CPU.

The program is run with its thread bindings made serial (``schedules/cuda/serial.py``). Of a large one a few thread
blocks are run, the last ones among them, where tiles may stick out; what they wrote is compared with the reference.
"""

from __future__ import annotations

import numpy as np

from headstart_runtime.dlpack import tensor
from schedules.compare import mismatch, mismatch_in_part, poison
from schedules.cuda.serial import serial
from schedules.schedule import Schedule
from schedules.space import apply
from schedules.workload import Workload, numpy_dtype
from targets import Target


def wrong(workload: Workload, schedule: Schedule, target: Target, blocks: int = 0, seed: int = 0) -> str | None:
    """What is wrong with what a schedule computes, None if nothing is.

    Args:
        workload: of an operator, which has a reference.
        schedule: for the target, which need not be here.
        target: a GPU.
        blocks: thread blocks along each axis that are run, 0 for all; then every element must be written.
        seed: of the inputs.

    Raises:
        InputError: the schedule does not fit the workload and target.
    """
    import tvm

    module = serial(apply(workload, schedule, target), blocks)
    inputs = workload.inputs(np.random.default_rng(seed))
    expected = workload.reference(inputs)
    assert expected is not None
    found = [np.empty(a.shape, numpy_dtype(a.dtype)) for a in workload.output_arguments]
    for output in found:
        poison(output)
    tvm.compile(module, target="llvm").jit()["main"](*(tensor(array) for array in (*inputs, *found)))
    return (mismatch_in_part if blocks else mismatch)(found, expected, workload.tolerances)
