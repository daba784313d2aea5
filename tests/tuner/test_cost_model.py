"""The cost model learns which knobs are good, says so of schedules and workloads it never saw, and is kept as UBJ."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest

import tuner.cost_model
from schedules.operators.linear import Linear
from schedules.schedule import Schedule
from schedules.spaces.linear_dot import LinearDot
from schedules.workload import Workload
from targets import Target
from tuner.cost_model import MINIMUM, CostModel, Example, all_examples
from tuner.features import Context
from tuner.frontend.stored import store_workload
from tuning_db.claim import Claim
from tuning_db.records import Key, Policy, Status, Toolchain, Trial
from tuning_db.releases import Rules
from tuning_db.store import Store

CHIP = Target("t", "v", "m", {"kind": "llvm", "mcpu": "znver4"}, 2, 512, l2=1 << 20)
OTHER = dataclasses.replace(CHIP, name="u", cores=8)
COLD = Policy("cold", 2)


def context_of(n: int = 256, target: Target = CHIP) -> Context:
    return Context(Workload.of(Linear(16, n, 512)), target, COLD)


CONTEXT = context_of()


def seconds_of(schedule: Schedule) -> float:
    return 1e-3 * (1 + abs(schedule.config["mr"] - 4) + schedule.config["nb"] / 4)


def examples(count: int, rng: np.random.Generator, context: Context = CONTEXT, scale: float = 1.0) -> list[Example]:
    """Trials whose time is a plain function of two knobs, with failures where a third is large."""
    space, made = LinearDot(context.workload, context.target), []
    while len(made) < count:
        schedule = space.sample(rng)
        assert schedule is not None
        seconds = None if schedule.config["kb"] > 12 else scale * seconds_of(schedule)
        made.append(Example(context, "x", schedule, seconds))
    return made


def ranks(values: object) -> np.ndarray:
    return np.argsort(np.argsort(values))  # type: ignore[call-overload,no-any-return]


def agreement(model: CostModel, context: Context, rng: np.random.Generator) -> float:
    """Correlation of ranks, predicted and true, over schedules that run."""
    fresh = [e.schedule for e in examples(100, rng, context) if e.seconds is not None]
    scores = model.predict(context, fresh)
    assert scores is not None
    return float(np.corrcoef(ranks(scores), ranks([seconds_of(s) for s in fresh]))[0, 1])


def test_unseen_schedules_are_ranked():
    rng, model = np.random.default_rng(0), CostModel()
    model.fit(examples(200, rng))
    assert agreement(model, CONTEXT, rng) > 0.8


def test_an_unseen_shape_is_ranked():
    rng, model = np.random.default_rng(0), CostModel()
    # The second shape takes a hundred times as long: what is learnt is how far from its own best a schedule is.
    model.fit([*examples(150, rng, context_of(128)), *examples(150, rng, context_of(512), scale=100.0)])
    assert agreement(model, CONTEXT, rng) > 0.7


def test_another_chip_teaches_too():
    rng, model = np.random.default_rng(0), CostModel()
    model.fit(examples(200, rng, context_of(target=OTHER)))
    assert agreement(model, CONTEXT, rng) > 0.7


def test_failures_score_worse_than_the_best():
    made, model = examples(300, np.random.default_rng(1)), CostModel()
    model.fit(made)
    scores = np.asarray(model.predict(CONTEXT, [e.schedule for e in made]))
    failed = np.array([e.seconds is None for e in made])
    assert scores[failed].mean() > scores[~failed].mean() + 1


def test_too_few_trials_teach_nothing(tmp_path: Path):
    model = CostModel()
    model.fit(examples(MINIMUM - 1, np.random.default_rng(0)))
    assert model.predict(CONTEXT, LinearDot(CONTEXT.workload, CHIP).seeds()) is None
    with Store.open(tmp_path / "x.db") as store:
        model.save(store, "llvm")
        assert store.load_cost_model("linear_dot", "llvm") is None


def test_trials_of_another_version_are_left_out():
    made = examples(40, np.random.default_rng(0))
    old = [dataclasses.replace(e, schedule=Schedule("linear_dot", 0, {"other": 1})) for e in made]
    gone = [dataclasses.replace(e, schedule=Schedule("no_more", 1, {"other": 1})) for e in made]
    model = CostModel()
    model.fit([*old, *gone, *made])
    assert model.spaces == {"linear_dot": len(made)}


def test_the_same_trials_make_the_same_model():
    made = examples(100, np.random.default_rng(0))
    first, second = CostModel(), CostModel()
    first.fit(made)
    second.fit(made)
    schedules = [e.schedule for e in made]
    assert np.array_equal(first.predict(CONTEXT, schedules), second.predict(CONTEXT, schedules))


def test_it_is_kept_as_ubj(tmp_path: Path):
    made, model = examples(60, np.random.default_rng(0)), CostModel()
    model.fit(made)
    with Store.open(tmp_path / "x.db") as store:
        model.save(store, "llvm", {"linear_dot": {"correlation": 0.5}})
        kept, loaded = store.load_cost_model("linear_dot", "llvm"), CostModel.load(store, "llvm")
        assert CostModel.load(store, "cuda").spaces == {}
    assert kept is not None and kept["blob"][:1] == b"{" and kept["metrics"]["correlation"] == 0.5
    assert loaded.spaces == model.spaces == {"linear_dot": 60}
    schedules = [e.schedule for e in made]
    assert np.array_equal(loaded.predict(CONTEXT, schedules), model.predict(CONTEXT, schedules))


@pytest.mark.parametrize("what", ["features", "space", "rubbish"])
def test_a_model_that_means_something_else_is_not_used(tmp_path: Path, monkeypatch, what: str):
    model = CostModel()
    model.fit(examples(60, np.random.default_rng(0)))
    with Store.open(tmp_path / "x.db") as store:
        model.save(store, "llvm")
        if what == "features":
            monkeypatch.setattr(tuner.cost_model, "VERSION", tuner.cost_model.VERSION + 1)
        elif what == "space":
            monkeypatch.setattr(LinearDot, "version", LinearDot.version + 1)
        else:
            store.save_cost_model("linear_dot", "llvm", 60, {}, b"{}")
        assert CostModel.load(store, "llvm").spaces == {}


def test_examples_are_read_from_the_database(tmp_path: Path):
    schedule, workload = LinearDot(CONTEXT.workload, CHIP).seeds()[0], CONTEXT.workload
    with Store.open(tmp_path / "x.db") as store:
        tools = Toolchain({"tvm": "0"})
        store.add_toolchain(tools)
        store.add_policy(COLD)
        store_workload(store, workload)
        store.add_workload(workload.id[:-1] + "x", "no_such_operator", "", {}, "", 1, 1)
        for chip in (CHIP, OTHER):
            store.add_target(chip.fingerprint, chip.name, chip.vendor, chip.spec())
        store.add_schedule(schedule.id, schedule.space, schedule.version, dict(schedule.config))
        for chip, id, made, seconds in (
            (CHIP, workload.id, schedule, 3e-3),
            (CHIP, workload.id, schedule, 2e-3),
            (CHIP, workload.id[:-1] + "x", schedule, 1e-3),
            (OTHER, workload.id, schedule, None),
        ):
            key = Key(id, chip.fingerprint, tools.id, COLD.id)
            status = Status.OK if seconds else Status.RUN_ERROR
            samples = (seconds,) * 3 if seconds else ()
            store.add_trial(
                Trial(
                    key, made.id, status, samples, seconds, 0.0 if seconds else None, error="" if seconds else "it died"
                )
            )
        found = all_examples(store, "llvm")
        assert [(e.context.target.fingerprint, e.schedule, e.seconds) for e in found] == [
            (CHIP.fingerprint, schedule, 3e-3),  # timed again by itself
            (OTHER.fingerprint, schedule, None),
        ]
        assert found[0].context.policy == COLD and found[0].context.workload == workload
        assert all_examples(store, "llvm", {workload.id}) == []
        assert all_examples(store, "cuda") == []


def test_a_model_learns_nothing_of_a_release_to_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Trained beside claims of one, it is to the byte what it is without them."""
    made = []
    for hidden in (False, True):
        with Store.open(tmp_path / f"{hidden}.db") as store:
            key = _kept(store, context_of(), range(40))
            if hidden:
                lab, vendor = store.add_account("lab", "publisher", 1.0), store.add_account("acme", "vendor", 1.0)
                secret = context_of(384)
                store_workload(store, secret.workload)
                id = secret.workload.id
                op = {"name": "q", "operator": "linear", "params": {}, "calls": 1, "workload": id}
                shared = {**op, "workload": key.workload}
                launch = time.time() + 1e6
                store.add_model("open", "lab", {}, [shared])
                model = {"name": "secret", "source": "lab", "step": {}, "ops": [op, shared]}
                release = store.add_release("r1", lab, launch, Rules(), [model], 1.0)
                store.invite(release, vendor, 2.0)
                for n, workload in ((100, id), (200, key.workload)):
                    of = dataclasses.replace(key, workload=workload)
                    _kept(store, secret, range(n, n + 40), of, (release.id, vendor.id))
            found = all_examples(store, "llvm")
            trained = CostModel()
            trained.fit(found)
            trained.save(store, "llvm")
            kept = store.load_cost_model("linear_dot", "llvm")
            assert kept is not None
            made.append((found, kept["trained_on"], kept["blob"]))
            if hidden:
                # After the launch all of it is there to learn from.
                monkeypatch.setattr("tuning_db.store.time.time", lambda: 1e12)
                assert len(all_examples(store, "llvm")) > 100
    assert [(e.schedule, e.seconds) for e in made[0][0]] == [(e.schedule, e.seconds) for e in made[1][0]]
    assert made[0][1:] == made[1][1:]


def _kept(
    store: Store, context: Context, seeds: range, key: Key | None = None, claimed: tuple[str, str] | None = None
) -> Key:
    """Trials of a context in a database, or claims of a release by a vendor; their key."""
    toolchain = Toolchain({"tvm": "0"})
    store.add_target(CHIP.fingerprint, CHIP.name, CHIP.vendor, CHIP.spec())
    store.add_toolchain(toolchain)
    store.add_policy(COLD)
    store_workload(store, context.workload)
    of = key or Key(context.workload.id, CHIP.fingerprint, toolchain.id, COLD.id)
    space = LinearDot(context.workload, CHIP)
    for seed in seeds:
        plan = space.sample(np.random.default_rng(seed))
        assert plan is not None
        seconds = seconds_of(plan) * (1 + seed / 1000)
        store.add_schedule(plan.id, plan.space, plan.version, plan.config)
        made = Trial(of, plan.id, Status.OK, (seconds,) * 3, seconds, 0.0, id=f"t{seed:028x}")
        if claimed:
            store.add_claim(Claim(made, *claimed, "b0", 3.0))
        else:
            store.add_trial(made)
    return of
