"""Several devices at work at once: what blocks runs in threads, everything else in the thread of the job.

A visit is a generator. It yields what is to be done on its device, a function that blocks, and is sent what that
returned, or has raised in it what that raised. Between two yields it has the job's data for itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, Protocol, TypeVar

from schedules.schedule import Schedule
from tuner.executor import Device, Executor, Session
from tuner.task import Task

T = TypeVar("T")
Action = Callable[[], Any]
Visit = Generator[Action, Any, T]

# Seconds between two looks at which devices there are.
LOOK_S = 0.5
# Devices that can be at work at once.
MOST = 256


class Lane:
    """A device, and what is loaded there.

    Attributes:
        task: whose workload is loaded; None where none is.
        incumbent: the champion, as it was, that others are timed against there.
        defended: whether that one ran there, and so has to be beaten.
        running: what it times now.
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        self.task: Task | None = None
        self.session: Session | None = None
        self.incumbent: Schedule | None = None
        self.defended = False
        self.running: Schedule | None = None
        self._visit: Visit[None] | None = None

    @property
    def idle(self) -> bool:
        """Whether no visit goes on."""
        return self._visit is None

    def start(self, visit: Visit[None]) -> Action | None:
        """Begin a visit; what it wants done first, None where it is over already."""
        self._visit = visit
        return self._on(lambda: next(visit))

    def go_on(self, done: Future[Any]) -> Action | None:
        """Give the visit what came of what it wanted; what it wants next, None where it is over."""
        visit, failed = self._visit, done.exception()
        assert visit is not None
        return self._on(lambda: visit.send(done.result()) if failed is None else visit.throw(failed))

    def close(self) -> None:
        """Leave the visit where it is."""
        if self._visit is not None:
            self._visit.close()

    def _on(self, step: Callable[[], Action]) -> Action | None:
        try:
            return step()
        except StopIteration:
            self._visit = None
            return None
        except BaseException:
            self._visit = None
            raise


class Visits(Protocol):
    """What a job says to its lanes."""

    def over(self) -> bool:
        """Whether no more is to be begun."""

    def visit(self, lane: Lane) -> Visit[None] | None:
        """The next visit of a lane; None where there is nothing for it now."""

    def beat(self) -> None:
        """Called at least twice a second."""


def drive(executor: Executor, visits: Visits) -> None:
    """Have every device of an executor visit tasks until there is nothing more to do; what a visit raises ends all.

    Devices that come are put to work, those that go are let go. Where there is one device and no other is to be
    expected, nothing runs in threads.
    """
    lanes: dict[Device, Lane] = {}
    at_work: dict[Future[Any], Lane] = {}
    pool = ThreadPoolExecutor(MOST, thread_name_prefix="device")

    def submit(lane: Lane, action: Action | None) -> None:
        while action is not None:
            if executor.elastic or len(lanes) > 1:
                at_work[pool.submit(action)] = lane
                return
            action = lane.go_on(_done(action))

    try:
        while True:
            visits.beat()
            _look(executor, lanes)
            idle = [lane for lane in lanes.values() if lane.idle]
            begun = False
            for lane in idle:
                visit = None if visits.over() else visits.visit(lane)
                if visit is None:
                    break
                begun = True
                submit(lane, lane.start(visit))
            if at_work:
                done, _ = wait(at_work, LOOK_S, FIRST_COMPLETED)
                for future in done:
                    lane = at_work.pop(future)
                    submit(lane, lane.go_on(future))
            elif not begun and (lanes or visits.over()):
                return
            elif not lanes:
                time.sleep(LOOK_S)
    finally:
        for lane in lanes.values():
            lane.close()
        pool.shutdown(wait=False, cancel_futures=True)


def _look(executor: Executor, lanes: dict[Device, Lane]) -> None:
    """A lane for each device there is; those of devices that went are dropped when their visit is over."""
    devices: Sequence[Device] = executor.devices()
    for device in devices:
        if device not in lanes:
            lanes[device] = Lane(device)
    for device in [gone for gone, lane in lanes.items() if lane.idle and gone not in devices]:
        del lanes[device]


def _done(action: Action) -> Future[Any]:
    """What an action came to, done in this thread."""
    future: Future[Any] = Future()
    try:
        future.set_result(action())
    except Exception as error:
        future.set_exception(error)
    return future
