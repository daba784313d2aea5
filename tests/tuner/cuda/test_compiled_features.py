"""What ptxas said of a kernel is a feature of its schedule; of what was not compiled it is missing."""

from __future__ import annotations

import numpy as np
import pytest

from schedules.cuda.budget import BUILT, compiled_features
from schedules.operators.linear import Linear
from schedules.space import spaces
from schedules.workload import Workload
from tests.schedules.test_cuda import BF16, H100
from tuner.cost_model import CostModel, Example, training_sets
from tuner.cuda.cubin import Resources
from tuner.features import Context
from tuner.frontend.stored import store_workload
from tuner.task import read_task
from tuning_db.records import Key, Policy, Status, Toolchain, Trial
from tuning_db.store import Store

WORKLOAD = Workload.of(Linear(64, 1024, 1024, BF16, BF16))
SPACE = spaces()["cuda_tensor"](WORKLOAD, H100)
COLD = Policy("cold", H100.cores)
RESOURCES = vars(Resources(registers=63, shared=1023, spilled=3, stack=4, threads=256, resident=2))


def schedules(count: int):
    rng = np.random.default_rng(0)
    return list(dict.fromkeys(SPACE.sample(rng) for _ in range(3 * count)))[:count]


def test_figures_of_ptxas():
    assert compiled_features(RESOURCES) == pytest.approx(dict(zip(BUILT, (6, 10, 3, np.log2(513)), strict=True)))
    assert all(np.isnan(value) for value in compiled_features(None).values())


@pytest.mark.parametrize(
    "evidence",
    [
        {},
        {"resources": "many"},
        {"resources": [17]},
        {"resources": [{}]},
        {"resources": [RESOURCES | {"registers": "63"}]},
        {"resources": [RESOURCES | {"shared": -5}]},
        {"resources": [RESOURCES | {"stack": 10**400}]},
        {"resources": [RESOURCES | {"stack": None}]},
    ],
)
def test_evidence_that_says_nothing_of_a_kernel(evidence):
    context, (schedule,) = Context(WORKLOAD, H100, COLD), schedules(1)
    context.compiled(schedule, evidence)
    assert np.isnan(context.row(schedule)[-len(BUILT) :]).all()


def test_a_schedule_has_them_once_it_was_compiled():
    context, (schedule, other) = Context(WORKLOAD, H100, COLD), schedules(2)
    context.compiled(schedule, {"resources": [RESOURCES]})
    row, plain = context.row(schedule), context.row(schedule, compiled=False)
    assert context.names(schedule)[-len(BUILT) :] == [f"schedule: {name}" for name in BUILT]
    assert np.isfinite(row[-len(BUILT) :]).all() and np.isnan(plain[-len(BUILT) :]).all()
    assert np.array_equal(row[: -len(BUILT)], plain[: -len(BUILT)], equal_nan=True)
    assert np.isnan(context.row(other)[-len(BUILT) :]).all()


def test_a_model_learns_from_them_and_does_without():
    """Times that only the registers explain: what was compiled is told apart, and of the rest there is a prediction."""
    context, drawn, examples = Context(WORKLOAD, H100, COLD), schedules(60), []
    for at, schedule in enumerate(drawn):
        context.compiled(schedule, {"resources": [RESOURCES | {"registers": 40 + 160 * (at % 2)}]})
        examples.append(Example(context, "x", schedule, 1e-3 * (1 + 3 * (at % 2))))
    (found,) = training_sets(examples).values()
    assert (found.trials, len(found.rows), len(found.labels)) == (60, 120, 120)
    model = CostModel()
    model.fit(examples)
    assert model.spaces == {"cuda_tensor": 60}
    scores = model.predict(context, drawn)
    assert scores[1::2].min() > scores[::2].max()
    context.resources.clear()
    assert np.isfinite(model.predict(context, drawn)).all()


def test_a_task_takes_them_from_trials_of_any_toolchain(tmp_path):
    (schedule,) = schedules(1)
    with Store.open(tmp_path / "t.db") as store:
        here, there = Toolchain({"tvm": "1"}), Toolchain({"tvm": "1", "driver": "2"})
        keep(store, schedule, there)
        task = read_task(store, WORKLOAD, H100, COLD, here)
    assert task.tried == 0 and task.context.resources == {schedule: RESOURCES}


def keep(store: Store, schedule, toolchain: Toolchain) -> None:
    """Add a failed trial with what ptxas said."""
    store_workload(store, WORKLOAD)
    store.add_target(H100.fingerprint, H100.name, H100.vendor, H100.spec())
    store.add_toolchain(toolchain)
    store.add_policy(COLD)
    store.add_schedule(schedule.id, schedule.space, schedule.version, schedule.config)
    key = Key(WORKLOAD.id, H100.fingerprint, toolchain.id, COLD.id)
    evidence = {"resources": [RESOURCES]}
    store.add_trial(Trial(key, schedule.id, Status.RUN_ERROR, error="too bad", evidence=evidence))
