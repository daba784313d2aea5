"""Measure what the CPU of this machine can reach, in a process of its own."""

from __future__ import annotations

import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from targets import detect, peak_kernels, threads
from targets.errors import HeadstartError
from targets.target import Peaks, Target

# Of the method; a cached figure of another version is not used.
VERSION = 2
# All runs together, in seconds, and the length of the short ones, which fit between a neighbour's turns on a busy
# machine; runs of four times as long lose less to the start of a parallel loop on one of many cores.
SECONDS, RUN = 3.0, 0.001
# Intel's AMX: operations a cycle over those of two 512-bit float32 multiply-adds (64): 1024 bfloat16, 2048 int8.
# Source: Intel 64 and IA-32 Architectures Optimization Reference Manual, chapter on Intel AMX.
AMX = {"amx-bf16": ("bfloat16", 16), "amx-fp16": ("float16", 16), "amx-int8": ("int8", 32)}


def measure(target: Target, seconds: float = SECONDS) -> Peaks:
    """The peaks of this machine's CPU on all cores of ``target``.

    Every figure is the best of many short runs, taken in turns over the whole time: a neighbour can only lower it.

    Args:
        target: the host, as ``targets.detect`` describes it; its own peaks are not looked at.
        seconds: for all timed runs together; compiling and filling memory take some more.

    Raises:
        HeadstartError: the target is no CPU, or not this one, or a kernel failed or computed something wrong.
    """
    if target.kind != "llvm":
        raise HeadstartError(f"peaks are measured on CPUs only; {target.name} is a {target.kind} target")
    if target.cores != len(detect.cpus()):
        raise HeadstartError(f"peaks are measured on the machine itself, and {target.name} is not this one")
    spec = {name: getattr(target, name) for name in Target.__dataclass_fields__ if name != "peaks"}
    request = {"target": spec, "seconds": seconds, "cpus": detect.cpus()}
    command, failed = [sys.executable, "-m", "targets.peaks"], f"could not measure the peaks of {target.name}"
    try:
        run = subprocess.run(
            command, input=json.dumps(request), capture_output=True, text=True, check=False, timeout=120
        )
    except subprocess.TimeoutExpired:
        raise HeadstartError(f"{failed}: not done after two minutes") from None
    if run.returncode:
        reason = (run.stderr.strip().splitlines() or [f"exit code {run.returncode}"])[-1]
        raise HeadstartError(f"{failed}: {reason}")
    return Peaks(**json.loads(run.stdout.splitlines()[-1]))


@dataclass
class Probe:
    """One kernel, and the rates seen so far.

    Attributes:
        key: what it measures: an arithmetic, ``dram`` or ``cache``.
        work: operations or bytes of one step on all cores.
        run: the kernel run once for a number of steps, its result checked: seconds.
        steps: of one run, few enough for float32 to count them exactly.
        calibrated: whether more steps make the same measurement longer.
        rates: of every run that was sampled, but for those that find the threads asleep.
    """

    key: str
    work: int
    run: Callable[[int], float]
    steps: int = 1
    calibrated: bool = True
    rates: list[float] = field(default_factory=list)

    @property
    def best(self) -> float:
        """The highest rate: what the machine can do."""
        return max(self.rates)

    @property
    def typical(self) -> float:
        """The median rate: what it did, other work and all."""
        return statistics.median(self.rates)

    def calibrate(self) -> None:
        """Find the number of steps that takes about ``RUN`` seconds."""
        while self.calibrated and min(self.run(self.steps) for _ in range(3)) < RUN / 2 and self.steps < 2**20:
            self.steps = 2 * self.steps + 1

    def sample(self) -> None:
        """Run a few times more."""
        self.run(self.steps)
        for steps in (self.steps, 4 * self.steps + 1 if self.calibrated else self.steps):
            self.rates += [self.work * steps / self.run(steps) for _ in range(4)]


