"""Tuning where something stands in for the chip: checked champions, in an order of guesses, and no times."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from schedules.operators.linear import Linear
from schedules.schedule import Schedule
from schedules.workload import Workload
from targets import Peaks, Target
from tests.tuner.test_job import Simulated
from tuner.best import best
from tuner.cost_model import CostModel, all_examples
from tuner.executor import Limits, Outcome
from tuner.frontend.model import Model, ModelOp, Step
from tuner.job import Budget, Job
from tuner.learner import Learner
from tuner.report import champions, gather
from tuner.selecting import select
from tuner.summary import summarise
from tuner.task import DEFAULT, Task, load_task
from tuner.untimed import MODEL, ORDER, preferred
from tuning_db.records import Policy, Status, Toolchain
from tuning_db.store import Store

CHIP = Target("t", "v", "m", {"kind": "llvm", "mcpu": "znver4"}, 2, 512, l1d=1 << 15, l2=1 << 20, l3=1 << 25,
              peaks=Peaks({"float32": 2e11}, 4e10, 2e11))  # fmt: skip
POLICY, TOOLS = Policy("cold", 2), Toolchain({"tvm": "0", "qemu": "7"})
WORKLOAD = Workload.of(Linear(16, 256, 512))
WRONG = 4  # of ``nr``


class Emulated(Simulated):
    """An executor of a chip that is not there: right but for one value of a knob."""

    target, policy = CHIP, POLICY

    def __init__(self) -> None:
        super().__init__(lambda schedule: None)
        self.again = 0

    def _outcome(self, schedule: Schedule) -> Outcome:
        notes = {"untimed": "emulated:0"}
        if schedule.config.get("nr") == WRONG:
            return Outcome(Status.WRONG_OUTPUT, error="elements wrong", notes=notes)
        return Outcome(Status.OK, notes=notes)

    def incumbent(self, schedule: Schedule) -> Outcome:
        self.again += 1
        return super().incumbent(schedule)


@pytest.fixture
def store(tmp_path: Path):
    with Store.open(tmp_path / "x.db") as opened:
        opened.add_target(CHIP.fingerprint, CHIP.name, CHIP.vendor, CHIP.spec())
        opened.add_policy(POLICY)
        opened.add_toolchain(TOOLS)
        yield opened


def tuned(store: Store, trials: int = 12) -> tuple[Task, Emulated]:
    task, executor = load_task(store, WORKLOAD, CHIP, POLICY, TOOLS), Emulated()
    task.spaces = {"linear_dot": task.spaces["linear_dot"]}
    Job(store, executor, [task], Budget(trials=trials), seed=0, learner=Learner(background=False)).run()  # type: ignore[arg-type]
    return task, executor


def test_a_job_ends_with_a_right_champion_and_no_time(store):
    task, executor = tuned(store)
    made = list(store.trials())
    assert task.tried == 12 and len(made) == 12  # nothing is run again where there is nothing to time
    assert executor.again == 0
    assert {trial.status for trial in made} <= {Status.OK, Status.WRONG_OUTPUT} and not any(t.samples for t in made)
    champion = store.champion(task.key)
    assert champion.untimed == "emulated:0" and champion.status is Status.OK and champion.schedule == task.champion.id
    assert task.champion != DEFAULT and task.champion.config["nr"] != WRONG
    assert task.champion_s is None and task.default_s is None and 0 < task.gain < float("inf")
    assert champion.evidence["preferred"] == ORDER


def test_a_later_job_carries_on_from_what_was_tried(store):
    first, _ = tuned(store)
    again = load_task(store, WORKLOAD, CHIP, POLICY, TOOLS)
    assert again.champion == first.champion and again.seconds == first.seconds
    assert again.untimed == "emulated:0"


def test_the_cost_model_learns_nothing_of_it(store):
    task, _ = tuned(store)
    assert task.examples == [] and all_examples(store, "llvm") == []


def test_a_timed_trial_takes_over_at_once(store):
    tuned(store)
    task, executor = load_task(store, WORKLOAD, CHIP, POLICY, TOOLS), Simulated(lambda schedule: 5.0)
    Job(store, executor, [task], Budget(trials=14), seed=1, learner=Learner(background=False)).run()  # type: ignore[arg-type]
    assert store.champion(task.key).median == 5.0 and task.champion_s == 5.0


def test_what_the_model_expects_to_be_faster_is_preferred(store, monkeypatch):
    task = load_task(store, WORKLOAD, CHIP, POLICY, TOOLS)
    space, model = task.spaces["linear_dot"], CostModel()
    drawn = next(
        one for one in (space.sample(np.random.default_rng(at)) for at in range(9)) if one not in space.seeds()
    )
    seed = space.seeds()[0]
    assert preferred(task, model, seed, drawn) == ORDER and not preferred(task, model, drawn, seed)
    assert preferred(task, model, drawn, DEFAULT) == ORDER and not preferred(task, model, seed, seed)
    expected = {drawn: 0.5, seed: 1.0}
    monkeypatch.setattr(model, "predict", lambda context, schedules: np.array([expected[s] for s in schedules]))
    assert preferred(task, model, drawn, seed) == MODEL and not preferred(task, model, seed, drawn)


def test_everything_that_prints_a_time_says_that_there_is_none(store, monkeypatch):
    task, _ = tuned(store)
    monkeypatch.setattr("tuner.tasks.toolchain", lambda target: TOOLS)
    monkeypatch.setattr("tuner.selecting.chip_toolchain", lambda target: TOOLS)
    monkeypatch.setattr("tuner.report.toolchain", lambda target: TOOLS)
    op = ModelOp("q", "linear", dict(WORKLOAD.params), 3)
    model = Model("m", "test", Step("decode", 16, 16, 4096, 1, 1), (op,))
    summary = summarise(model, [task])
    assert [row.untimed for row in summary.rows] == ["emulated:0"] and summary.rows[0].tier == "replayed"
    assert summary.to_json()["total"] | {"untimed": 1, "measured": 0} == summary.to_json()["total"]
    found = best(store, WORKLOAD.id, CHIP.fingerprint)[0]
    assert found.tier == "replayed" and found.speedup is None and found.to_json()["seconds"] is None
    report = gather(store, model, CHIP)
    assert champions(report.trials[WORKLOAD.id]) == [] and report.summary.untimed
    assert select(store, model, CHIP).kernels[0].candidates == ()  # a bundle runs the default


def test_a_default_schedule_may_take_at_least_as_long_as_any_other():
    slow = Limits(build=300.0, run=600.0, load=300.0)
    assert slow.of(DEFAULT) == (300.0, 600.0, 600.0) == slow.of(Schedule("other", 1, {}))
    assert Limits(build=5.0, run=20.0, load=300.0).of(DEFAULT) == (300.0,) * 3
