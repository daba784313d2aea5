"""Runs trials in worker processes on this machine, and outlives whatever happens to them."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

from schedules.schedule import Schedule
from schedules.workload import Workload
from targets import Target
from targets.errors import HeadstartError
from tuner.backends import backend_for, devices
from tuner.child import Child, WorkerKilled, WorkerLost
from tuner.device_lock import DeviceLock
from tuner.executor import DeviceStatus, Limits, Outcome
from tuning_db.records import Policy, Status

# After the reference, numpy's threads spin for tens of milliseconds on the cores that the first kernels are timed on.
ONE_BLAS_THREAD = {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
# TVM imports torch where it is installed, for a second and a half that no kernel needs.
WORKER = "import sys; sys.modules['torch'] = None; from tuner import worker; worker.main()"


class LocalExecutor:
    """The devices of this machine that are the target; close it, or use it as a context manager.

    Raises:
        InputError: there is none; the message says what is missing.
    """

    elastic = False

    def __init__(self, target: Target, policy: Policy, limits: Limits | None = None) -> None:
        self.target, self.policy = target, policy
        self._devices = [LocalDevice(target, policy, limits, name) for name in devices(target)]

    def __enter__(self) -> LocalExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def devices(self) -> Sequence[LocalDevice]:
        """All of them, always."""
        return self._devices

    def status(self) -> Sequence[DeviceStatus]:
        """Nothing: a job on this machine tells enough."""
        return ()

    def close(self) -> None:
        """End the workers."""
        for device in self._devices:
            device.close()


def limits_for(target: Target) -> Limits:
    """The limits that suit what runs a chip's kernels here."""
    backend = backend_for(target)
    return Limits() if backend is None else Limits(backend.build_limit_s, backend.run_limit_s)


class LocalDevice:
    """One device of this machine with a worker process of its own.

    A worker that dies is started again when it is next needed, with the same workload and incumbent.

    Args:
        name: of the device, one of ``tuner.backends.devices(target)``.
        shared: whether others may measure there between trials; False where whoever makes it has taken the device.
    """

    def __init__(self, target: Target, policy: Policy, limits: Limits | None, name: str, shared: bool = True) -> None:
        self.target, self.policy, self.limits, self.name = target, policy, limits or limits_for(target), name
        self.machine = platform.node()
        self._lock = DeviceLock(name) if shared else None
        # Ray, among others, sets the number of threads for its own processes, which is none of a kernel's business.
        inherited = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
        self._child = Child([sys.executable, "-c", WORKER], inherited | ONE_BLAS_THREAD)

    def open(self, workload: Workload, seed: int) -> LocalSession:
        """Load a workload with inputs drawn from ``seed``.

        Raises:
            HeadstartError: its arguments do not fit into memory, or a worker cannot be started.
        """
        return LocalSession(self, workload, seed)

    def close(self) -> None:
        """End the worker."""
        self._child.kill()

    def request(self, message: dict[str, Any], *timeouts: float) -> dict[str, Any]:
        """Send a request to the worker, which is started where there is none; see ``Child.request``.

        Raises:
            WorkerLost: the worker died, or was killed because a stage took too long.
        """
        if not self._child.alive:
            self._child.start(self.limits.load)
        return self._child.request(message, *timeouts)

    def turn(self) -> contextlib.AbstractContextManager[None]:
        """Have the device for a trial, see ``DeviceLock.turn``."""
        return self._lock.turn() if self._lock else nullcontext()

    @property
    def alive(self) -> bool:
        """Whether a worker is running."""
        return self._child.alive


@dataclass
class LocalSession:
    """A workload in a local worker; loads it again after a crash."""

    device: LocalDevice
    workload: Workload
    seed: int
    _incumbent: Schedule | None = None
    _challenger: Schedule | None = None

    def __post_init__(self) -> None:
        self._load()

    def _load(self) -> None:
        message = {
            "do": "load",
            "workload": {"operator": self.workload.operator, "params": dict(self.workload.params)},
            "target": self.device.target.spec(),
            "policy": self.device.policy.to_json(),
            "seed": self.seed,
            "device": self.device.name,
        }
        named = f"{self.workload.operator} {self.workload.label}"
        try:
            try:
                answer = self.device.request(message, self.device.limits.load)
            except WorkerKilled:  # by whom is not known: the workload's fault is what happens twice
                answer = self.device.request(message, self.device.limits.load)
        except WorkerLost as lost:
            raise HeadstartError(f"{named} cannot be loaded: {lost}") from None
        if "error" in answer:
            raise HeadstartError(f"{named}: {answer['error']}")

    def _ready(self) -> None:
        if not self.device.alive:
            self._load()
            if self._incumbent is not None:
                self._measure("incumbent", self._incumbent)

    def _measure(self, verb: str, schedule: Schedule, **rest: Any) -> Outcome:
        message = {"do": verb, "schedule": schedule.to_json(), **rest}
        outcome = self._once(message, schedule)
        if outcome.status is Status.OVER_LIMIT and not self.device.alive:
            # The worker was killed, by whom is not known: the schedule's fault is what happens twice.
            self._ready()
            outcome = self._once(message, schedule)
        return outcome

    def _once(self, message: dict[str, Any], schedule: Schedule) -> Outcome:
        with self.device.turn():
            begun = time.time()
            outcome = self._answered(message, schedule)
            where = {"device": f"{self.device.machine}/{self.device.name}", "began": begun, "ended": time.time()}
        return replace(outcome, notes={**outcome.notes, **where})

    def _answered(self, message: dict[str, Any], schedule: Schedule) -> Outcome:
        start = time.perf_counter()
        try:
            answer = self.device.request(message, *self.device.limits.of(schedule))
        except WorkerLost as lost:
            return Outcome(lost.status, error=str(lost), build_s=time.perf_counter() - start)
        if answer.get("lost"):
            self.device.close()  # the device is lost to that process; the next trial starts another
        samples, ratios = tuple(answer["samples"]), tuple(answer["ratios"])
        return Outcome(Status(answer["status"]), samples, answer["error"], answer["build_s"], ratios, answer["notes"])

    def incumbent(self, schedule: Schedule) -> Outcome:
        """Time the champion again, now, and keep it to time others against."""
        self._ready()
        outcome = self._measure("incumbent", schedule)
        self._incumbent = schedule if outcome.status is Status.OK else None
        return outcome

    def ahead(self, schedules: Sequence[Schedule]) -> None:
        """Build what will be tried next on all cores at once; where one of them harms the worker, each builds alone."""
        # A default may take longer to build than any other schedule is given.
        wanted = [schedule.to_json() for schedule in schedules if schedule.space != "default"]
        if len(wanted) < 2:
            return
        self._ready()
        with contextlib.suppress(WorkerLost), self.device.turn():
            self.device.request({"do": "ahead", "schedules": wanted}, *[self.device.limits.build] * len(wanted))

    def trial(self, schedule: Schedule, built: tuple[str, float] | None = None) -> Outcome:
        """Build, run, check and time a schedule, in turn with the incumbent if there is one.

        Where it was ``built`` elsewhere, that is the file of its kernel and the seconds it took.
        """
        self._ready()
        outcome = self._measure("trial", schedule, built=built)
        self._challenger = schedule if outcome.status is Status.OK else None
        return outcome

    def crown(self) -> None:
        """Make the last good trial the incumbent."""
        self._incumbent, self._challenger = self._challenger, None
        if self.device.alive:  # a worker that is started again learns of it anyway
            with contextlib.suppress(WorkerLost):
                self.device.request({"do": "crown"}, self.device.limits.run)
