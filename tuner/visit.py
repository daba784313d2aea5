"""A visit: a device loads a task's workload, times its champion again, and tries some schedules against it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from schedules.schedule import Schedule
from targets.host import Host
from tuner.executor import DeviceGone, Outcome, Session
from tuner.lanes import Lane, Visit
from tuner.sequential import beats
from tuner.task import Task
from tuner.untimed import preferred
from tuning_db.records import Status

if TYPE_CHECKING:
    from tuner.job import Job

# Devices that one schedule may take with it before it is taken for the reason.
LOSSES = 3


@dataclass(frozen=True)
class Event:
    """Something a person watching wants to see: a trial, and whether it made a new champion."""

    task: Task
    schedule: Schedule
    outcome: Outcome
    crowned: bool


class TaskVisit:
    """One visit of a job to a task, on the device of a lane.

    Attributes:
        left: what was to be tried and was not.
        tried: schedules that the visit has tried.
    """

    def __init__(self, job: Job, lane: Lane, task: Task) -> None:
        self.job, self.lane, self.task = job, lane, task
        self.left: list[Schedule] = []
        self.tried = 0

    def tries(self, schedules: Sequence[Schedule]) -> Visit[None]:
        """Try schedules in turn until the job is over.

        Raises:
            HeadstartError: the workload cannot be loaded.
            DeviceGone: the device is gone; what is ``left`` can be tried on another.
        """
        self.left = list(schedules)
        mine = {schedule.id for schedule in schedules}
        self.task.pending |= mine
        try:
            session = yield from self._session()
            yield partial(session.ahead, schedules)
            while self.left and not self.job.over():
                yield from self._try(session, self.left[0])
                self.left.pop(0)
        except DeviceGone as gone:
            self._blame(gone)
            raise
        finally:
            self.task.pending -= mine
            self.left = self.task.untried(self.left)

    def _blame(self, gone: DeviceGone) -> None:
        """A schedule that devices were lost with again and again fails; nothing else is known of it."""
        at = self.lane.running
        if at is None:
            return
        self.job.lost[self.task.workload.id, at.id] += 1
        if self.job.lost[self.task.workload.id, at.id] >= LOSSES and at.id not in self.task.seconds:
            outcome = Outcome(Status.RUN_ERROR, error=f"{LOSSES} devices were lost with it, the last: {gone}")
            self._keep(at, outcome, {}, crowned=False)

    def _session(self) -> Visit[Session]:
        """The task's workload loaded with its champion as the incumbent; the last visit's if that was here too."""
        lane = self.lane
        if lane.task is not self.task or lane.session is None:
            lane.task, lane.session, lane.incumbent = None, None, None
            seed = int(self.job.rng.integers(2**31))
            lane.session = yield partial(lane.device.open, self.task.workload, seed)
            lane.task = self.task
        yield from self._face(lane.session)
        return lane.session

    def _face(self, session: Session) -> Visit[None]:
        """Time the champion anew where it is not the incumbent here, and leave it as what trials are timed against."""
        task, lane = self.task, self.lane
        while task.champion is not None and task.champion != lane.incumbent:
            champion = task.champion
            lane.defended = False
            if task.champion_s is None:
                lane.incumbent = champion  # that it is right is known, and there is no time to compare
                return
            outcome = above_floor(task, (yield from self._run(session.incumbent, champion)))
            lane.incumbent = champion
            lane.defended = good = outcome.status is Status.OK and outcome.median is not None
            better = good and (task.champion_s is None or (outcome.median or 0.0) < task.champion_s)
            self._keep(champion, outcome, {"again": True}, crowned=better and champion == task.champion)

    def _run(self, method: Callable[[Schedule], Outcome], schedule: Schedule) -> Visit[Outcome]:
        self.lane.running = schedule
        outcome: Outcome = yield partial(method, schedule)
        self.lane.running = None
        return outcome

    def _try(self, session: Session, schedule: Schedule) -> Visit[None]:
        """One trial, on disk when this returns.

        Where another device found a new champion while this one was beating the old, it is tried again against that.
        """
        task, lane = self.task, self.lane
        again = schedule.id in task.seconds
        duel, stale = not again, True
        while stale:
            yield from self._face(session)
            outcome = above_floor(task, (yield from self._run(session.trial, schedule)))
            good = outcome.status is Status.OK
            evidence: dict[str, Any] = {"again": True} if again else {}
            won = good and task.champion is None
            timed = outcome.median is not None
            if good and not timed and task.champion is not None:
                found = task.champion_s is None and preferred(task, self.job.learner.model, schedule, task.champion)
                evidence |= {"incumbent": task.champion.id, "preferred": found} if found else {}
                won = bool(found)
            elif good and duel and task.champion is not None:
                evidence |= self._against(outcome)
                won = beats(outcome.ratios) if outcome.ratios else not lane.defended
            stale = won and task.champion != lane.incumbent
            crowned = won and not stale
            self._keep(schedule, outcome, evidence, crowned)
            self.tried += not again
            if crowned:
                task.crown(schedule)
                lane.incumbent, lane.defended = schedule, True
            self.job.listener(Event(task, schedule, outcome, crowned))
            if crowned and timed:
                yield session.crown
            again = True

    def _against(self, outcome: Outcome) -> dict[str, Any]:
        """What a trial was timed in turn with."""
        incumbent = self.lane.incumbent
        return {} if incumbent is None else {"incumbent": incumbent.id, "ratios": list(outcome.ratios)}

    def _keep(self, schedule: Schedule, outcome: Outcome, evidence: dict[str, Any], crowned: bool) -> None:
        self.job.keep(self.task, schedule, outcome, evidence, crowned, self.lane.device.machine)


def above_floor(task: Task, outcome: Outcome) -> Outcome:
    """Refuse a time that the chip cannot reach."""
    if outcome.status is not Status.OK or outcome.median is None or outcome.median >= task.below_floor_s:
        return outcome
    if isinstance(task.target, Host):
        # The peaks may have been measured in a busy minute: before calling a time a lie, look again.
        task.target.measure_again()
        task.look_up_floor()
    if outcome.median < task.below_floor_s:
        reason = f"{outcome.median:.3g} s is below the roofline floor of {task.floor_s:.3g} s"
        return replace(outcome, status=Status.BELOW_FLOOR, error=reason)
    return outcome