def probes(target: Target) -> list[Probe]:
    """Every probe that this machine's CPU has; TVM's thread pool must be bound, see ``targets.threads``."""
    # Several times what all caches hold, so that nothing of it is still there when its turn comes again.
    caches = target.l3 + target.cores * target.l2
    large = min(max(4 * caches, 2**29), (target.memory or 2**31) // 4)
    found = [_arithmetic(target, loop) for loop in peak_kernels.loops(target)]
    found.append(reading(target, "dram", large // target.cores, 16))
    if target.l2 >= 2 * target.l1d > 0:
        found.append(reading(target, "cache", target.l2 // 2, 1))
    return found


def _arithmetic(target: Target, loop: peak_kernels.Loop) -> Probe:
    import tvm

    kernel = _compiled(target, loop.kernel(target.cores))
    start = np.tile(loop.start(), target.cores)
    state, operands = tvm.runtime.tensor(start), tvm.runtime.tensor(loop.operands())

    def run(steps: int) -> float:
        state.copyfrom(start)
        seconds = _timed(kernel, state, operands, steps)
        _check(bool((state.numpy() == np.tile(loop.end(steps), target.cores)).all()), loop.arithmetic)
        return seconds

    return Probe(loop.arithmetic, target.cores * loop.operations, run)


def reading(target: Target, key: str, bytes_per_core: int, slices: int) -> Probe:
    """A probe of reads of one slice a run, in turn; a single slice is in a cache by its second run."""
    import tvm

    cores, lanes = target.cores, target.lanes
    elements = max(1, bytes_per_core // 4 // slices // peak_kernels.PERIOD) * peak_kernels.PERIOD
    data = tvm.runtime.from_dlpack(_large_pages(cores * slices * elements))
    _compiled(target, peak_kernels.fill_kernel(cores, slices * elements))(data)
    kernel = _compiled(target, peak_kernels.read_kernel(cores, slices * elements, slices, lanes))
    zeros = np.zeros(cores * peak_kernels.STREAMS * lanes, "int32")
    sums = tvm.runtime.tensor(zeros)
    turn = itertools.cycle(range(slices))

    def run(times: int) -> float:
        sums.copyfrom(zeros)
        seconds = _timed(kernel, data, sums, next(turn), times)
        found = sums.numpy().reshape(cores, -1).sum(axis=1, dtype=np.int64) % 2**32
        _check(bool((found == peak_kernels.read_total(elements, times)).all()), key)
        return seconds

    return Probe(key, 4 * cores * elements, run, calibrated=slices == 1)


def _large_pages(elements: int) -> np.ndarray:
    """An int32 array that starts a cache line, as weights lie in memory.

    numpy asks for large pages, where TVM's own arrays lie in small ones and are read an eighth more slowly: the
    processor looks up each page's address.
    """
    room = np.empty(elements + 16, "int32")
    start = -room.ctypes.data % 64 // 4
    return room[start : start + elements]


def _compiled(target: Target, kernel: Any) -> Callable[..., None]:
    import tvm

    function: Callable[..., None] = tvm.compile(tvm.IRModule({"main": kernel}), target.to_tvm()).jit()["main"]
    return function


def _timed(kernel: Callable[..., None], *arguments: Any) -> float:
    before = time.perf_counter()
    kernel(*arguments)
    return time.perf_counter() - before


def _check(right: bool, what: str) -> None:
    if not right:
        raise RuntimeError(f"the {what} kernel computed a wrong result")


def _measure_here(target: Target, seconds: float) -> Peaks:
    """What ``measure`` does, in this process."""
    every = probes(target)
    for probe in every:
        probe.calibrate()
    deadline = time.monotonic() + seconds
    while True:
        for probe in every:
            probe.sample()
        if time.monotonic() > deadline:
            break
    return peaks_of(target, every, lambda probe: probe.best)


def peaks_of(target: Target, every: Sequence[Probe], rate: Callable[[Probe], float]) -> Peaks:
    """The highest rate of the probes of each key, and what follows from them."""
    best: dict[str, float] = {}
    for probe in every:
        best[probe.key] = max(rate(probe), best.get(probe.key, 0.0))
    found = Peaks(best, best.pop("dram"), best.pop("cache", 0.0))
    derived = {key: factor * best["float32"] for name, (key, factor) in AMX.items() if target.has(name)}
    if not derived:
        return found
    source = f"measured; {' and '.join(derived)} derived from float32 by the width of AMX"
    return replace(found, flops=best | derived, source=source)


def _main() -> None:
    # TVM imports torch where it is installed, which takes longer than all that comes before the first kernel.
    sys.modules["torch"] = None  # type: ignore[assignment]
    request = json.load(sys.stdin)
    threads.bind(request["cpus"])
    print(json.dumps(asdict(_measure_here(Target.from_spec(request["target"]), request["seconds"]))))


if __name__ == "__main__":
    _main()
