"""The thread pool, in processes of their own since a pool can be made only once."""

import subprocess
import sys

PROGRAM = """
import os, sys
import tvm
from targets import detect, threads

cpus = detect.cpus()
if len(cpus) > 1 and hasattr(os, "sched_getaffinity"):
    assert threads.unpinned(cpus).startswith("no thread is bound to CPU"), threads.unpinned(cpus)
threads.bind(cpus)
assert not threads.unpinned(cpus) or not hasattr(os, "sched_getaffinity")
assert tvm.get_global_func("runtime.NumThreads")() == len(cpus)
if hasattr(os, "sched_getaffinity"):
    assert os.sched_getaffinity(0) == {cpus[0]}, os.sched_getaffinity(0)
# What this process may use is still known, though this thread is bound now.
detect.machine.cache_clear()
assert detect.cpus() == cpus
try:
    threads.bind([*cpus, cpus[0]])
except RuntimeError as error:
    assert "thread pool was made with" in str(error)
else:
    raise AssertionError("a pool that is too small was accepted")
"""


def test_the_pool_has_one_thread_for_each_core():
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
