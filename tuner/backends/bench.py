"""One workload on a device behind a backend: the verbs and the checks of ``tuner.measure.Bench``."""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tvm_ffi

from schedules.compare import mismatch, mismatch_in_part, poison
from schedules.lower import PREPARE, lower, prepared
from schedules.schedule import Schedule
from schedules.workload import Workload, numpy_dtype
from targets import Target
from targets.backend import Backend, Program
from targets.host import host
from tuner.layout import KEEP
from tuner.measure import SAMPLES, TIMING_S, Timing, unscheduled
from tuner.sequential import duel
from tuner.timing import WARM_SAMPLE_S
from tuning_db.records import Policy

if TYPE_CHECKING:
    import tvm


@dataclass
class DeviceKernel:
    """A schedule, built and loaded on the device; attributes as those of ``tuner.measure.Kernel``."""

    schedule: Schedule
    program: Program
    build_s: float
    inputs: Sequence[np.ndarray] = ()
    prepare_s: float = 0.0
    call_s: float = 0.0


@dataclass(frozen=True)
class _Built:
    lowered: tvm.IRModule
    artefact: Path
    seconds: float


@dataclass
class _Files:
    """Folders of kernels, which go when the bench goes."""

    root: tempfile.TemporaryDirectory[str] = field(
        default_factory=lambda: tempfile.TemporaryDirectory(prefix="headstart-", ignore_cleanup_errors=True)
    )

    def folder(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.root.name))


