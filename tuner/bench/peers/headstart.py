"""Headstart's own kernels: a schedule, built for this chip, weights laid out beforehand as it wants them."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from headstart_runtime.dlpack import tensor
from headstart_runtime.memory import empty
from schedules.compare import poison
from schedules.lower import PREPARE, lower, prepared
from schedules.operator import Arrays
from schedules.schedule import Schedule
from schedules.workload import numpy_dtype
from targets.units import seconds
from tuner.bench.loaded import Loaded, Request

if TYPE_CHECKING:
    import tvm


def load(request: Request) -> Loaded:
    """Build the schedule that ``options`` name."""
    schedule = Schedule.from_json(request.options["schedule"])
    return of_module(request, lower(request.workload, schedule, request.target), schedule.space)


def of_module(request: Request, lowered: tvm.IRModule, note: str = "") -> Loaded:
    """Build a module such as ``schedules.lower`` makes, and bind it to the arguments."""
    import tvm

    made = prepared(request.workload, lowered)
    module = tvm.compile(lowered, target=request.target.to_tvm()).jit()
    calls, written, spent = [], [], 0.0
    for copy in request.copies:
        outputs = [empty(argument.shape, numpy_dtype(argument.dtype)) for argument in request.workload.output_arguments]
        for output in outputs:
            poison(output)
        inputs: Sequence[np.ndarray] = copy
        if made:
            weights = request.workload.weights
            laid_out = [empty(argument.shape, numpy_dtype(argument.dtype)) for argument in made]
            start = time.perf_counter()
            module["main" + PREPARE](*(tensor(copy[at]) for at in weights), *(tensor(array) for array in laid_out))
            spent = time.perf_counter() - start
            inputs = request.workload.laid_out(copy, laid_out)
        calls.append(functools.partial(module["main"], *(tensor(array) for array in (*inputs, *outputs))))
        written.append(outputs)

    def read() -> Arrays:
        return [array.copy() for array in written[0]]

    near = [array.reshape(-1).view(np.uint8) for array in (request.copies[0][0], *written[0])]
    return Loaded(calls, read, near, f"{note}, weights laid out in {seconds(spent)}" if made else note)
