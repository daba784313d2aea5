"""Build a schedule, run it, check what it wrote, time it: all in this process.

This is what a worker process does (``tuner/worker.py``); nothing else should call it on schedules that may crash.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart_runtime.dlpack import tensor
from headstart_runtime.memory import empty
from schedules.compare import mismatch, poison
from schedules.lower import for_arrays
from schedules.schedule import Schedule
from schedules.workload import Workload, numpy_dtype
from targets import Target
from tuner.ahead import UNCHECKED, Built, build, build_all, load
from tuner.guarded import guard, guarded_empty
from tuner.layout import Layouts
from tuner.load import counters, disturbance
from tuner.sequential import LONG_S, duel
from tuner.timing import WARM_SAMPLE_S, sample
from tuning_db.records import Policy

if TYPE_CHECKING:
    from tvm.runtime import Module

# Seconds of timed calls after which a trial without an incumbent has enough samples.
TIMING_S = 0.06
SAMPLES = (3, 10)
# How often a trial is taken while something else runs on the machine, and the pause before it is taken again.
TAKES, PAUSE_S = 3, 0.1


@dataclass
class Kernel:
    """A schedule, built and ready to run.

    Attributes:
        build_s: seconds that applying and compiling it took.
        inputs: what it takes before the outputs: inputs, weights perhaps laid out anew.
        prepare_s: seconds that laying them out takes.
        call_s: of its last call.
    """

    schedule: Schedule
    module: Module
    build_s: float
    inputs: Sequence[Any] = ()
    prepare_s: float = 0.0
    call_s: float = 0.0


@dataclass(frozen=True)
class Timing:
    """What timing a kernel gave.

    Attributes:
        samples: seconds of each timed call, or of a call in each timed group of them.
        ratios: samples over those of the incumbent, pair by pair; empty where there was none.
        wrong: what is wrong with the outputs of the timed calls; None if nothing is.
        disturbed: for each time that something else ran on the machine meanwhile and the trial was taken again, what.
        settled: whether the samples are of an undisturbed take.
        notes: what else the trial's evidence is to say.
    """

    samples: list[float]
    ratios: list[float]
    wrong: str | None
    disturbed: list[str]
    settled: bool
    notes: Mapping[str, Any] = field(default_factory=dict)


class Bench:
    """One workload on this machine with inputs, expected outputs and a way of timing.

    Raises:
        MemoryError: the arguments do not fit.
    """

    # What stands in for the chip, so that times mean nothing: it is the chip itself.
    untimed = ""

    def __init__(self, workload: Workload, target: Target, policy: Policy, seed: int) -> None:
        self.workload, self.target, self.policy = workload, target, policy
        inputs = [guard(array) for array in workload.inputs(np.random.default_rng(seed))]
        outputs = [guarded_empty(a.shape, numpy_dtype(a.dtype)) for a in workload.output_arguments]
        self.guards = [*inputs, *outputs]
        self.written = [guarded.array for guarded in outputs]
        # The arrays themselves, not copies of them: weights are large.
        self.inputs, self.outputs = [tensor(g.array) for g in inputs], [tensor(array) for array in self.written]
        # The incumbent writes elsewhere, so that its right answer does not stand in for a challenger's.
        self.spare = [tensor(empty(array.shape, array.dtype)) for array in self.written]
        self.expected = workload.reference([g.array for g in inputs])
        if self.expected is None:
            self.expected = unscheduled(workload, target, [g.array for g in inputs])
        self.layouts = Layouts(workload, target, self.inputs)
        self._patient = True
        self._ahead: dict[Schedule, Built | Exception] = {}

    def ahead(self, schedules: Sequence[Schedule], cpus: Sequence[int], done: Callable[[], None]) -> None:
        """Compile schedules that ``build`` will be asked for, see ``tuner.ahead``; drops those of last time."""
        self._ahead = build_all(self.workload, schedules, self.target, cpus, done)

    def take(self, schedule: Schedule, library: Path, seconds: float) -> None:
        """Have the kernel of a schedule that was built elsewhere, in so many seconds, for ``build``."""
        self._ahead[schedule] = load(self.workload, schedule, self.target, library, seconds)

    def forget(self) -> None:
        """Drop what was compiled ahead."""
        self._ahead = {}

    def build(self, schedule: Schedule) -> Kernel:
        """Apply a schedule and compile it, unless that was done ahead.

        Raises:
            Exception: whatever TVM or LLVM says of a schedule it cannot build.
        """
        import tvm

        built = self._ahead.pop(schedule, None) or build(self.workload, schedule, self.target)
        if isinstance(built, Exception):
            raise built
        with tvm.transform.PassContext(config=UNCHECKED):
            laid_out = self.layouts.take(built.lowered)
        if laid_out is None:
            return Kernel(schedule, built.module, built.seconds, self.inputs)
        inputs = self.workload.laid_out(self.inputs, laid_out.arrays)
        return Kernel(schedule, built.module, built.seconds, inputs, laid_out.seconds)

    def run(self, kernel: Kernel) -> None:
        """Call it once and note how long that took."""
        start = time.perf_counter()
        kernel.module["main"](*kernel.inputs, *self.outputs)
        kernel.call_s = time.perf_counter() - start

    def _sample(self, kernel: Kernel, outputs: Sequence[Any]) -> float:
        cold = self.policy.cache == "cold"
        # Arguments far larger than the last cache have flushed themselves.
        cold = cold and (kernel.call_s <= LONG_S or self.workload.bytes < 4 * self.target.l3)
        return sample(kernel.module, (*kernel.inputs, *outputs), cold, kernel.call_s)

    def measure(self, kernel: Kernel, incumbent: Kernel | None) -> Timing:
        """Time a kernel, against the incumbent if there is one, and check what the timed calls wrote.

        While something else runs on the machine, the trial is taken again, up to three times. Where that was in vain,
        the next ones are taken once each until one is left alone: what does not end is not waited for.
        """
        for array in self.written:
            poison(array)
        disturbed: list[str] = []
        for take in range(TAKES if self._patient else 1):
            if take:
                time.sleep(PAUSE_S)
            before = counters()
            samples, ratios = (self._alone(kernel), []) if incumbent is None else self._pairs(kernel, incumbent)
            reason = disturbance(before, counters())
            if reason is None:
                break
            disturbed.append(reason)
        self._patient = reason is None
        return Timing(samples, ratios, self.check(), disturbed, reason is None)

    def _alone(self, kernel: Kernel) -> list[float]:
        """Samples of a kernel that there is nothing to compare with."""
        samples = [self._sample(kernel, self.outputs) for _ in range(2)]
        per_sample = max(statistics.median(samples), 0.0 if self.policy.cache == "cold" else WARM_SAMPLE_S)
        low, high = SAMPLES
        more = min(max(int(TIMING_S / per_sample), low), high) - len(samples)
        return samples + [self._sample(kernel, self.outputs) for _ in range(more if per_sample < 0.5 else 0)]

    def _pairs(self, challenger: Kernel, incumbent: Kernel) -> tuple[list[float], list[float]]:
        """Samples of a challenger, and their ratios to the incumbent's."""
        return duel(
            lambda: self._sample(challenger, self.outputs),
            lambda: self._sample(incumbent, self.spare),
            challenger.call_s,
            incumbent.call_s,
        )

    def check(self) -> str | None:
        """Compare outputs with the reference and look at the guards; one line on what is wrong, None if nothing is."""
        assert self.expected is not None
        for argument, guarded in zip(self.workload.arguments, self.guards, strict=True):
            harm = guarded.harm()
            if harm is not None:
                guarded.mend()
                return f"argument {argument.name}: {harm}"
        return mismatch(self.written, self.expected, self.workload.tolerances)


def unscheduled(workload: Workload, target: Target, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What the program itself computes, built as written: the reference of a PrimFunc that no operator covers."""
    import tvm

    outputs = [empty(a.shape, numpy_dtype(a.dtype)) for a in workload.output_arguments]
    for output in outputs:
        poison(output)
    function = tvm.compile(for_arrays(workload.prim_func), target=target.to_tvm()).jit()["main"]
    function(*(tensor(array) for array in (*inputs, *outputs)))
    return outputs
