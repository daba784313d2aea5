"""What builds on any node of a cluster: a task that makes a kernel of a schedule, for a measurer to load.

It only saves time. Whatever goes wrong here, the measurer builds the schedule itself and finds out what is wrong.
"""

from __future__ import annotations

import json
import resource
import tempfile
import time
from functools import cache
from pathlib import Path

import psutil

from schedules.lower import lower
from schedules.schedule import Schedule
from schedules.workload import Workload
from targets import Target
from targets.errors import HeadstartError
from tuner.ahead import UNCHECKED
from tuner.backends import backend_for
from tuner.link import check_linkable
from tuner.toolchain import toolchain

# Bytes that building a schedule may take.
HEADROOM = 3 << 30


def build(request: str) -> tuple[bytes, float]:
    """Build one schedule.

    Args:
        request: ``workload``, ``target``, ``schedule`` and the ``versions`` of the job's toolchain as JSON.

    Returns:
        The kernel as bytes of a shared library, or of whatever the target's backend makes, and the seconds that took.

    Raises:
        Exception: it cannot be built here.
    """
    import tvm

    asked = json.loads(request)
    _limit_memory()
    start = time.perf_counter()
    workload, target = Workload.load(**asked["workload"]), Target.from_spec(asked["target"])
    if dict(toolchain(target).versions) != asked["versions"]:
        raise HeadstartError("this node has another toolchain than the job")
    lowered = lower(workload, Schedule.from_json(asked["schedule"]), target)
    module = tvm.IRModule({"main": lowered["main"]}, attrs=lowered.attrs)
    backend = backend_for(target)
    with tempfile.TemporaryDirectory(prefix="headstart-") as folder:
        kernel = Path(folder) / "kernel.so"
        if backend is not None:
            kernel = backend.build(module, target, Path(folder))
        else:
            check_linkable(target)
            with tvm.transform.PassContext(config=UNCHECKED):
                tvm.compile(module, target=target.to_tvm()).export_library(str(kernel))
        return kernel.read_bytes(), time.perf_counter() - start


@cache
def _limit_memory() -> None:
    """Make allocations fail beyond what this process has now, once: a schedule that eats memory fails alone."""
    limit = psutil.Process().memory_info().vms + HEADROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))
