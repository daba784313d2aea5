"""Time a block of calls of one workload in this process."""

from __future__ import annotations

import time

from tuner.bench.evict import Evictor
from tuner.bench.loaded import Loaded

# Samples of a block.
LEAST, MOST = 3, 40
# A warm sample covers at least this long.
WARM_SAMPLE_S = 1e-3
# First calls of a block, which find threads asleep and caches full of another process's data, are dropped for this
# long, once at least; a call longer than LONG_S loses nothing worth a second one.
DROPPED_S, LONG_S = 0.01, 1.0
# The second copy is called for this long before a cold call, once at least. Threads and code that slept during an
# eviction are not at full speed with the call after: of a compiled norm in torch the second takes twice the time of
# the fifth.
WAKE_S = 2e-3


class Timer:
    """Times calls under a cache policy.

    Args:
        loaded: what is called.
        evictor: None where the cache is warm, or where a call evicts itself.
        cold: whether the cache is cold: each sample is then one call.
    """

    def __init__(self, loaded: Loaded, evictor: Evictor | None, cold: bool) -> None:
        self.loaded, self.evictor, self.cold = loaded, evictor, cold
        self.call_s = self._once()

    def block(self, seconds: float) -> list[float]:
        """Seconds a call, sample by sample, as many as fit into ``seconds`` of wall time, some at least."""
        start = time.perf_counter()
        while self.call_s < LONG_S:
            self.call_s = self._once()
            if time.perf_counter() - start >= DROPPED_S:
                break
        samples: list[float] = []
        start = time.perf_counter()
        least = LEAST if self.call_s < LONG_S else 1
        while len(samples) < least or (len(samples) < MOST and time.perf_counter() - start < seconds):
            samples.append(self._cold() if self.cold else self._warm())
        self.call_s = min(samples)
        return samples

    def _once(self) -> float:
        call = self.loaded.calls[0]
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    def _warm(self) -> float:
        call, number = self.loaded.calls[0], max(1, min(10_000, int(WARM_SAMPLE_S / max(self.call_s, 1e-7))))
        start = time.perf_counter()
        for _ in range(number):
            call()
        return (time.perf_counter() - start) / number

    def _cold(self) -> float:
        if self.evictor is not None:
            self.evictor.run()
        # The same code over other data: the interpreter, the kernel and its threads are as awake as in a model's step.
        start = time.perf_counter()
        for other in self.loaded.calls[1:]:
            other()
            while time.perf_counter() - start < WAKE_S:
                other()
        for array in self.loaded.near:
            array.max()
        return self._once()
