"""Build the module of a schedule and run it, weights laid out first where it wants that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tvm

from schedules.compare import mismatch
from schedules.operator import Operator
from schedules.space import KnobSpace
from schedules.workload import Workload, numpy_dtype
from targets import Target, detect


def run(workload: Workload, module: tvm.IRModule, target: Target, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The outputs of a module of ``schedules.space.apply``, which start as no right answer."""
    built = tvm.compile(module, target=target.to_tvm())
    arrays = [tvm.runtime.tensor(array) for array in inputs]
    if "prepare" in [var.name_hint for var in module.get_global_vars()]:
        made = [(tuple(map(int, b.shape)), str(b.dtype)) for b in module["prepare"].params[len(workload.weights) :]]
        laid_out = [tvm.runtime.tensor(_poison(shape, dtype)) for shape, dtype in made]
        built["prepare"](*(arrays[at] for at in workload.weights), *laid_out)
        arrays = workload.laid_out(arrays, laid_out)
    outputs = [tvm.runtime.tensor(_poison(a.shape, a.dtype)) for a in workload.output_arguments]
    built["main"](*arrays, *outputs)
    return [output.numpy() for output in outputs]


def wrong(
    workload: Workload, module: tvm.IRModule, target: Target, inputs: list[np.ndarray] | None = None
) -> str | None:
    """Run it on these inputs, or on random ones; what is wrong with the outputs, None if nothing is."""
    inputs = inputs or workload.inputs(np.random.default_rng(7))
    expected = workload.reference(inputs)
    assert expected is not None
    return mismatch(run(workload, module, target, inputs), expected, workload.tolerances)


def wrong_at(
    space: type[KnobSpace],
    operator: Operator,
    target: Target,
    config: Mapping[str, int],
    inputs: list[np.ndarray] | None = None,
) -> str | None:
    """Run a configuration, the first seed changed so, on this machine; what is wrong with the outputs.

    Args:
        target: what the space is to make a kernel for; it is built for the chip of this machine.
        inputs: random ones where none are given.
    """
    workload = Workload.of(operator)
    made = space(workload, target)
    nearest = made.nearest({**made.seeds()[0].config, **config})
    assert nearest is not None
    return wrong(workload, made.apply(nearest), detect.host(), inputs)


def _poison(shape: Sequence[int], dtype: str) -> np.ndarray:
    kind = numpy_dtype(dtype)
    return np.full(int(np.prod(shape)) * kind.itemsize, 0xFF, np.uint8).view(kind).reshape(shape)
