"""What a kernel for a GPU means, run on a CPU: whole where that is quick, or else a few of its thread blocks."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from headstart_runtime.dlpack import tensor
from targets.backend import Program
from tuner.cuda.artefact import Artefact

# Thread blocks along each axis that are run first; if all of them are likely to take longer than this, no others are.
SOME, WHOLE_S = 3, 5.0


class SerialProgram(Program):
    """A kernel without its thread bindings, compiled by LLVM for this machine, one thread after the other, untimed."""

    def __init__(self, artefact: Artefact) -> None:
        self.artefact = artefact
        self._compiled = cache(self._compile)

    @property
    def notes(self) -> Mapping[str, Any]:  # type: ignore[override]
        """Resources by ptxas, and how many thread blocks of all were run."""
        return self.artefact.notes | {"thread_blocks": [self._all if self.whole else self._some, self._all]}

    @property
    def _all(self) -> int:
        return sum(launch.blocks for launch in self.artefact.launches)

    @property
    def _some(self) -> int:
        """Thread blocks that are run where some are: all of several kernels, which read what the first ones wrote."""
        if len(self.artefact.launches) > 1:
            return self._all
        return math.prod(min(SOME, size) for size in self.artefact.launches[0].grid)

    def call(
        self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray], calls: int, cold: bool
    ) -> Sequence[float]:
        """Run it once, however often it is asked to; no times."""
        arguments = [tensor(array) for array in (*inputs, *outputs)]
        self.whole = self._some == self._all or not self.part_will_do
        if not self.whole:
            kernel = self._compiled(SOME)
            start = time.perf_counter()
            kernel(*arguments)
            self.whole = (time.perf_counter() - start) * self._all / self._some <= WHOLE_S
        if self.whole:
            self._compiled(0)(*arguments)
        return []

    def _compile(self, blocks: int) -> Any:
        import tvm

        return tvm.compile(self.artefact.meaning(blocks), target="llvm").jit()["main"]
