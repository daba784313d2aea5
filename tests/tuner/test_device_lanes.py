"""Several devices on one job: each takes one trial at a time, none is lost or doubled, champions fall in duels only."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from schedules.operators.linear import Linear
from schedules.schedule import Schedule
from tests.tuner.test_job import CHIP, POLICY, Simulated, plain, task_of
from tuner import visit
from tuner.executor import DeviceGone, Outcome
from tuner.job import Budget, Job
from tuner.lanes import Lane
from tuner.learner import Learner
from tuner.task import DEFAULT
from tuning_db.check import check
from tuning_db.records import Status, Toolchain
from tuning_db.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "x.db") as opened:
        opened.add_target(CHIP.fingerprint, CHIP.name, CHIP.vendor, CHIP.spec())
        opened.add_policy(POLICY)
        opened.add_toolchain(Toolchain({"tvm": "0"}))
        yield opened


class Device(Simulated):
    """One of several simulated devices, which notices if two trials run on it at once."""

    def __init__(self, name: str, seconds: Callable[[Schedule], float | None] = plain) -> None:
        super().__init__(seconds)
        self.name = name  # type: ignore[misc]
        self.busy = threading.Lock()
        self.lose: Callable[[Schedule], bool] = lambda schedule: False

    def trial(self, schedule: Schedule) -> Outcome:
        assert self.busy.acquire(blocking=False), "two trials at once"
        try:
            time.sleep(0.002)
            if self.lose(schedule):
                raise DeviceGone(f"{self.name} is gone")
            return super().trial(schedule)
        finally:
            self.busy.release()


class Cluster:
    """So many devices; those that are gone come back as new ones."""

    target, policy, elastic = CHIP, POLICY, True

    def __init__(self, number: int) -> None:
        self.here = [Device(f"d{at}") for at in range(number)]
        self.all = list(self.here)

    def devices(self) -> list[Device]:
        return list(self.here)

    def status(self) -> list[Any]:
        return []

    def replace(self, device: Device) -> None:
        self.here.remove(device)
        self.here.append(Device(f"{device.name}'"))
        self.all.append(self.here[-1])


def job_of(store: Store, cluster: Any, tasks: list[Any], trials: int) -> Job:
    return Job(store, cluster, tasks, Budget(trials=trials), seed=0, learner=Learner(background=False))


def tried(store: Store) -> list[tuple[str, str]]:
    return [(t.key.workload, t.schedule) for t in store.trials() if not t.evidence.get("again")]


def test_all_devices_work_and_no_schedule_is_tried_twice(store):
    tasks, cluster = [task_of(store), task_of(store, Linear(8, 256, 512))], Cluster(4)
    job_of(store, cluster, tasks, 40).run()
    assert all(device.ran for device in cluster.all)
    made = tried(store)
    assert len(made) == len(set(made)) == 80 and [task.tried for task in tasks] == [40, 40]
    assert all(not task.pending for task in tasks) and check(store) == []
    assert all(task.champion_s == pytest.approx(1e-4) for task in tasks)


def test_one_task_keeps_several_devices_busy(store):
    task, cluster = task_of(store), Cluster(3)
    job_of(store, cluster, [task], 60).run()
    assert all(len(device.ran) > 5 for device in cluster.all)
    assert len(tried(store)) == len(set(tried(store))) == 60


def test_what_a_lost_device_had_in_hand_is_tried_elsewhere(store):
    task, cluster = task_of(store), Cluster(2)
    lost: list[Schedule] = []

    def lose(device: Device) -> Callable[[Schedule], bool]:
        def decide(schedule: Schedule) -> bool:
            if len(device.ran) >= 3 and len(lost) < 4:
                lost.append(schedule)
                cluster.replace(device)
                cluster.here[-1].lose = lose(cluster.here[-1])
                return True
            return False

        return decide

    for device in cluster.here:
        device.lose = lose(device)
    job_of(store, cluster, [task], 40).run()
    made = tried(store)
    assert len(lost) == 4 and len(made) == len(set(made)) == 40
    assert {schedule.id for schedule in lost} <= {schedule for _, schedule in made}
    assert all(trial.status is Status.OK for trial in store.trials())


def test_a_schedule_that_takes_its_devices_with_it_fails_at_last(store):
    task, cluster = task_of(store), Cluster(1)
    bad: list[Schedule] = []

    def watch(device: Device) -> None:
        def lose(schedule: Schedule) -> bool:
            if not bad and len(device.ran) == 2:
                bad.append(schedule)
            if schedule not in bad:
                return False
            cluster.replace(device)
            watch(cluster.here[-1])
            return True

        device.lose = lose

    watch(cluster.here[0])
    job_of(store, cluster, [task], 12).run()
    (failed,) = [trial for trial in store.trials() if trial.status is not Status.OK]
    assert failed.schedule == bad[0].id and "3 devices were lost with it, the last: d0'' is gone" in failed.error
    assert len(cluster.all) == 1 + visit.LOSSES and task.tried == 12


def test_who_beat_a_champion_that_has_fallen_meanwhile_is_tried_again(store):
    """Two devices on one task, taken step by step: both find something better than the default, at the same time."""
    task = task_of(store)
    good, better = task.spaces["linear_dot"].seeds()[:2]
    times = {DEFAULT: 1e-3, good: 5e-4, better: 2e-4}
    cluster = Cluster(2)
    job = job_of(store, cluster, [task], 10)
    job.id = store.start_job({})
    for device in cluster.here:
        device.seconds = times.__getitem__
    first, second = (visit.TaskVisit(job, Lane(device), task) for device in cluster.here)
    run(first.tries([DEFAULT]))
    slow, fast = first.tries([good]), second.tries([better])
    in_flight = [until_trial(slow, good), until_trial(fast, better)]
    finish(fast, in_flight[1]())
    assert task.champion == better
    finish(slow, in_flight[0]())
    assert task.champion == better and store.champion(task.key).schedule == better.id
    won, lost = [trial for trial in store.trials() if trial.schedule == good.id]
    assert won.evidence["incumbent"] == DEFAULT.id and max(won.evidence["ratios"]) < 1
    assert lost.evidence["incumbent"] == better.id and min(lost.evidence["ratios"]) > 1 and lost.evidence["again"]


def until_trial(steps: Any, schedule: Schedule) -> Callable[[], Any]:
    """Go on with a visit until it is about to try a schedule: what it wants done for that."""
    action = next(steps)
    while getattr(action, "args", None) != (schedule,) or action.func.__name__ != "trial":
        action = steps.send(action())
    return action


def finish(steps: Any, done: Any) -> None:
    """Go on with a visit that gets this until it is over."""
    try:
        while True:
            done = steps.send(done)()
    except StopIteration:
        return


def run(steps: Any) -> None:
    """A visit from its beginning to its end."""
    finish(steps, None)