class BackendBench:
    """One workload on a device with inputs, expected outputs and a way of timing.

    Where the backend is not ``timed``, a kernel is run once and what it wrote is checked; there are no samples.

    Raises:
        MemoryError: the arguments do not fit.
        InputError: the workload has no reference, and its own program cannot be run here.
    """

    def __init__(
        self, backend: Backend, device: str, workload: Workload, target: Target, policy: Policy, seed: int
    ) -> None:
        self.backend, self.device = backend, device
        self.untimed = "" if backend.timed else device
        self.workload, self.target, self.policy = workload, target, policy
        self.inputs = [_kept(array) for array in workload.inputs(np.random.default_rng(seed))]
        self.written = [np.empty(a.shape, numpy_dtype(a.dtype)) for a in workload.output_arguments]
        # The incumbent writes elsewhere, so that its right answer does not stand in for a challenger's.
        self.spare = [np.empty_like(array) for array in self.written]
        reference = workload.reference(self.inputs)
        self.expected = unscheduled(workload, host(), self.inputs) if reference is None else reference
        self._layouts: OrderedDict[int, tuple[list[np.ndarray], float]] = OrderedDict()
        self._ahead: dict[Schedule, _Built | Exception] = {}
        self._files = _Files()

    def ahead(self, schedules: Sequence[Schedule], cpus: Sequence[int], done: Callable[[], None]) -> None:
        """Build schedules that ``build`` will be asked for, on all cores at once; drops those of last time."""
        self._ahead = {}

        def free() -> None:
            # The calling thread is bound to a core of its own, and its threads would inherit that.
            if hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(0, cpus)

        with ThreadPoolExecutor(len(cpus), initializer=free) as pool:
            started: dict[Future[_Built], Schedule] = {}
            for schedule in schedules:
                start = time.perf_counter()
                try:
                    lowered = lower(self.workload, schedule, self.target)
                except Exception as error:
                    self._ahead[schedule] = error
                    done()
                else:
                    started[pool.submit(self._built, lowered, time.perf_counter() - start)] = schedule
            for future in as_completed(started):
                failed = future.exception()
                self._ahead[started[future]] = failed if isinstance(failed, Exception) else future.result()
                done()

    def take(self, schedule: Schedule, artefact: Path, seconds: float) -> None:
        """Have what the backend built of a schedule elsewhere, in so many seconds, for ``build``.

        The next kernel may come in the same file, while a backend reads this one's as long as it runs.
        """
        kept = self._files.folder() / artefact.name
        shutil.copyfile(artefact, kept)
        self._ahead[schedule] = _Built(lower(self.workload, schedule, self.target), kept, seconds)

    def forget(self) -> None:
        """Drop what was built ahead."""
        self._ahead = {}

    def build(self, schedule: Schedule) -> DeviceKernel:
        """Apply a schedule, build it unless that was done ahead, and load it on the device.

        Raises:
            Exception: whatever TVM, LLVM or the backend says of a schedule it cannot build.
        """
        built = self._ahead.pop(schedule, None)
        if built is None:
            start = time.perf_counter()
            lowered = lower(self.workload, schedule, self.target)
            built = self._built(lowered, time.perf_counter() - start)
        if isinstance(built, Exception):
            raise built
        program = self.backend.load(built.artefact, self.target, self.device)
        program.part_will_do = bool(self.untimed)
        inputs, prepare_s = self._laid_out(built.lowered)
        return DeviceKernel(schedule, program, built.seconds, inputs, prepare_s)

    def _built(self, lowered: tvm.IRModule, seconds: float) -> _Built:
        """Build the kernel of a module that took so many seconds to lower."""
        start = time.perf_counter()
        artefact = self._build_function(lowered, "main")
        return _Built(lowered, artefact, seconds + time.perf_counter() - start)

    def _build_function(self, lowered: tvm.IRModule, name: str) -> Path:
        """Build one function of a module, with what the module says of it, as ``main``."""
        import tvm

        module = tvm.IRModule({"main": lowered[name].with_attr("global_symbol", "main")}, attrs=lowered.attrs)
        return self.backend.build(module, self.target, self._files.folder())

    def _laid_out(self, lowered: tvm.IRModule) -> tuple[Sequence[np.ndarray], float]:
        """The inputs as a kernel takes them, its weights perhaps laid out anew, and the seconds that takes."""
        wanted = prepared(self.workload, lowered)
        if not wanted:
            return self.inputs, 0.0
        key = tvm_ffi.structural_hash(lowered["main" + PREPARE])
        if key not in self._layouts:
            size = sum(argument.nbytes for argument in wanted)
            while self._layouts and size * (len(self._layouts) + 1) > KEEP:
                self._layouts.popitem(last=False)
            program = self.backend.load(self._build_function(lowered, "main" + PREPARE), self.target, self.device)
            made = [np.empty(a.shape, numpy_dtype(a.dtype)) for a in wanted]
            weights = [self.inputs[at] for at in self.workload.weights]
            times = program.call(weights, made, 1, False)
            self._layouts[key] = [_kept(array) for array in made], sum(times)
        self._layouts.move_to_end(key)
        arrays, seconds = self._layouts[key]
        return self.workload.laid_out(self.inputs, arrays), seconds

    def run(self, kernel: DeviceKernel) -> None:
        """Call it once, with outputs that no right answer has, and note how long that took."""
        for array in self.written:
            poison(array)
        start = time.perf_counter()
        times = kernel.program.call(kernel.inputs, self.written, 1, False)
        kernel.call_s = times[0] if times else time.perf_counter() - start

    def measure(self, kernel: DeviceKernel, incumbent: DeviceKernel | None) -> Timing:
        """Time a kernel, against the incumbent if there is one, and check what the timed calls wrote.

        Where times mean nothing, what the call of ``run`` wrote is checked.
        """
        notes = dict(kernel.program.notes)
        if self.untimed:
            return Timing([], [], self.check(kernel.program), [], True, notes)
        for array in self.written:
            poison(array)
        samples, ratios = (self._alone(kernel), []) if incumbent is None else self._pairs(kernel, incumbent)
        return Timing(samples, ratios, self.check(kernel.program), [], True, notes)

    def _sample(self, kernel: DeviceKernel, outputs: Sequence[np.ndarray]) -> float:
        """Seconds of one call if cold, else the mean of as many as make a good sample."""
        cold = self.policy.cache == "cold"
        number = 1 if cold else max(1, min(1000, int(WARM_SAMPLE_S / max(kernel.call_s, 1e-7))))
        return statistics.fmean(kernel.program.call(kernel.inputs, outputs, number, cold))

    def _alone(self, kernel: DeviceKernel) -> list[float]:
        samples = [self._sample(kernel, self.written) for _ in range(2)]
        low, high = SAMPLES
        more = min(max(int(TIMING_S / max(statistics.median(samples), 1e-9)), low), high) - len(samples)
        return samples + [self._sample(kernel, self.written) for _ in range(more)]

    def _pairs(self, challenger: DeviceKernel, incumbent: DeviceKernel) -> tuple[list[float], list[float]]:
        """Samples of a challenger, and their ratios to the incumbent's."""
        return duel(
            lambda: self._sample(challenger, self.written),
            lambda: self._sample(incumbent, self.spare),
            challenger.call_s,
            incumbent.call_s,
        )

    def check(self, program: Program) -> str | None:
        """Compare what a program wrote with the reference; one line on what is wrong, None if nothing is."""
        slack = self.backend.slack(self.workload.arithmetic)
        tolerances = [replace(each, atol=slack * each.atol) for each in self.workload.tolerances]
        differ = mismatch if program.whole else mismatch_in_part
        return differ(self.written, self.expected, tolerances)


def _kept(array: np.ndarray) -> np.ndarray:
    """The array, contiguous, and from now on nobody's to write to."""
    array = np.ascontiguousarray(array)
    array.flags.writeable = False
    return array
