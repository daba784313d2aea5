"""What is tried first and next: seeds never left out, proven and predicted schedules before chance."""

from __future__ import annotations

import numpy as np
import pytest
from test_cost_model import CHIP, COLD, context_of, examples, seconds_of

from schedules.operators.linear import Linear
from schedules.workload import Workload
from tuner.cost_model import CostModel
from tuner.propose import LIKED, Strategy, neighbours, opening, propose
from tuner.task import DEFAULT, Task
from tuning_db.records import Key, Status


def task_of(n: int = 256) -> Task:
    workload = Workload.of(Linear(16, n, 512))
    task = Task(workload, CHIP, COLD, Key(workload.id, CHIP.fingerprint, "x", COLD.id))
    task.spaces = {"linear_dot": task.spaces["linear_dot"]}
    return task


OTHERS = [e for n in (128, 512) for e in examples(150, np.random.default_rng(n), context_of(n))]


@pytest.fixture(scope="module")
def model() -> CostModel:
    model = CostModel()
    model.fit(OTHERS)
    return model


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_without_a_model_seeds_follow_the_default():
    task = task_of()
    seeds = task.spaces["linear_dot"].seeds()
    assert opening(task, CostModel(), [], rng()) == [DEFAULT, *seeds]


def test_without_a_model_champions_of_the_nearest_workloads_take_part():
    task = task_of()
    moved = [task.spaces["linear_dot"].nearest(s.config) for s in neighbours(task, OTHERS)]
    first = opening(task, CostModel(), OTHERS, rng())
    assert first[1] == moved[0] and set(task.spaces["linear_dot"].seeds()) <= set(first)


def test_the_nearest_workload_comes_first():
    task = task_of(300)
    best = {}
    for n in (128, 512):
        mine = [e for e in OTHERS if e.context.workload.params["n"] == n and e.seconds]
        best[n] = seconds_of(min(mine, key=lambda e: e.seconds or 0.0).schedule)
    assert seconds_of(neighbours(task, OTHERS)[0]) == best[512]
    assert seconds_of(neighbours(task_of(130), OTHERS)[0]) == best[128]


def test_predictions_and_seeds_take_turns(model: CostModel):
    task = task_of()
    first = opening(task, model, OTHERS, rng())
    seeds = task.spaces["linear_dot"].seeds()
    assert first[0] == DEFAULT and len(set(first)) == len(first)
    assert set(seeds) <= set(first[: 2 + 2 * (len(seeds) + 4)])
    drawn = [task.spaces["linear_dot"].sample(np.random.default_rng(at)) for at in range(40)]
    typical = np.median([seconds_of(s) for s in drawn if s is not None])
    assert seconds_of(first[1]) < 0.5 * typical
    assert min(seconds_of(s) for s in first[1:9]) == min(seconds_of(s) for s in [*first[1:], *(s for s in drawn if s)])


def test_an_opening_is_not_tried_twice(model: CostModel):
    task = task_of()
    seed = task.spaces["linear_dot"].seeds()[0]
    task.note(seed, Status.OK, 1e-3)
    assert seed not in opening(task, model, OTHERS, rng())
    assert len(opening(task, model, [], rng())) <= 1 + LIKED + 3


def test_proposals_follow_the_model(model: CostModel):
    task = task_of()
    guided = propose(task, model, 8, rng())
    blind = propose(task, model, 8, rng(), Strategy(model=False, evolve=False))
    assert len(guided) > 4 and len(blind) > 4
    assert np.median([seconds_of(s) for s in guided]) < np.median([seconds_of(s) for s in blind])


def test_evolution_stays_near_the_best():
    task = task_of()
    best = min((e.schedule for e in examples(100, rng()) if e.seconds), key=seconds_of)
    task.note(best, Status.OK, 1e-4)

    def changed(strategy: Strategy) -> float:
        found = propose(task, CostModel(), 16, rng(), strategy)
        return float(np.mean([sum(s.config[k] != best.config[k] for k in best.config) for s in found]))

    assert changed(Strategy(model=False)) < changed(Strategy(model=False, evolve=False)) - 0.5
