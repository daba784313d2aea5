"""Show that cold is cold: what a weight is read at under either cache policy, and what memory gives in the same loop.

Run as ``python -m tuner.coldness``. The weight fits into the last-level cache, so that a warm call may find it there. A
cold call that came out faster than one on a weight that no cache can hold would have found some of it in a cache.
"""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import dataclass

from schedules.operators.linear import Linear
from schedules.space import spaces_for
from schedules.workload import Workload
from targets import Target, detect, threads
from targets.units import rate
from tuner.measure import Bench, Kernel
from tuner.timing import sample
from tuning_db.records import Policy

# Columns of the weights: rows are added until they have the sizes that are wanted.
K = 4096
LEAST = 1 << 20


@dataclass(frozen=True)
class Coldness:
    """Medians of many calls of a linear layer of one row, taken in turn, in bytes a second.

    Attributes:
        size: bytes of the weight, half of the last-level cache.
        cold, warm: under that policy.
        memory: the same layer with a weight four times as large as all caches, nothing flushed.
    """

    size: int
    cold: float
    warm: float
    memory: float


def measure(target: Target, seconds: float = 5.0) -> Coldness:
    """Time all three on this machine, whose CPU ``target`` is, in this process."""
    size, large = max(target.l3 // 2, LEAST), 4 * max(target.l3 + target.cores * target.l2, LEAST)
    cold, warm, memory = (_Reader(target, *what) for what in ((size, "cold"), (size, "warm"), (large, "warm")))
    end = time.monotonic() + seconds
    while time.monotonic() < end or not memory.rates:
        for reader in (cold, warm, memory):
            reader.take()
    return Coldness(cold.size, *(statistics.median(reader.rates) for reader in (cold, warm, memory)))


class _Reader:
    """A layer whose weight has so many bytes, with a schedule that is known to read as fast as memory gives."""

    def __init__(self, target: Target, size: int, cache: str) -> None:
        workload = Workload.of(Linear(1, size // (4 * K), K))
        self.bench = Bench(workload, target, Policy(cache, target.cores), 0)
        self.size = workload.input_arguments[1].nbytes
        self.kernels = [self.bench.build(s) for s in spaces_for(workload, target)["linear_dot"].seeds()]
        self.kernel = min(self.kernels, key=self._time)
        self.rates: list[float] = []

    def _time(self, kernel: Kernel) -> float:
        self.bench.run(kernel)
        arguments = (*kernel.inputs, *self.bench.outputs)
        cold = self.bench.policy.cache == "cold"
        return min(sample(kernel.module, arguments, cold, kernel.call_s) for _ in range(3))

    def take(self) -> None:
        """Three samples; the first ones after another reader's find other things in the caches."""
        self.rates.append(self.size / self._time(self.kernel))


def main() -> None:
    """Measure and print."""
    # TVM imports torch where it is installed, for a second and a half that no kernel needs.
    sys.modules["torch"] = None  # type: ignore[assignment]
    threads.bind(detect.cpus())
    found = measure(detect.host())
    print(f"a weight of {found.size >> 20} MiB, read once a call; medians of many calls")
    for name in ("cold", "warm", "memory"):
        value = getattr(found, name)
        print(f"{name:<7} {rate(value, 'B/s'):>10} {value / found.memory:>6.0%} of memory")


if __name__ == "__main__":
    main()
