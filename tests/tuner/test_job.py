"""How a job spends its budget and crowns champions, over a session whose times are a function of the schedule."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from schedules.operators.linear import Linear
from schedules.schedule import Schedule
from schedules.workload import Workload
from targets import Peaks, Target
from targets.errors import HeadstartError
from tuner.executor import Outcome
from tuner.job import Budget, Event, Job
from tuner.lanes import Lane, Visit
from tuner.learner import Learner
from tuner.task import DEFAULT, Task, load_task
from tuning_db.check import check
from tuning_db.records import Policy, Status, Toolchain
from tuning_db.store import Store

CHIP = Target("t", "v", "m", {"kind": "llvm", "mcpu": "znver4"}, 2, 512, l1d=1 << 15, l2=1 << 20, l3=1 << 25,
              peaks=Peaks({"float32": 2e11}, 4e10, 2e11))  # fmt: skip
POLICY = Policy("cold", 2)
LINEAR = Linear(16, 256, 512)


class Simulated:
    """An executor, its device and a session in one: no process, times from a function, ratios as the times say."""

    target, policy = CHIP, POLICY
    name, machine, elastic = "simulated", "here", False

    def __init__(self, seconds: Callable[[Schedule], float | None]) -> None:
        self.seconds = seconds
        self.ran: list[Schedule] = []
        self.kept: Schedule | None = None

    def devices(self) -> list[Simulated]:
        return [self]

    def open(self, workload: Workload, seed: int) -> Simulated:
        return self

    def _outcome(self, schedule: Schedule) -> Outcome:
        value = self.seconds(schedule)
        return Outcome(Status.RUN_ERROR, error="it died") if value is None else Outcome(Status.OK, (value,) * 3)

    def incumbent(self, schedule: Schedule) -> Outcome:
        self.kept = schedule
        return self._outcome(schedule)

    def ahead(self, schedules: list[Schedule]) -> None:
        pass

    def trial(self, schedule: Schedule) -> Outcome:
        self.ran.append(schedule)
        outcome, before = self._outcome(schedule), self.seconds(self.kept) if self.kept else None
        now = outcome.median
        return dataclasses.replace(outcome, ratios=(now / before,) * 9) if now and before else outcome

    def crown(self) -> None:
        self.kept = self.ran[-1]


@pytest.fixture
def store(tmp_path: Path):
    with Store.open(tmp_path / "x.db") as opened:
        opened.add_target(CHIP.fingerprint, CHIP.name, CHIP.vendor, CHIP.spec())
        opened.add_policy(POLICY)
        opened.add_toolchain(Toolchain({"tvm": "0"}))
        yield opened


def task_of(store: Store, operator: Linear = LINEAR, calls: int = 1) -> Task:
    task = load_task(store, Workload.of(operator), CHIP, POLICY, Toolchain({"tvm": "0"}), calls)
    # One space, whose knobs the times are made from.
    task.spaces = {"linear_dot": task.spaces["linear_dot"]}
    return task


def run(store: Store, tasks: list[Task], seconds: Callable[[Schedule], float | None], trials: int = 30):
    executor, events = Simulated(seconds), list[Event]()
    learner = Learner(background=False)
    job = Job(store, executor, tasks, Budget(trials=trials), listener=events.append, seed=0, learner=learner)  # type: ignore[arg-type]
    job.run()
    return executor, events


def finish(visit: Visit[None]) -> None:
    """Do what a visit wants until it is over."""
    done = None
    with contextlib.suppress(StopIteration):
        while True:
            done = visit.send(done)()


def plain(schedule: Schedule) -> float:
    """Faster with mr and nr near 4; the default is slow."""
    if schedule == DEFAULT:
        return 1e-3
    return 1e-4 * (1 + abs(schedule.config["mr"] - 4) + abs(schedule.config["nr"] - 4))


def test_the_default_comes_first_and_the_best_wins(store):
    task = task_of(store)
    executor, events = run(store, [task], plain)
    assert executor.ran[0] == DEFAULT and events[0].crowned
    assert task.default_s == 1e-3 and task.champion_s == 1e-4
    assert task.tried == 30 and len(set(executor.ran)) == 30
    champion = store.champion(task.key)
    assert champion is not None and champion.schedule == task.champion.id
    assert check(store) == []


def test_every_trial_is_kept_and_the_next_run_goes_on(store):
    first, _ = run(store, [task_of(store)], plain, trials=10)
    task = task_of(store)
    assert task.tried == 10 and task.champion is not None
    second, _ = run(store, [task], plain, trials=20)
    assert not set(first.ran) & set(second.ran) - {DEFAULT}
    assert store.tried(task.key) == {schedule.id for schedule in first.ran + second.ran}
    assert [job["state"] for job in store.jobs()] == ["done", "done"]


def test_a_job_that_is_told_to_stop_ends_after_the_trial(store):
    executor = Simulated(lambda s: 1e-3)
    job = Job(store, executor, [task_of(store)], Budget(trials=30), listener=lambda event: job.stop(), seed=0)  # type: ignore[arg-type]
    job.run()
    assert job.interrupted
    assert len(executor.ran) == 1
    assert store.value("SELECT state FROM job WHERE id = ?", (job.id,)) == "interrupted"


def test_a_job_that_another_process_cancels_ends_soon_and_stays_so(store, monkeypatch):
    monkeypatch.setattr("tuner.job.BEAT_S", 0.0)

    def cancel(event: Event) -> None:
        if len(executor.ran) == 3:
            with Store.open(store.path) as other:
                other.cancel_job(job.id)

    executor = Simulated(lambda s: 1e-3)
    job = Job(store, executor, [task_of(store)], Budget(trials=30), listener=cancel, seed=0)  # type: ignore[arg-type]
    job.run()
    assert job.interrupted and len(executor.ran) < 10
    assert store.job(job.id)["state"] == "cancelled"


def test_a_job_that_the_database_has_already_is_left_to_whoever_runs_it(store):
    id = store.queue_job({})
    store.take_job()
    job = Job(store, Simulated(lambda s: 1e-3), [task_of(store)], Budget(trials=2), seed=0, id=id)  # type: ignore[arg-type]
    job.run()
    assert store.job(id)["state"] == "running" and store.job_trials(id)["trials"] == 2
    assert len(store.jobs()) == 1


def test_failures_are_kept_with_their_reason_and_never_crowned(store):
    task = task_of(store)
    run(store, [task], lambda schedule: 1e-3 if schedule == DEFAULT else None, trials=12)
    assert task.champion == DEFAULT and task.champion_s == 1e-3
    failed = [trial for trial in store.trials() if trial.status is Status.RUN_ERROR]
    assert len(failed) == 11 and {trial.error for trial in failed} == {"it died"}


def test_faster_than_the_chip_is_refused(store):
    task = task_of(store)
    lie = task.floor_s / 2
    run(store, [task], lambda schedule: 1e-3 if schedule == DEFAULT else lie, trials=8)
    assert task.champion == DEFAULT
    refused = [trial for trial in store.trials() if trial.status is Status.BELOW_FLOOR]
    assert refused and all("below the roofline floor" in trial.error and trial.median == lie for trial in refused)


def test_a_champion_timed_again_faster_than_the_chip_keeps_its_time(store):
    task = task_of(store)
    run(store, [task], lambda schedule: 1e-3, trials=4)
    again = task_of(store)
    run(store, [again], lambda schedule: again.floor_s / 2 if schedule == DEFAULT else 2e-3, trials=8)
    assert again.champion == DEFAULT and again.champion_s == 1e-3
    assert next(t.status for t in store.trials() if t.evidence.get("again")) is Status.BELOW_FLOOR


def test_a_tie_does_not_dethrone(store):
    task = task_of(store)
    run(store, [task], lambda schedule: 1e-3 if schedule == DEFAULT else 0.995e-3, trials=12)
    assert task.champion == DEFAULT
    assert any(trial.evidence.get("ratios") for trial in store.trials())


def test_one_lucky_slice_does_not_end_a_search(store):
    """A champion whose seconds were two thirds of the truth is still replaced by what is faster side by side."""
    task = task_of(store)

    def truth(schedule: Schedule) -> float:
        order = executor.ran.index(schedule)
        return 1e-3 if order == 0 else 1e-4 if order == 5 else 1.2e-4

    class Lucky(Simulated):
        def trial(self, schedule: Schedule) -> Outcome:
            outcome = super().trial(schedule)
            luck = 0.65 if len(self.ran) == 2 else 1.0
            return dataclasses.replace(outcome, samples=tuple(luck * sample for sample in outcome.samples))

    executor = Lucky(truth)
    Job(store, executor, [task], Budget(trials=12), seed=0).run()  # type: ignore[arg-type]
    assert task.champion == executor.ran[5] and task.champion_s == 1e-4
    assert min(trial.median for trial in store.trials() if trial.median) == pytest.approx(0.78e-4)


def test_a_champion_that_no_longer_runs_gives_way(store):
    task = task_of(store)
    run(store, [task], plain, trials=6)
    old = task.champion
    run(store, [task_of(store)], lambda s: None if s == old else 5e-3, trials=12)
    champion = store.champion(task.key)
    assert champion is not None and champion.schedule != old.id and champion.median == 5e-3


def test_time_goes_where_the_model_gains(store):
    rare, often = task_of(store, LINEAR, calls=1), task_of(store, Linear(8, 256, 512), calls=50)
    executor = Simulated(plain)
    job = Job(store, executor, [rare, often], Budget(trials=100), seed=0)  # type: ignore[arg-type]
    for task in (rare, often):
        finish(job._visit(Lane(executor), task))
        task.trial_s = 1.0
    assert job._next() is often


def test_what_was_tried_often_or_in_vain_gains_less(store):
    task = task_of(store)
    run(store, [task], plain, trials=4)
    fresh = task.gain
    task.seconds |= {f"s{number}": None for number in range(task.tried + 1)}
    assert task.gain == pytest.approx(fresh / 2)
    task.idle += 20
    assert task.gain < 0.6 * fresh / 2


def test_a_task_at_its_floor_is_done(store):
    task = task_of(store)
    run(store, [task], lambda schedule: 2e-3 if schedule == DEFAULT else task.floor_s * 1.02, trials=100)
    assert task.tried < 20


@pytest.mark.parametrize(("within", "most"), [(0.5, 8), (0.01, 40)])
def test_within_a_share_of_the_floor_is_enough(store, within, most):
    """Trials come ever closer to the floor; the job ends when the champion is within what was asked for."""
    task = task_of(store)
    made: list[Schedule] = []

    def closer(schedule: Schedule) -> float:
        if schedule not in made:
            made.append(schedule)
        return task.floor_s * (1 + 2.0 * 0.5 ** made.index(schedule))

    executor = Simulated(closer)
    Job(store, executor, [task], Budget(within=within), seed=0).run()  # type: ignore[arg-type]
    assert task.champion_s <= (1 + within) * task.floor_s and task.tried <= most


def test_a_job_that_only_ends_at_the_roofline_gives_up_what_does_not_get_there(store, monkeypatch):
    monkeypatch.setattr("tuner.job.HOPELESS", 20)
    task = task_of(store)
    Job(store, Simulated(lambda s: 1e-3), [task], Budget(within=0.05), seed=0).run()  # type: ignore[arg-type]
    assert 20 <= task.idle < 40
    Job(store, Simulated(lambda s: 1e-3), [task], Budget(trials=60), seed=0).run()  # type: ignore[arg-type]
    assert task.tried == 60


def test_a_workload_that_does_not_load_leaves_the_others(store):
    bad, good = task_of(store), task_of(store, Linear(8, 256, 512))

    class Picky(Simulated):
        def open(self, workload: Workload, seed: int) -> Simulated:
            if workload == bad.workload:
                raise HeadstartError("does not fit into memory")
            return self

    job = Job(store, Picky(plain), [bad, good], Budget(trials=5), seed=0)  # type: ignore[arg-type]
    job.run()
    assert job.failures == {bad.workload.id: "does not fit into memory"}
    assert good.tried == 5


def test_a_second_look_that_fails_is_no_second_trial(store):
    """What is known of the default stays, and what befell it when timed anew is told apart from a first trial."""
    task = task_of(store)

    class Unlucky(Simulated):
        def trial(self, schedule: Schedule) -> Outcome:
            before = self.ran.count(schedule)
            outcome = super().trial(schedule)
            return Outcome(Status.OVER_LIMIT, error="killed") if schedule == DEFAULT and before else outcome

    executor = Unlucky(lambda s: 1e-3 if s == DEFAULT else 1e-4)
    Job(store, executor, [task], Budget(trials=12), seed=0).run()  # type: ignore[arg-type]
    first, again = [trial for trial in store.trials() if trial.schedule == DEFAULT.id]
    assert first.status is Status.OK and not first.evidence.get("again")
    assert again.status is Status.OVER_LIMIT and again.evidence["again"]
    assert task.default_s == 1e-3


def test_interrupting_keeps_what_was_found(store):
    task = task_of(store)

    def stop(event: Event) -> None:
        if task.tried == 3:
            raise KeyboardInterrupt

    job = Job(store, Simulated(plain), [task], Budget(trials=50), listener=stop, seed=0)  # type: ignore[arg-type]
    job.run()
    assert job.interrupted and len(list(store.trials())) == 3
    assert store.jobs()[-1]["state"] == "interrupted"


def test_what_was_learnt_is_kept(store):
    run(store, [task_of(store)], plain, trials=40)
    kept = store.load_cost_model("linear_dot", "llvm")
    assert kept is not None and kept["trained_on"] >= 20 and kept["blob"][:1] == b"{"


def test_trials_of_other_workloads_teach(store):
    """A second shape finds the good region of the first without drawing blindly."""
    run(store, [task_of(store)], plain, trials=60)
    task = task_of(store, Linear(16, 512, 512))
    executor, _ = run(store, [task], plain, trials=12)
    drawn = [s for s in executor.ran if s not in (DEFAULT, *task.spaces["linear_dot"].seeds())]
    assert min(plain(s) for s in drawn[:4]) <= 2e-4


def test_budget():
    assert not Budget(seconds=100.0).over()
    assert Budget(seconds=0.0).over()
    assert not Budget(trials=3).over()


def test_the_floor_follows_the_peaks(store):
    task = task_of(store)
    before = task.floor_s
    task.target = dataclasses.replace(CHIP, peaks=Peaks({"float32": 4e11}, 8e10, 4e11))
    task.look_up_floor()
    assert task.floor_s == pytest.approx(before / 2)
