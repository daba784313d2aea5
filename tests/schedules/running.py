"""Build the module of a schedule and run it, weights laid out first where it wants that."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tvm

from schedules.compare import mismatch
from schedules.workload import Workload, numpy_dtype
from targets import Target


def run(workload: Workload, module: tvm.IRModule, target: Target, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The outputs of a module of ``schedules.space.apply``, which start as no right answer."""
    built = tvm.compile(module, target=target.to_tvm())
    arrays = [tvm.runtime.tensor(array) for array in inputs]
    if "prepare" in [var.name_hint for var in module.get_global_vars()]:
        made = [(tuple(map(int, b.shape)), str(b.dtype)) for b in module["prepare"].params[len(workload.weights) :]]
        laid_out = [tvm.runtime.tensor(_poison(shape, dtype)) for shape, dtype in made]
        built["prepare"](*(arrays[at] for at in workload.weights), *laid_out)
        arrays = [array for at, array in enumerate(arrays) if at not in workload.weights] + laid_out
    outputs = [tvm.runtime.tensor(_poison(a.shape, a.dtype)) for a in workload.output_arguments]
    built["main"](*arrays, *outputs)
    return [output.numpy() for output in outputs]


def wrong(workload: Workload, module: tvm.IRModule, target: Target) -> str | None:
    """Run it on random inputs; what is wrong with the outputs, None if nothing is."""
    inputs = workload.inputs(np.random.default_rng(7))
    expected = workload.reference(inputs)
    assert expected is not None
    return mismatch(run(workload, module, target, inputs), expected, workload.tolerances)


def _poison(shape: Sequence[int], dtype: str) -> np.ndarray:
    kind = numpy_dtype(dtype)
    return np.full(int(np.prod(shape)) * kind.itemsize, 0xFF, np.uint8).view(kind).reshape(shape)
