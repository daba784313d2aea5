"""The model learns beside the search and is swapped when it is ready."""

from __future__ import annotations

import threading

import numpy as np
from test_cost_model import CONTEXT, examples

from tuner.cost_model import CostModel
from tuner.learner import Learner

MADE = examples(40, np.random.default_rng(0))


def test_in_the_foreground_the_new_model_is_there_at_once():
    learner = Learner(background=False)
    assert learner.learn(MADE) and not learner.busy
    assert learner.model.spaces == {"linear_dot": 40}


def test_the_old_model_serves_until_the_new_one_is_there(monkeypatch):
    ready, train = threading.Event(), CostModel.train

    def slow(self, sets):
        ready.wait(60)
        train(self, sets)

    learner = Learner()
    before = learner.model
    monkeypatch.setattr(CostModel, "train", slow)
    assert learner.learn(MADE)
    assert learner.busy and learner.model is before
    assert not learner.learn(MADE)
    ready.set()
    learner.wait()
    assert not learner.busy and learner.model.spaces == {"linear_dot": 40}
    assert learner.model.predict(CONTEXT, [MADE[0].schedule]) is not None


def test_nothing_to_learn_from_leaves_the_model_from_before():
    model = CostModel()
    model.fit(MADE)
    learner = Learner(model)
    assert learner.learn(MADE[:3])
    assert learner.model is model
