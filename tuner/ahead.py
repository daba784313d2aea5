"""Schedules built before it is their turn: several at a time, on all cores, while nothing is timed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from schedules.lower import lower
from schedules.schedule import Schedule
from schedules.workload import Workload
from targets import Target

if TYPE_CHECKING:
    import tvm
    from tvm.runtime import Module


# Checks of the arguments, which are ours, take a third of the time to compile; they are no part of the kernel.
UNCHECKED = {"tirx.disable_assert": True}


@dataclass(frozen=True)
class Built:
    """A schedule lowered, and its kernel compiled.

    Attributes:
        lowered: what ``schedules.lower.lower`` made of it.
        module: the kernel, ``main``, ready to be called.
        seconds: that this took.
    """

    lowered: tvm.IRModule
    module: Module
    seconds: float


def build(workload: Workload, schedule: Schedule, target: Target) -> Built:
    """Lower and compile one schedule.

    Raises:
        Exception: whatever TVM or LLVM says of a schedule it cannot build.
    """
    start = time.perf_counter()
    lowered = lower(workload, schedule, target)
    return _compiled(lowered, target, time.perf_counter() - start)


def load(workload: Workload, schedule: Schedule, target: Target, library: Path, seconds: float) -> Built:
    """Load the kernel that another process built of a schedule, in so many seconds.

    Raises:
        Exception: whatever TVM says of a schedule it cannot lower, or the system of a library it cannot load.
    """
    import tvm

    lowered = lower(workload, schedule, target)
    module = tvm.runtime.load_module(str(library))
    module["main"]
    return Built(lowered, module, seconds)


def build_all(
    workload: Workload, schedules: Sequence[Schedule], target: Target, cpus: Sequence[int], done: Callable[[], None]
) -> dict[Schedule, Built | Exception]:
    """Lower and compile several schedules; LLVM, which takes most of the time, works on all of them at once.

    Args:
        workload: of all of them.
        schedules: to build.
        target: to build for.
        cpus: to compile on, one thread each.
        done: called in this thread after each.

    Returns:
        For each schedule what ``build`` gives, or what it raises.
    """
    turn = count()
    found: dict[Schedule, Built | Exception] = {}

    def bind() -> None:
        # The calling thread is bound to a core of its own, and its threads would inherit that.
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {cpus[next(turn) % len(cpus)]})

    with ThreadPoolExecutor(len(cpus), initializer=bind) as pool:
        started: dict[Future[Built], Schedule] = {}
        for schedule in schedules:
            start = time.perf_counter()
            try:
                lowered = lower(workload, schedule, target)
            except Exception as error:
                found[schedule] = error
                done()
            else:
                started[pool.submit(_compiled, lowered, target, time.perf_counter() - start)] = schedule
        for future in as_completed(started):
            failed = future.exception()
            found[started[future]] = failed if isinstance(failed, Exception) else future.result()
            done()
    return found


def _compiled(lowered: tvm.IRModule, target: Target, seconds: float) -> Built:
    """Compile the kernel of a module that took so many seconds to lower."""
    import tvm

    start = time.perf_counter()
    with tvm.transform.PassContext(config=UNCHECKED):
        module = tvm.compile(tvm.IRModule({"main": lowered["main"]}), target=target.to_tvm()).jit()
    module["main"]  # compiled when first looked up
    return Built(lowered, module, seconds + time.perf_counter() - start)
