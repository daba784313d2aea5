"""Weights laid out as schedules want them, for measuring: made once for each layout, the last few kept."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import tvm_ffi

from headstart_runtime.dlpack import tensor
from schedules.compare import poison
from schedules.lower import PREPARE, prepared
from schedules.workload import Workload, numpy_dtype
from targets import Target
from tuner.guarded import guarded_empty

if TYPE_CHECKING:
    import tvm

# Many candidates of a search share a layout. Beyond so many bytes only the last one made is kept.
KEEP = 1 << 30


@dataclass(frozen=True)
class LaidOut:
    """Weights in one layout.

    Attributes:
        arrays: what the kernel takes in place of the weights; nobody may write to them.
        seconds: that one call of the function that writes them took.
    """

    arrays: tuple[tvm_ffi.Tensor, ...]
    seconds: float


class Layouts:
    """The weights of a workload in the layouts of its schedules."""

    def __init__(self, workload: Workload, target: Target, inputs: Sequence[tvm_ffi.Tensor]) -> None:
        self.workload, self.target = workload, target
        self.weights = [inputs[at] for at in workload.weights]
        self._made: OrderedDict[int, LaidOut] = OrderedDict()

    def take(self, module: tvm.IRModule) -> LaidOut | None:
        """The weights as a module of ``lower`` wants them; None where it takes them as they are.

        Raises:
            MemoryError: they do not fit a second time.
        """
        import tvm

        wanted = prepared(self.workload, module)
        if not wanted:
            return None
        function = module["main" + PREPARE]
        key = tvm_ffi.structural_hash(function)
        if key not in self._made:
            size = sum(argument.nbytes for argument in wanted)
            while self._made and size * (len(self._made) + 1) > KEEP:
                self._made.popitem(last=False)
            compiled = tvm.compile(tvm.IRModule({"main" + PREPARE: function}), target=self.target.to_tvm()).jit()
            # In their place from the beginning: a copy of the weights of an LM head takes a gigabyte.
            made = [guarded_empty(a.shape, numpy_dtype(a.dtype)) for a in wanted]
            # This takes the page faults of new memory, too, so that the call below is not timed with them.
            for guarded in made:
                poison(guarded.array)
            arguments = (*self.weights, *(tensor(guarded.array) for guarded in made))
            start = time.perf_counter()
            compiled["main" + PREPARE](*arguments)
            seconds = time.perf_counter() - start
            for guarded in made:
                guarded.seal()
            self._made[key] = LaidOut(tuple(tensor(guarded.array) for guarded in made), seconds)
        self._made.move_to_end(key)
        return self._made[key]
