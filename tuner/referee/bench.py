"""What is built, run and timed inside of the sandbox: kernels of one workload, on inputs that come from outside.

Nothing here knows a seed or an expected output: outputs go into shared memory, and are compared outside.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart_runtime.dlpack import tensor
from schedules.compare import poison
from schedules.cuda.serial import serial
from schedules.lower import PREPARE, for_arrays, prepared
from schedules.schedule import Schedule
from schedules.space import apply
from schedules.workload import Argument, Workload, numpy_dtype
from targets import Target, detect, threads
from targets.errors import one_line
from tuner.ahead import UNCHECKED, build
from tuner.guarded import Guarded, guard, guarded_empty
from tuner.load import Counters, counters, disturbance
from tuner.referee.shared import attach
from tuner.timing import sample
from tuning_db.records import Status

if TYPE_CHECKING:
    from tvm.runtime import Module

# Characters of a program that go into a verdict.
MOST_SCRIPT = 16_000
NO_TIME = Counters(*[0.0] * len(fields(Counters)))


@dataclass
class Built:
    """A kernel, what lays out weights for it, and the weights of the inputs of now laid out.

    Attributes:
        module: with ``main``.
        prepare: with ``main_prepare``; None where the kernel takes weights as they are.
        wanted: the arrays that this writes.
        laid_out: those, with guards around them; empty before they are needed.
        call_s: seconds of the last call.
    """

    module: Module
    prepare: Module | None = None
    wanted: tuple[Argument, ...] = ()
    laid_out: list[Guarded] = field(default_factory=list)
    prepare_s: float = 0.0
    call_s: float = 0.0


class Bench:
    """Answers requests: ``build`` kernels by name, take the inputs of a ``case``, ``run`` and ``sample`` kernels."""

    def __init__(self, given: int, made: int) -> None:
        self._descriptors = given, made
        threads.bind(detect.cpus())
        self.unpinned = threads.unpinned(detect.cpus())
        self._workload: Workload | None = None
        self._kernels: dict[str, Built] = {}
        self._inputs: list[Guarded] = []
        self._outputs: list[Guarded] = []
        self._given: list[np.ndarray] = []
        self._made: list[np.ndarray] = []
        self._passed = NO_TIME

    def do_build(
        self,
        who: str,
        workload: Mapping[str, Any],
        target: Mapping[str, Any],
        schedule: Mapping[str, Any] | None,
        show: bool,
    ) -> Any:
        """Compile a schedule of a workload, or without one the workload as it is written; perhaps show the program."""
        start = time.perf_counter()
        if self._workload is None:
            self._workload = Workload.load(**workload)
            self._given = attach(self._descriptors[0], self._workload.input_arguments, write=False)
            self._made = attach(self._descriptors[1], self._workload.output_arguments, write=True)
        try:
            chip = Target.from_spec(target)
            self._kernels[who] = _built(self._workload, chip, schedule)
            build_s = time.perf_counter() - start
            program = _script(self._workload, chip, schedule) if show and schedule else ""
        except MemoryError as error:
            return {"status": Status.OVER_LIMIT, "error": f"out of memory: {error}"}
        except Exception as error:
            if "bad_alloc" in str(error):
                return {"status": Status.OVER_LIMIT, "error": "out of memory while it was built"}
            return {"status": Status.BUILD_ERROR, "error": one_line(error)}
        return {"status": Status.OK, "error": "", "build_s": build_s, "program": program}

    def do_case(self) -> Any:
        """Take the inputs that are in shared memory now."""
        assert self._workload is not None
        self._inputs = []  # their memory first
        for kernel in self._kernels.values():
            kernel.laid_out = []
        self._inputs = [guard(array) for array in self._given]
        if not self._outputs:
            arguments = self._workload.output_arguments
            self._outputs = [guarded_empty(a.shape, numpy_dtype(a.dtype)) for a in arguments]
        return {}

    def do_run(self, who: str) -> Any:
        """Call a kernel once on poisoned outputs, and pass on what it wrote."""
        return self._guarded(who, self._once)

    def do_sample(self, who: str, cold: bool) -> Any:
        """Time a kernel on poisoned outputs, and pass on what the timed calls wrote."""

        def timed(kernel: Built) -> dict[str, Any]:
            if not cold:
                self._once(kernel)  # what was done since the last sample has taken some of the cache
            self._poison()
            before = counters()
            seconds = sample(kernel.module, self._arguments(kernel), cold, kernel.call_s)
            self._note(before, counters())
            return {"seconds": seconds}

        return self._guarded(who, timed)

    def do_quiet(self) -> Any:
        """What else the machine did during the samples since this was last asked."""
        passed, self._passed = self._passed, NO_TIME
        return {"disturbed": disturbance(NO_TIME, passed) or ""}

    def do_probe(self, probe: str, around: dict[str, Any]) -> Any:
        """Try to do what must not be possible here."""
        from tuner.referee import probes

        return probes.run(probe, around)

    def _guarded(self, who: str, deed: Any) -> dict[str, Any]:
        kernel = self._kernels[who]
        try:
            self._lay_out(kernel)
            self._poison()
            found: dict[str, Any] = deed(kernel)
        except MemoryError as error:
            return {"status": Status.OVER_LIMIT, "error": f"out of memory: {error}"}
        except Exception as error:
            memory = "bad_alloc" in str(error) or "MemoryError" in str(error)
            return {"status": Status.OVER_LIMIT if memory else Status.RUN_ERROR, "error": one_line(error)}
        harm = self._harm(kernel)
        for shared, guarded in zip(self._made, self._outputs, strict=True):
            shared[...] = guarded.array
        return {"status": Status.OK, "error": "", "harm": harm, "prepare_s": kernel.prepare_s, **found}

    def _once(self, kernel: Built) -> dict[str, Any]:
        start = time.perf_counter()
        kernel.module["main"](*self._arguments(kernel))
        kernel.call_s = time.perf_counter() - start
        return {"seconds": kernel.call_s}

    def _arguments(self, kernel: Built) -> list[Any]:
        assert self._workload is not None
        inputs = [tensor(g.array) for g in self._inputs]
        if kernel.prepare is not None:
            inputs = self._workload.laid_out(inputs, [tensor(g.array) for g in kernel.laid_out])
        return [*inputs, *(tensor(g.array) for g in self._outputs)]

    def _lay_out(self, kernel: Built) -> None:
        """Lay out the weights of the inputs of now, once."""
        if kernel.prepare is None or kernel.laid_out:
            return
        assert self._workload is not None
        weights = [tensor(self._inputs[at].array) for at in self._workload.weights]
        made = [guarded_empty(a.shape, numpy_dtype(a.dtype)) for a in kernel.wanted]
        for guarded in made:
            poison(guarded.array)
        start = time.perf_counter()
        kernel.prepare["main" + PREPARE](*weights, *(tensor(g.array) for g in made))
        kernel.prepare_s = time.perf_counter() - start
        kernel.laid_out = made

    def _poison(self) -> None:
        for guarded in self._outputs:
            poison(guarded.array)

    def _harm(self, kernel: Built) -> str:
        """What was written beside an array; they are in order again afterwards."""
        assert self._workload is not None
        named = [*(a.name for a in self._workload.arguments), *(a.name for a in kernel.wanted)]
        for name, guarded in zip(named, [*self._inputs, *self._outputs, *kernel.laid_out], strict=False):
            harm = guarded.harm()
            if harm is not None:
                guarded.mend()
                return f"argument {name}: {harm}"
        return ""

    def _note(self, before: Counters, after: Counters) -> None:
        names = [f.name for f in fields(Counters)]
        passed = {n: getattr(self._passed, n) + getattr(after, n) - getattr(before, n) for n in names}
        self._passed = Counters(**passed)


def _script(workload: Workload, target: Target, schedule: Mapping[str, Any]) -> str:
    """The program that a schedule makes, as TVM prints it, for people; a long one is cut."""
    text = str(apply(workload, Schedule.from_json(schedule), target).script())
    return text if len(text) <= MOST_SCRIPT else f"{text[:MOST_SCRIPT]}\n# the first of {len(text)} characters"


def _built(workload: Workload, target: Target, schedule: Mapping[str, Any] | None) -> Built:
    import tvm

    if target.kind == "cuda":
        # No GPU and no nvcc in here: LLVM compiles what the kernel means.
        module = serial(apply(workload, Schedule.from_json(schedule), target)) if schedule else workload.prim_func
        return Built(tvm.compile(module, target="llvm").jit())
    if schedule is None:
        return Built(tvm.compile(for_arrays(workload.prim_func), target=target.to_tvm()).jit())
    made = build(workload, Schedule.from_json(schedule), target)
    wanted = prepared(workload, made.lowered)
    if not wanted:
        return Built(made.module)
    name = "main" + PREPARE
    with tvm.transform.PassContext(config=UNCHECKED):
        prepare = tvm.compile(tvm.IRModule({name: made.lowered[name]}), target=target.to_tvm()).jit()
    prepare[name]  # compiled when first looked up
    return Built(made.module, prepare, wanted)
