"""Whether a schedule for a GPU computes its workload, found out on a CPU.

The program is run with its thread bindings made serial (``schedules/cuda/serial.py``). Of a large one a few thread
blocks are run, the last ones among them, where tiles may stick out; what they wrote is compared with the reference.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from schedules.compare import mismatch
from schedules.cuda.serial import serial
from schedules.cuda.space import CudaSpace
from schedules.schedule import Schedule
from schedules.space import apply, spaces
from schedules.workload import Workload, numpy_dtype
from targets import Target

if TYPE_CHECKING:
    import tvm

# No output ends up as a run of these bytes by itself: NaN as any float.
UNWRITTEN = 0xFF


def meaning(workload: Workload, schedule: Schedule, target: Target, blocks: int = 0) -> tvm.IRModule:
    """The program of a schedule without thread bindings; ``blocks`` as of ``serial``.

    Raises:
        InputError: the schedule does not fit the workload and target.
    """
    space = spaces().get(schedule.space)
    if space is not None and issubclass(space, CudaSpace) and space.supports(workload, target):
        return space(workload, target).meaning(schedule, blocks)
    return serial(apply(workload, schedule, target), blocks)


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

    module = meaning(workload, schedule, target, blocks)
    inputs = workload.inputs(np.random.default_rng(seed))
    expected = workload.reference(inputs)
    assert expected is not None
    outputs = [tvm.runtime.tensor(_unwritten(a.shape, a.dtype)) for a in workload.output_arguments]
    built = tvm.compile(module, target="llvm")
    built["main"](*(tvm.runtime.tensor(array) for array in inputs), *outputs)
    found = [output.numpy() for output in outputs]
    if not blocks:
        return mismatch(found, expected, workload.tolerances)
    written = [_written(array) for array in found]
    if not all(mask.any() for mask in written):
        return "an output was not written by any of the thread blocks that were run"
    filled = [np.where(mask, array, right) for mask, array, right in zip(written, found, expected, strict=True)]
    return mismatch(filled, expected, workload.tolerances)


def _unwritten(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    kind = numpy_dtype(dtype)
    return np.full(math.prod(shape) * kind.itemsize, UNWRITTEN, np.uint8).view(kind).reshape(shape)


def _written(array: np.ndarray) -> np.ndarray:
    """Where an array holds something else than the bytes that it was filled with."""
    parts = np.ascontiguousarray(array).view(np.uint8).reshape(*array.shape, array.dtype.itemsize)
    mask: np.ndarray = (parts != UNWRITTEN).any(-1)
    return mask
