"""Runs trials in a worker process on this machine, and outlives whatever happens to it."""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from schedules.schedule import Schedule
from schedules.workload import Workload
from targets import Target
from targets.errors import HeadstartError
from tuner.backends import backend_for
from tuner.child import Child, WorkerLost
from tuning_db.records import Key, Policy, Status, Trial

# After the reference, numpy's threads spin for tens of milliseconds on the cores that the first kernels are timed on.
ONE_BLAS_THREAD = {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
# TVM imports torch where it is installed, for a second and a half that no kernel needs.
WORKER = "import sys; sys.modules['torch'] = None; from tuner import worker; worker.main()"


@dataclass(frozen=True)
class Limits:
    """Seconds that a stage of a trial may take before the worker is killed.

    Attributes:
        build: scheduling and compiling; a few candidates compile for minutes and are never the best.
        run: the first call and the timed calls.
        load: starting a worker, making inputs, computing the reference.
    """

    build: float = 5.0
    run: float = 20.0
    load: float = 300.0


def limits_for(target: Target) -> Limits:
    """The limits that suit what runs a chip's kernels here."""
    backend = backend_for(target)
    return Limits() if backend is None else Limits(backend.build_limit_s, backend.run_limit_s)


@dataclass(frozen=True)
class Outcome:
    """What came of building and timing one schedule; fields as in ``tuning_db.records.Trial``.

    Attributes:
        ratios: samples over the incumbent's, pair by pair as they were timed; empty where there was none.
        notes: what else the trial's evidence is to say, see ``docs/measuring.md``.
    """

    status: Status
    samples: tuple[float, ...] = ()
    error: str = ""
    build_s: float = 0.0
    ratios: tuple[float, ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)

    def trial(self, key: Key, schedule: Schedule, **rest: Any) -> Trial:
        """The record of it; ``rest`` are fields of ``Trial`` that say who, where and what else."""
        return Trial(
            key=key,
            schedule=schedule.id,
            status=self.status,
            samples=self.samples,
            median=self.median,
            spread=self.spread,
            error=self.error,
            build_s=self.build_s,
            **rest,
        )

    @property
    def median(self) -> float | None:
        """Median of the samples in seconds."""
        return statistics.median(self.samples) if self.samples else None

    @property
    def spread(self) -> float | None:
        """Interquartile range of the samples in seconds."""
        if not self.samples:
            return None
        if len(self.samples) == 1:
            return 0.0
        low, _, high = statistics.quantiles(self.samples, n=4, method="inclusive")
        return high - low


class Session(Protocol):
    """One workload loaded somewhere, ready for trials; made by an executor's ``open``."""

    def incumbent(self, schedule: Schedule) -> Outcome:
        """Time the champion again, now, and keep it to time others against."""

    def ahead(self, schedules: Sequence[Schedule]) -> None:
        """Say which schedules will be tried next, so that they can be built together, while nothing is timed."""

    def trial(self, schedule: Schedule) -> Outcome:
        """Build, run, check and time a schedule, in turn with the incumbent if there is one."""

    def crown(self) -> None:
        """Make the last good trial the incumbent."""


class LocalExecutor:
    """One worker process on this machine; close it, or use it as a context manager.

    A worker that dies is started again when it is next needed, with the same workload and incumbent.

    Args:
        device: one of ``tuner.backends.devices(target)``, the first unless said.
    """

    def __init__(self, target: Target, policy: Policy, limits: Limits | None = None, device: str = "") -> None:
        self.target, self.policy, self.limits = target, policy, limits or limits_for(target)
        self.device = device
        self._child = Child([sys.executable, "-c", WORKER], os.environ | ONE_BLAS_THREAD)

    def __enter__(self) -> LocalExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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

    @property
    def alive(self) -> bool:
        """Whether a worker is running."""
        return self._child.alive


@dataclass
class LocalSession:
    """A workload in the local worker; loads it again after a crash."""

    executor: LocalExecutor
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
            "target": self.executor.target.spec(),
            "policy": self.executor.policy.to_json(),
            "seed": self.seed,
            "device": self.executor.device,
        }
        try:
            answer = self.executor.request(message, self.executor.limits.load)
        except WorkerLost as lost:
            raise HeadstartError(f"{self.workload.operator} {self.workload.label} cannot be loaded: {lost}") from None
        if "error" in answer:
            raise HeadstartError(f"{self.workload.operator} {self.workload.label}: {answer['error']}")

    def _ready(self) -> None:
        if not self.executor.alive:
            self._load()
            if self._incumbent is not None:
                self._measure("incumbent", self._incumbent)

    def _measure(self, verb: str, schedule: Schedule) -> Outcome:
        limits, start = self.executor.limits, time.perf_counter()
        # The default schedule of a big workload may take seconds a call; a challenger that slow has lost already.
        run = limits.run if schedule.space != "default" else limits.load
        build = limits.build if schedule.space != "default" else limits.load
        try:
            answer = self.executor.request({"do": verb, "schedule": schedule.to_json()}, build, run, run)
        except WorkerLost as lost:
            return Outcome(lost.status, error=str(lost), build_s=time.perf_counter() - start)
        if answer.get("lost"):
            self.executor.close()  # the device is lost to that process; the next trial starts another
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
        with contextlib.suppress(WorkerLost):
            self.executor.request({"do": "ahead", "schedules": wanted}, *[self.executor.limits.build] * len(wanted))

    def trial(self, schedule: Schedule) -> Outcome:
        """Build, run, check and time a schedule, in turn with the incumbent if there is one."""
        self._ready()
        outcome = self._measure("trial", schedule)
        self._challenger = schedule if outcome.status is Status.OK else None
        return outcome

    def crown(self) -> None:
        """Make the last good trial the incumbent."""
        self._incumbent, self._challenger = self._challenger, None
        self.executor.request({"do": "crown"}, self.executor.limits.run)
