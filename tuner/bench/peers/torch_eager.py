"""torch as it comes: oneDNN or MKL for products, its own kernels for the rest."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from schedules.operator import Arrays
from tuner.bench import torch_ops
from tuner.bench.loaded import Loaded, Request, Unsupported, wrong
from tuner.bench.torch_ops.made import Made, Ways, array

# Calls by which the ways to compute an operator are compared.
CALLS = 3


def load(request: Request) -> Loaded:
    """The fastest right way to compute the operator."""
    return load_with(request, lambda module: module)


def load_with(request: Request, prepare: Callable[[torch.nn.Module], Callable[..., Any]]) -> Loaded:
    """The same with modules made into something else first: compiled, say."""
    operator = request.workload.instance
    ways = torch_ops.ways(operator) if operator is not None else {}
    if not ways:
        raise Unsupported(f"{request.workload.operator} is not written for torch here")
    torch.set_num_threads(request.target.cores)
    torch.set_grad_enabled(False)
    name, made = _fastest(request, ways)
    every = [made, *(ways[name](copy) for copy in request.copies[1:])]
    functions = [prepare(one.module) for one in every]
    results: list[Any] = [None] * len(every)

    def call(at: int) -> None:
        results[at] = functions[at](*every[at].arguments)

    near = [made.arguments[0].view(torch.uint8).numpy().reshape(-1)]
    calls = [functools.partial(call, at) for at in range(len(every))]
    return Loaded(calls, lambda: _arrays(results[0], request.reference), near, name, made.stand_in)


def _fastest(request: Request, ways: Ways) -> tuple[str, Made]:
    if len(ways) == 1:
        name, make = next(iter(ways.items()))
        return name, make(request.copies[0])
    found: tuple[float, str, Made] | None = None
    problems = []
    for name, make in ways.items():
        made = make(request.copies[0])
        problem = wrong(_arrays(made.module(*made.arguments), request.reference), request, made.stand_in)
        if problem is not None:
            problems.append(f"{name}: {problem}")
            continue
        seconds = min(_timed(made) for _ in range(CALLS))
        if found is None or seconds < found[0]:
            found = (seconds, name, made)
    if found is None:
        raise ValueError("; ".join(problems))
    return found[1], found[2]


def _timed(made: Made) -> float:
    start = time.perf_counter()
    made.module(*made.arguments)
    return time.perf_counter() - start


def _arrays(result: Any, like: Sequence[np.ndarray]) -> Arrays:
    results = result if isinstance(result, tuple) else (result,)
    return [array(value, reference) for value, reference in zip(results, like, strict=True)]
