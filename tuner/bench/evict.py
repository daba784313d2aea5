"""Make every cache forget: the one way in which all peers get cold arguments, wherever they keep their weights."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

import numpy as np

from targets import Target

# Times the caches of all cores together, so that whatever the caches' rule of replacement nothing is left.
TIMES = 4


class Evictor:
    """Streams through memory of four times what the caches hold, on each CPU at once, since each has caches of its own.

    A framework that packs weights keeps them where nobody can flush their addresses, so what is evicted is everything.
    The threads sleep between calls. Every element is written too: a cache gives way to changed lines like to others,
    and pages that were never written would all be one page of zeros.

    Args:
        target: whose caches.
        cpus: the CPUs that kernels run on.
    """

    def __init__(self, target: Target, cpus: Sequence[int]) -> None:
        per_cpu = TIMES * caches(target) // len(cpus)
        self._parts = [np.zeros(max(per_cpu, 2**20) // 8, np.int64) for _ in cpus]
        self._start, self._end = threading.Barrier(len(cpus) + 1), threading.Barrier(len(cpus) + 1)
        for cpu, part in zip(cpus, self._parts, strict=True):
            threading.Thread(target=self._serve, args=(cpu, part), daemon=True).start()

    def _serve(self, cpu: int, part: np.ndarray) -> None:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {cpu})  # of this thread alone
        while True:
            self._start.wait()
            np.add(part, 1, out=part)
            self._end.wait()

    def run(self) -> None:
        """Return when nothing that was in a cache before is there any more."""
        self._start.wait()
        self._end.wait()


def caches(target: Target) -> int:
    """Bytes that all caches hold together."""
    return target.l3 + target.cores * (target.l2 + target.l1d)


def evicts_itself(nbytes: int, target: Target) -> bool:
    """Whether a call moves so much that nothing of it is left for the next."""
    return nbytes >= TIMES * caches(target)
