"""What measures on a node of a cluster: an actor that has one device for itself, and a worker process to run kernels.

Requests and answers are JSON text; kernels that were built elsewhere come as bytes.
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from schedules.schedule import Schedule
from schedules.workload import Workload
from targets import Target, detect
from targets.errors import HeadstartError
from tuner.backends import devices, is_host
from tuner.device_lock import DeviceLock, DeviceTaken
from tuner.executor import Limits, Outcome
from tuner.local_executor import LocalDevice, LocalSession
from tuner.toolchain import toolchain
from tuning_db.records import Policy

# Seconds that whoever has the device may still take: the measurer of a job that has just ended, a trial.
PATIENCE_S = 5.0


class Measurer:
    """One device of the node that this runs on.

    Args:
        job: the target as its ``spec``, the policy, the limits, and the versions of the job's toolchain; JSON text.
    """

    def __init__(self, job: str) -> None:
        asked = json.loads(job)
        self.target, self.policy = Target.from_spec(asked["target"]), Policy(**asked["policy"])
        self.limits, self.versions = Limits(**asked["limits"]), asked["versions"]
        self.device: LocalDevice | None = None
        self.session: LocalSession | None = None
        self._lock: DeviceLock | None = None
        self._received = 0
        self._folder = tempfile.TemporaryDirectory(prefix="headstart-")

    def begin(self) -> str:
        """Look whether this node is what it claims, and take a device: its ``name`` and ``machine``, or why not."""
        machine = platform.node()
        try:
            self._check(machine)
            self._lock = self._take()
        except HeadstartError as error:
            return json.dumps({"machine": machine, "refused": str(error)})
        self.device = LocalDevice(self.target, self.policy, self.limits, self._lock.device, shared=False)
        return json.dumps({"machine": machine, "name": self.device.name})

    def _check(self, machine: str) -> None:
        found = detect.host()
        if self.target.kind == "llvm" and not is_host(self.target):
            ours = f"its own chip is {found.name} ({found.fingerprint})"
        else:
            ours = ""
        try:
            devices(self.target)
        except HeadstartError as error:
            claimed = f"node {machine} claims to have {self.target.name} ({self.target.fingerprint}) and has not"
            raise HeadstartError(f"{claimed}: {ours or error}; end it, and start `headstart worker` there") from None
        here = dict(toolchain(self.target).versions)
        if here != self.versions:
            raise HeadstartError(f"node {machine} has another toolchain: {_difference(here, self.versions)}")

    def _take(self) -> DeviceLock:
        """The first device that nobody else has."""
        taken: list[str] = []
        found = devices(self.target)
        for name in found:
            lock = DeviceLock(name)
            try:
                lock.take(f"a measurer of a Ray cluster, process {os.getpid()}", PATIENCE_S / len(found))
            except DeviceTaken as error:
                taken.append(str(error))
            else:
                return lock
        raise HeadstartError("; ".join(taken))

    def open(self, workload: str, seed: int) -> str:
        """Load a workload; the answer has an ``error`` where it cannot be."""
        assert self.device is not None
        try:
            self.session = self.device.open(Workload.load(**json.loads(workload)), seed)
        except HeadstartError as error:
            return self._answer({"error": str(error)})
        return self._answer({})

    def incumbent(self, schedule: str) -> str:
        """``Session.incumbent``."""
        assert self.session is not None
        return self._answer(_outcome(self.session.incumbent(Schedule.from_json(json.loads(schedule)))))

    def ahead(self, schedules: str) -> str:
        """``Session.ahead``."""
        assert self.session is not None
        self.session.ahead([Schedule.from_json(schedule) for schedule in json.loads(schedules)])
        return self._answer({})

    def trial(self, schedule: str, built: tuple[bytes, float] | None) -> str:
        """``Session.trial``; ``built`` is the kernel and the seconds that building it took, where that was done."""
        assert self.session is not None
        wanted = Schedule.from_json(json.loads(schedule))
        if built is None or not built[0]:
            return self._answer(_outcome(self.session.trial(wanted)))
        # The system takes a library for one that is loaded where it has the same name, whatever is in the file.
        self._received += 1
        path = Path(self._folder.name) / f"kernel-{self._received}.so"
        path.write_bytes(built[0])
        try:
            return self._answer(_outcome(self.session.trial(wanted, (str(path), built[1]))))
        finally:
            path.unlink()

    def crown(self) -> str:
        """``Session.crown``."""
        assert self.session is not None
        self.session.crown()
        return self._answer({})

    def _answer(self, value: Mapping[str, Any]) -> str:
        """What is said, and whether the worker has to be started again before the next request is answered."""
        assert self.device is not None
        return json.dumps({**value, "alive": self.device.alive})


def _outcome(outcome: Outcome) -> dict[str, Any]:
    return {name: getattr(outcome, name) for name in Outcome.__dataclass_fields__}


def _difference(here: Mapping[str, str], asked: Mapping[str, str]) -> str:
    """What differs between the versions of a node and those of the job."""
    names = sorted(name for name in {*here, *asked} if here.get(name) != asked.get(name))
    return ", ".join(f"{name} {here.get(name, 'absent')} where the job has {asked.get(name, 'none')}" for name in names)
