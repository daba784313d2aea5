"""A process that builds and runs what strangers sent, and can do nothing else: see ``confine`` for what it gives up.

It lives for one claim. From outside it is bounded in wall-clock time and killed with whatever it started; what it
writes goes to a scratch folder that is removed with it; of this process's environment it has nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psutil

from schedules.workload import Argument
from targets.errors import HeadstartError
from tuner.child import Child, WorkerLost
from tuner.local_executor import ONE_BLAS_THREAD
from tuner.referee.confine import ROOT, isolates
from tuner.referee.shared import Shared

# TVM imports torch where it is installed, for a second and a half that no kernel needs.
PROGRAM = "import sys; sys.path.remove(''); sys.modules['torch'] = None; from tuner.referee.inmate import main; main()"
# What the dynamic loader needs where libraries lie elsewhere; nothing else of the environment is passed on.
PASSED = ("LD_LIBRARY_PATH", "LANG", "TZ")


@dataclass(frozen=True)
class Limits:
    """What a sandbox may use.

    Attributes:
        start, build, run: wall-clock seconds until it is ready, of compiling a kernel, of a call or a sample of one.
        cpu: seconds of all its threads together.
        memory: bytes of address space beyond eight times the arguments; a compiler needs two or three gigabytes.
        file: bytes of a file in the scratch folder.
    """

    start: float = 60.0
    build: float = 120.0
    run: float = 60.0
    cpu: int = 1800
    memory: int = 6 << 30
    file: int = 64 << 20


class Sandbox:
    """One process; close it, or use it as a context manager.

    Args:
        inputs, outputs: of the workload.
        limits: what it may use.
        confined: False for one that gives nothing up, on a system where that cannot be had.

    Raises:
        HeadstartError: it does not start, or cannot be kept from the network.
    """

    def __init__(
        self, inputs: Sequence[Argument], outputs: Sequence[Argument], limits: Limits, confined: bool = True
    ) -> None:
        self.limits = limits
        self.inputs, self.outputs = Shared(inputs, ours=True), Shared(outputs, ours=False)
        self.scratch = tempfile.mkdtemp(prefix="headstart-referee-")
        size = sum(a.nbytes for a in (*inputs, *outputs))
        memory = min(limits.memory + 8 * size, int(psutil.virtual_memory().total * 0.9))
        given = {"memory": memory, "cpu": limits.cpu, "file": max(limits.file, 0)}
        descriptors = self.inputs.descriptor, self.outputs.descriptor
        how = "confined" if confined else "free"
        command = [sys.executable, "-c", PROGRAM, self.scratch, json.dumps(given), *map(str, descriptors), how]
        self._child = Child(command, environment(self.scratch), self.scratch, descriptors)
        try:
            ready = self._child.start(limits.start)
        except WorkerLost as lost:
            self.close()
            raise HeadstartError(f"the sandbox does not start: {lost}") from None
        self.layers: dict[str, bool] = ready["layers"]
        self.unpinned: str = ready["unpinned"]
        if confined and not isolates(self.layers):
            self.close()
            raise HeadstartError(
                "this system has neither network namespaces nor a filter of system calls, so that what vendors sent "
                "could reach the network; see headstart referee --check"
            )

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def request(self, do: str, *timeouts: float, **arguments: Any) -> dict[str, Any]:
        """The answer to a request, see ``bench``.

        Raises:
            WorkerLost: the process died, or was killed because it took longer than allowed.
        """
        return self._child.request({"do": do, **arguments}, *timeouts)

    def close(self) -> None:
        """End the process and all that it started, and remove what it wrote."""
        self._child.kill()
        self.inputs.close()
        self.outputs.close()
        shutil.rmtree(self.scratch, ignore_errors=True)


def environment(scratch: str) -> Mapping[str, str]:
    """All of the environment of a process in the sandbox: no token, no proxy, nobody's home."""
    kept = {name: os.environ[name] for name in PASSED if name in os.environ}
    # What Python is told to look through may be read there: not the folder where somebody happened to start it.
    places = {os.path.abspath(place): None for place in sys.path if place}
    if os.getcwd() != str(ROOT):
        places.pop(os.getcwd(), None)
    return {
        **kept,
        **ONE_BLAS_THREAD,
        "PATH": "/usr/bin:/bin",
        "HOME": scratch,
        "TMPDIR": scratch,
        "PYTHONPATH": os.pathsep.join(places),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
    }
