"""Where TVM's thread pool runs: said before the first parallel kernel, since what TVM does by itself is wrong.

By itself, on x86, TVM takes half of the CPUs it sees (it supposes two hardware threads a core, so on a virtual machine
half of the cores lie idle), binds its threads to CPU numbers counted from 0, whatever the process was allowed, and
binds the caller too, which every child process started afterwards inherits. Threads that are not bound at all may
spend seconds on one core together while their spinning keeps each other from working.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence


def environment(cores: int) -> dict[str, str]:
    """Environment variables for a process that cannot call ``bind``: the right number of threads, bound TVM's way."""
    return {"TVM_NUM_THREADS": str(cores)}


def bind(cpus: Sequence[int]) -> None:
    """Run the parallel loops of this thread on these CPUs, one thread each, this thread on the first.

    TVM has one pool for each thread that runs kernels: call this there, before the first kernel. Processes that it
    starts later may run on the first CPU only, unless they are told otherwise.

    Args:
        cpus: such as ``targets.detect.cpus`` has.

    Raises:
        RuntimeError: this thread has run kernels already, and its pool is too small.
    """
    import tvm

    one_cpu_for_each_thread = -2
    tvm.get_global_func("runtime.config_threadpool")(one_cpu_for_each_thread, len(cpus), [str(cpu) for cpu in cpus])
    threads = tvm.get_global_func("runtime.NumThreads")()
    if threads != len(cpus):
        raise RuntimeError(f"TVM's thread pool was made with {threads} threads before {len(cpus)} were asked for")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {cpus[0]})


def unpinned(cpus: Sequence[int]) -> str:
    """What of ``bind`` did not come about, one line; empty where every CPU has a thread of this process to itself."""
    if not hasattr(os, "sched_getaffinity"):
        return "this operating system binds no threads"
    bound = set()
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(ProcessLookupError):
            allowed = os.sched_getaffinity(int(thread))
            bound |= allowed if len(allowed) == 1 else set()
    missing = sorted(set(cpus) - bound)
    return f"no thread is bound to CPU {', '.join(map(str, missing))}" if missing else ""
