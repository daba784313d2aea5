"""Timed calls under a cache policy."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tvm.runtime import Module

# A sample covers at least this long when the cache is warm; a cold sample is one call by nature.
WARM_SAMPLE_S = 2e-3
# A call longer than this is timed from Python: calling costs one to two microseconds there.
DIRECT_S = 5e-4
FLUSH = "cache_flush_cpu_non_first_arg"


def flush() -> Callable[..., None]:
    """The function that writes its arguments back to memory and removes them from every cache (``clflush``)."""
    import tvm

    found: Callable[..., None] = tvm.get_global_func(FLUSH)
    return found


def sample(module: Module, arguments: Sequence[Any], cold: bool, call_s: float) -> float:
    """Seconds of one call: of one alone if ``cold``, else the mean of as many as make a good sample.

    Cold, all arguments but the first are flushed from the caches before the call: activations were just written,
    weights come from memory. Nothing else is called in between, so that nothing brings them back.

    Args:
        module: with the kernel as ``main``.
        arguments: tensors, inputs then outputs.
        cold: the policy's cache is ``cold``.
        call_s: seconds that a call took, roughly.
    """
    import tvm

    if call_s < DIRECT_S:
        # Timed in C++. It runs the kernel once before, which wakes the threads and, warm, fills the caches.
        number = 1 if cold else max(1, min(1000, int(WARM_SAMPLE_S / max(call_s, 1e-7))))
        evaluator = module.time_evaluator("main", tvm.cpu(), number=number, f_preproc=FLUSH if cold else "")
        return float(evaluator(*arguments).results[0])
    kernel, number = module["main"], 1 if cold else max(1, round(WARM_SAMPLE_S / call_s))
    if cold:
        flush()(*arguments)
    start = time.perf_counter()
    for _ in range(number):
        kernel(*arguments)
    return (time.perf_counter() - start) / number
