"""The process that builds and measures, so that a schedule that crashes, hangs or eats memory costs one trial.

It reads one JSON request a line on standard input and answers with JSON lines on standard output; nothing is pickled.
A request is answered by any number of ``{"stage": ...}`` lines, as it gets further, and one ``{"done": ...}`` line.
Started by ``tuner/executor.py``.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import psutil

from schedules.schedule import Schedule
from schedules.workload import Workload
from targets import Target, detect, threads
from targets.backend import DeviceLost, OverLimit, OverTime
from targets.errors import HeadstartError, one_line
from tuner import children
from tuner.backends import backend_for, devices
from tuner.backends.bench import BackendBench, DeviceKernel
from tuner.measure import Bench, Kernel
from tuning_db.records import Policy, Status

# Bytes that building and running a schedule may take beyond the arguments and weights that are laid out anew: compilers
# need some, kernels little.
HEADROOM = 3 << 30
# PR_SET_PDEATHSIG of Linux's prctl.
SIGNAL_WHEN_PARENT_ENDS = 1


class Worker:
    """Serves requests about one workload at a time."""

    def __init__(self, replies: IO[str]) -> None:
        self.replies = replies
        # Both kinds of bench have the same verbs; each is given the kernels that it built itself.
        self.bench: Any = None
        self.incumbent: Kernel | DeviceKernel | None = None
        self.challenger: Kernel | DeviceKernel | None = None
        self.unpinned = ""
        self._request = 0
        self._process = os.getpid()

    def reply(self, value: Mapping[str, Any]) -> None:
        """Send one line; a copy of this process that a trial forked has nothing to say, and ends."""
        if os.getpid() != self._process:
            os._exit(0)
        self.replies.write(json.dumps({"to": self._request, **value}) + "\n")
        self.replies.flush()

    def serve(self, requests: IO[str]) -> None:
        """Answer requests until the other side closes."""
        for line in requests:
            request = json.loads(line)
            self._request = request.pop("request")
            self.reply({"done": getattr(self, "do_" + request.pop("do"))(**request)})

    def do_load(
        self,
        workload: Mapping[str, Any],
        target: Mapping[str, Any],
        policy: Mapping[str, Any],
        seed: int,
        device: str = "",
    ) -> Any:
        """Make inputs and expected outputs of a workload; ``device`` is one of those of the chip, or the first."""
        self.bench = self.incumbent = self.challenger = None  # free the last workload's memory first
        chip, how = Target.from_spec(target), Policy(**policy)
        backend = backend_for(chip)
        limited = backend is None or backend.limits_memory
        if limited:
            _limit_memory()
        try:
            made = Workload.load(**workload)
            if backend is None:
                self.bench = Bench(made, chip, how, seed)
            else:
                self.bench = BackendBench(backend, device or devices(chip)[0], made, chip, how, seed)
        except MemoryError:
            return {"error": "the arguments of this workload do not fit into memory"}
        except HeadstartError as error:
            return {"error": str(error)}
        if limited:
            # Champion and challenger may each have the weights in a layout of their own.
            _limit_memory(HEADROOM + 2 * sum(made.arguments[at].nbytes for at in made.weights))
        return {}

    def do_ahead(self, schedules: Sequence[Mapping[str, Any]]) -> Any:
        """Compile schedules whose trials come next."""
        assert self.bench is not None
        wanted = [Schedule.from_json(schedule) for schedule in schedules]
        self.bench.ahead(wanted, detect.cpus(), lambda: self.reply({"stage": "built"}))
        if children.end():
            self.bench.forget()  # whoever it was is found out when each is built by itself
        return {}

    def do_trial(self, schedule: Mapping[str, Any], built: tuple[str, float] | None = None) -> Any:
        """Build a schedule, run it, time it against the incumbent, check it; the kernel stays as the challenger.

        Where it was ``built`` elsewhere, that is the file and the seconds it took.
        """
        self.challenger = None
        result = self._trial(Schedule.from_json(schedule), self.incumbent, built)
        strays = children.end()
        if strays:
            self.challenger = None
            found = f"started {strays} process{'es' if strays > 1 else ''} of its own"
            result |= {"status": Status.RUN_ERROR, "error": found, "samples": []}
        return result

    def _trial(
        self, schedule: Schedule, incumbent: Kernel | DeviceKernel | None, built: tuple[str, float] | None
    ) -> dict[str, Any]:
        assert self.bench is not None
        result: dict[str, Any] = {"status": Status.BUILD_ERROR, "error": "", "samples": [], "build_s": 0.0}
        result |= {"ratios": [], "notes": {"unpinned": self.unpinned} if self.unpinned else {}}
        result["notes"] |= {"untimed": self.bench.untimed} if self.bench.untimed else {}
        try:
            if built is not None:
                self.bench.take(schedule, Path(built[0]), built[1])
            kernel = self.bench.build(schedule)
            result |= {"status": Status.RUN_ERROR, "build_s": kernel.build_s}
            if kernel.prepare_s:
                result["notes"] |= {"prepare_s": kernel.prepare_s}
            self.reply({"stage": "built", "build_s": kernel.build_s})
            self.bench.run(kernel)
            self.reply({"stage": "ran", "call_s": kernel.call_s})
            timing = self.bench.measure(kernel, incumbent)
            result["notes"] |= timing.notes
        except OverLimit as error:
            return result | {"status": Status.OVER_LIMIT, "error": str(error)}
        except OverTime as error:
            return result | {"status": Status.TIMEOUT, "error": str(error)}
        except DeviceLost as error:
            return result | {"error": str(error), "lost": True}
        except MemoryError as error:
            return result | {"status": Status.OVER_LIMIT, "error": f"out of memory: {error}"}
        except Exception as error:
            if "bad_alloc" in str(error):
                return result | {"status": Status.OVER_LIMIT, "error": "out of memory while it ran"}
            return result | {"error": one_line(error)}
        if timing.disturbed:
            result["notes"] |= {"disturbed": timing.disturbed, "settled": timing.settled}
        if timing.wrong is not None:
            return result | {"status": Status.WRONG_OUTPUT, "error": timing.wrong}
        self.challenger = kernel
        return result | {"status": Status.OK, "samples": timing.samples, "ratios": timing.ratios}

    def do_incumbent(self, schedule: Mapping[str, Any]) -> Any:
        """Build the champion and time it now, on these inputs; it stays as the incumbent that others are timed with."""
        self.incumbent = None
        outcome = self.do_trial(schedule)
        self.incumbent, self.challenger = self.challenger, None
        return outcome

    def do_crown(self) -> Any:
        """The challenger becomes the incumbent."""
        self.incumbent, self.challenger = self.challenger, None
        return {}


def _limit_memory(headroom: int | None = None) -> None:
    """Make allocations fail beyond what is in use now plus ``headroom`` bytes; None allows most of the machine."""
    most = int(psutil.virtual_memory().total * 0.8)
    limit = most if headroom is None else min(most, psutil.Process().memory_info().vms + headroom)
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _expendable() -> None:
    """No core files, end with the job, and be the first that the kernel ends when memory runs out."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("900")
    with contextlib.suppress(OSError, AttributeError):
        # A worker in the midst of loading gigabytes would not notice for a while that nobody wants them any more.
        ctypes.CDLL(None).prctl(SIGNAL_WHEN_PARENT_ENDS, signal.SIGKILL)


def main() -> None:
    """Keep requests and replies apart: kernels read nothing, and what they or TVM print goes to standard error."""
    requests, replies = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    _expendable()
    children.adopt()
    threads.bind(detect.cpus())
    worker = Worker(replies)
    worker.unpinned = threads.unpinned(detect.cpus())
    worker.reply({"stage": "ready"})
    worker.serve(requests)
