"""What the machine itself can do, in the same loop as everything else: multiply-adds, reads from memory and caches."""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict
from typing import Any

from targets import Target, peak_kernels
from targets.peaks import Probe, peaks_of, probes, reading
from tuner.bench.evict import Evictor


class Roof:
    """Probes of this machine; made once, since filling memory takes a while.

    Args:
        target: the chip of this machine.
        evictor: what peers are made cold by, to be put to the test.
    """

    def __init__(self, target: Target, evictor: Evictor) -> None:
        self.target, self.evictor = target, evictor
        self._probes = probes(target)
        for probe in self._probes:
            probe.calibrate()
        self._sized: Probe | None = None

    def load(self, nbytes: int) -> None:
        """Have an array of about ``nbytes`` at hand, to see whether the evictor evicts it."""
        least = 4 * peak_kernels.PERIOD
        self._sized = reading(self.target, "sized", max(least, nbytes // self.target.cores), 1)

    def block(self, seconds: float) -> dict[str, Any]:
        """Rates seen in ``seconds``, and what reading the array of ``load`` takes after an eviction and right after.

        Medians, since those of peers are: what other programs take from both cancels out.

        Returns:
            ``peaks``: fields of ``Peaks``; ``cold`` and ``warm``: bytes a second of the array.
        """
        for probe in self._probes:
            probe.rates.clear()
        end = time.perf_counter() + seconds
        while True:
            for probe in self._probes:
                probe.sample()
            if time.perf_counter() > end:
                break
        assert self._sized is not None
        cold, warm = [], []
        for _ in range(5):
            self._sized.run(1)
            self.evictor.run()
            cold.append(self._sized.run(1))
            warm.append(min(self._sized.run(1) for _ in range(3)))
        work = self._sized.work
        return {
            "peaks": asdict(peaks_of(self.target, self._probes, lambda probe: probe.typical)),
            "cold": work / statistics.median(cold),
            "warm": work / statistics.median(warm),
        }
