"""A device of a cluster as a job sees it: requests to its measurer, and builds on other nodes meanwhile."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from schedules.schedule import Schedule
from schedules.workload import Workload
from targets.errors import HeadstartError, first_line
from tuner.executor import DeviceGone, Limits, Outcome
from tuning_db.records import Status

# Seconds that a request and its answer may take on the way.
GRACE_S = 15.0
# Of the time that a build may take, what a measurer waits for a builder before it builds itself: where there are too
# few of them, waiting for their queue would be worse than none.
BUILD = 0.2


@dataclass(eq=False)
class RayDevice:
    """One device, and what it did for this job.

    Attributes:
        name, machine: as of ``tuner.executor.Device``.
        node: Ray's id of the node.
        actor: its measurer.
        target, versions: of the job, as JSON types.
        builders: whether other nodes can build for it.
        gone: why it is lost, empty as long as it is not.
        trials: measurements that it made.
        busy_s: seconds that these took there.
        joined: when it was ready, by the monotonic clock.
        doing: what it does now, for people.
        last: what came of its last trial, for people.
    """

    ray: Any
    name: str
    machine: str
    node: str
    actor: Any
    limits: Limits
    target: Mapping[str, Any]
    versions: Mapping[str, str]
    build: Any
    builders: bool = False
    gone: str = ""
    trials: int = 0
    busy_s: float = 0.0
    joined: float = field(default_factory=time.monotonic)
    doing: str = ""
    last: str = ""
    _alive: bool = False

    def open(self, workload: Workload, seed: int) -> RaySession:
        """Load a workload with inputs drawn from ``seed``; see ``tuner.executor.Device``."""
        asked = {"operator": workload.operator, "params": dict(workload.params)}
        self.doing = f"loading {workload.operator} {workload.label}"
        answer = self.call("open", 3 * self.limits.load, json.dumps(asked), seed)
        if "error" in answer:
            raise HeadstartError(answer["error"])
        return RaySession(self, workload)

    def call(self, method: str, seconds: float, *arguments: Any) -> dict[str, Any]:
        """Ask the measurer, and wait for its answer.

        Args:
            seconds: that it may take; a worker that has to be started again, and the way, come on top.

        Raises:
            DeviceGone: it does not answer.
        """
        most = seconds + GRACE_S + (0.0 if self._alive else 2 * self.limits.load)
        try:
            answer = json.loads(self.ray.get(getattr(self.actor, method).remote(*arguments), timeout=most))
        except self.ray.exceptions.GetTimeoutError:
            self.gone = f"no answer for {most:.0f} s"
        except self.ray.exceptions.RayError as error:
            self.gone = first_line(error)
        else:
            self._alive = answer["alive"]
            return dict(answer)
        finally:
            self.doing = ""
        raise DeviceGone(f"{self.name} of {self.machine} is gone: {self.gone}")

    @property
    def utilisation(self) -> float:
        """What part of the time since it was ready it measured."""
        return min(1.0, self.busy_s / max(1e-9, time.monotonic() - self.joined))


class RaySession:
    """One workload loaded on a device of a cluster; see ``tuner.executor.Session``."""

    def __init__(self, device: RayDevice, workload: Workload) -> None:
        self.device, self.workload = device, workload
        self._built: dict[Schedule, Any] = {}

    def incumbent(self, schedule: Schedule) -> Outcome:
        """Time the champion again, now, and keep it to time others against."""
        return self._measure("incumbent", schedule)

    def ahead(self, schedules: Sequence[Schedule]) -> None:
        """Have schedules built on any nodes while others are timed; by the measurer itself where no node builds."""
        device = self.device
        self._cancel()
        if not device.builders:
            wanted = [schedule.to_json() for schedule in schedules]
            device.doing = f"building {len(wanted)} schedules"
            device.call("ahead", len(wanted) * device.limits.build, json.dumps(wanted))
            return
        asked = {"operator": self.workload.operator, "params": dict(self.workload.params)}
        common = {"workload": asked, "target": dict(device.target), "versions": dict(device.versions)}
        for schedule in schedules:
            if schedule.space != "default":
                self._built[schedule] = device.build.remote(json.dumps({**common, "schedule": schedule.to_json()}))

    def trial(self, schedule: Schedule) -> Outcome:
        """Build, run, check and time a schedule, in turn with the incumbent if there is one."""
        return self._measure("trial", schedule, self._kernel(schedule))

    def crown(self) -> None:
        """Make the last good trial the incumbent."""
        self.device.call("crown", self.device.limits.run)

    def _kernel(self, schedule: Schedule) -> Any:
        """What a builder made of a schedule, where it is in the cluster; None where the measurer has to build."""
        ray, built = self.device.ray, self._built.pop(schedule, None)
        if built is None:
            return None
        self.device.doing = "waiting for a build"
        ready, _ = ray.wait([built], timeout=BUILD * self.device.limits.build, fetch_local=False)
        if not ready:
            ray.cancel(built, force=True)
            return None
        try:
            return ray.get(built)
        except ray.exceptions.RayError:
            return None

    def _cancel(self) -> None:
        for built in self._built.values():
            self.device.ray.cancel(built, force=True)
        self._built = {}

    def _measure(self, method: str, schedule: Schedule, *arguments: Any) -> Outcome:
        device = self.device
        device.doing = f"{self.workload.operator} {self.workload.label}"
        # Twice where the worker is killed in the midst of it, which then loads the workload again.
        seconds = 2 * (sum(device.limits.of(schedule)) + max(device.limits.of(schedule))) + device.limits.load
        answer = device.call(method, seconds, json.dumps(schedule.to_json()), *arguments)
        fields = {name: answer[name] for name in Outcome.__dataclass_fields__}
        sequences = {name: tuple(fields[name]) for name in ("samples", "ratios")}
        outcome = Outcome(**{**fields, **sequences, "status": Status(fields["status"])})
        device.trials += 1
        device.busy_s += outcome.notes["ended"] - outcome.notes["began"]
        device.last = outcome.status.value
        return outcome
