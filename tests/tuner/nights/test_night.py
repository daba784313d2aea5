"""The morning report: what got faster, what was spent, what to look at, in data and as a page."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from schedules.operators.linear import Linear
from schedules.schedule import Schedule
from schedules.workload import Workload
from tests.tuner.nights.conftest import World, night, queue
from tests.tuner.test_job import CHIP
from tuner.frontend.stored import store_workload
from tuner.nights.page import render
from tuner.nights.report import night_of
from tuner.task import DEFAULT
from tuning_db.records import Key, Policy, Status, Toolchain, Trial
from tuning_db.store import Store

HOSTILE = "</script><script>alert(1)</script><b>"
NOW = 1.8e9
HOUR = 3600.0
TOOLS, POLICY = Toolchain({"tvm": "0"}), Policy("cold", 2)


@pytest.fixture
def keys(store: Store) -> list[Key]:
    """Two workloads on a chip."""
    store.add_target(CHIP.fingerprint, CHIP.name, CHIP.vendor, CHIP.spec())
    store.add_policy(POLICY)
    store.add_toolchain(TOOLS)
    made = [Workload.of(Linear(16, 256, k)) for k in (256, 512)]
    for workload in made:
        store_workload(store, workload)
    return [Key(workload.id, CHIP.fingerprint, TOOLS.id, POLICY.id) for workload in made]


def add(store: Store, key: Key, at: int, median: float | None, when: float, job: str = "", **more: Any) -> Trial:
    """A trial of a schedule (0 is the default), crowned where it says what it won against."""
    plan = DEFAULT if at == 0 else Schedule("linear_dot", 1, {"at": at})
    store.add_schedule(plan.id, plan.space, plan.version, dict(plan.config))
    against = more.pop("against", None)
    evidence = more.pop("evidence", {})
    if against is not None:
        before = DEFAULT if against == 0 else Schedule("linear_dot", 1, {"at": against})
        evidence |= {"incumbent": before.id, "ratios": [more.pop("ratio")] * 9}
    if median is None:
        fields: dict[str, Any] = {"status": Status.RUN_ERROR, "error": more.pop("error", "the process died")}
    else:
        fields = {"status": Status.OK, "samples": (median,) * 3, "median": median, "spread": 0.0}
    trial = Trial(key, plan.id, created=when, job=job, evidence=evidence, machine="here", **fields, **more)
    store.add_trial(trial, crown=median is not None and (at == 0 or against is not None))
    return trial


def job_of(store: Store, keys: list[Key], model: str = "tiny", **changed: Any) -> str:
    """A job that was run in the last eight hours, an hour of it after ``NOW - 2 h``."""
    id = store.queue_job({"model": model, "chip": "t", "trials": 8})
    key = {name: getattr(keys[0], name) for name in ("target", "toolchain", "policy")}
    step = {"phase": "decode", "tokens": 16, "batch": 16, "kv_len": 4096, "tp": 1, "ep": 1}
    calls = {key.workload: calls for key, calls in zip(keys, (2, 3), strict=False)}
    store.log_job(id, "plan", {"steps": [{"step": step, "calls": calls}], "floors": dict.fromkeys(calls, 1e-5)} | key)
    values = {"started": NOW - 8 * HOUR, "heartbeat": NOW - 60, "spent": 3 * HOUR} | changed
    for name, value in values.items():
        store.execute(f"UPDATE job SET {name} = ? WHERE id = ?", (value, id))
    for event, at, spent in (("began", NOW - 7 * HOUR, 0.0), ("waits", NOW - 3 * HOUR, 2 * HOUR)):
        store.execute(
            "INSERT INTO job_log (job, at, spent, event, data) VALUES (?, ?, ?, ?, '{}')", (id, at, spent, event)
        )
    return id


def test_what_got_faster_since_a_moment(store: Store, keys: list[Key]) -> None:
    job, (first, second) = job_of(store, keys), keys
    add(store, first, 0, 4e-3, NOW - 9 * HOUR)
    add(store, first, 1, 2e-3, NOW - 6 * HOUR, job, against=0, ratio=0.5)
    add(store, first, 2, 1.1e-3, NOW - HOUR, job, against=1, ratio=0.5)
    add(store, second, 0, 6e-3, NOW - 6 * HOUR, job)
    found = night_of(store, NOW - 2 * HOUR, NOW)
    (one,) = found.gains
    assert (one.before_s, one.after_s, one.faster, one.fresh) == (2e-3, 1.1e-3, pytest.approx(2.0), False)
    (step,) = found.steps
    assert (step.workloads, step.measured) == (2, 2)
    assert step.before_s == pytest.approx(2 * 2e-3 + 3 * 6e-3) and step.after_s == pytest.approx(2 * 1.1e-3 + 3 * 6e-3)
    (spent,) = found.spent
    assert (spent.spent_s, spent.trials, spent.good, spent.champions) == (HOUR, 1, 1, 1)
    night_before = night_of(store, NOW - 10 * HOUR, NOW - 2 * HOUR)
    changes = {one.workload: (one.before_s, one.after_s, one.fresh) for one in night_before.gains}
    assert changes == {first.workload: (4e-3, 2e-3, False), second.workload: (6e-3, 6e-3, True)}
    assert json.loads(json.dumps(found.to_json()))["gains"][0]["workload"] == first.workload


def test_only_the_jobs_that_are_asked_for(store: Store, keys: list[Key]) -> None:
    one, other = job_of(store, keys), job_of(store, keys)
    add(store, keys[0], 0, 4e-3, NOW - HOUR, one)
    add(store, keys[1], 0, 4e-3, NOW - HOUR, other)
    assert [gain.workload for gain in night_of(store, 0, NOW, [other]).gains] == [keys[1].workload]
    assert len(night_of(store, 0, NOW).gains) == 2
    assert night_of(store, NOW, NOW + HOUR).spent == []


def test_what_to_look_at(store: Store, keys: list[Key]) -> None:
    job = job_of(store, keys)
    add(store, keys[0], 0, 4e-3, NOW - HOUR, job, evidence={"disturbed": ["others"], "settled": False})
    for at in range(3):
        add(store, keys[1], at, None, NOW - HOUR, job, error="the process died: SIGSEGV" if at else "no memory")
    for event, data in (
        ("lost", {"host": "here", "pid": 1, "heartbeat": 0.0}),
        ("lost", {"host": "here", "pid": 1, "heartbeat": 0.0}),
        ("trouble", {"reason": "no cluster at ray://far", "again_s": 30.0}),
        ("failure", {"workload": "w1", "reason": "does not fit into memory"}),
        ("device", {"machine": "n1", "device": "cpu:0", "state": "lost", "detail": "it said nothing"}),
        ("failed", {"reason": "no workload could be tuned"}),
    ):
        store.execute(
            "INSERT INTO job_log (job, at, spent, event, data) VALUES (?, ?, 0, ?, ?)",
            (job, NOW - HOUR, event, json.dumps(data)),
        )
    store.execute("DROP TRIGGER job_changes_as_it_may")
    store.execute("UPDATE job SET state = 'failed'")
    found = night_of(store, NOW - 2 * HOUR, NOW)
    assert found.failed[0].reasons == (("the process died: SIGSEGV", 2), ("no memory", 1))
    text = "\n".join(found.look)
    for said in (
        f"job {job[-6:]} failed: no workload could be tuned",
        "not tuned: w1: does not fit into memory",
        "16x256x512 fp32 on t: none of 3 trials ran and was right",
        "was gone 2 times",
        "could not begin once, last: no cluster at ray://far",
        "3 of 4 trials ended their worker",
        "25% of the trials were disturbed",
        "n1 cpu:0 was lost: it said nothing",
        "16x256x256 fp32 on t reaches <1% of its roofline after 1 trials: 4.00 ms where 10.0 us is the floor",
    ):
        assert said in text, said


def test_a_quiet_night_has_nothing_to_look_at(store: Store, keys: list[Key]) -> None:
    job = job_of(store, keys)
    add(store, keys[0], 0, 1.2e-5, NOW - HOUR, job)
    assert list(night_of(store, NOW - 2 * HOUR, NOW).look) == []


def test_a_chip_that_something_stood_in_for_has_no_times(store: Store, keys: list[Key]) -> None:
    job = job_of(store, keys)
    store.add_schedule(DEFAULT.id, DEFAULT.space, DEFAULT.version, dict(DEFAULT.config))
    trial = Trial(keys[0], DEFAULT.id, Status.OK, created=NOW - HOUR, job=job, evidence={"untimed": "an emulator"})
    store.add_trial(trial, crown=True)
    found = night_of(store, NOW - 2 * HOUR, NOW)
    (one,) = found.gains
    assert one.built and one.before_s is None and one.after_s is None and found.steps == []
    assert list(found.look) == ["on t, workloads that run right and were not timed: 1"]
    assert "were not timed" in render(found)


def test_the_page_shows_what_it_is_told_as_text(store: Store, keys: list[Key]) -> None:
    job = job_of(store, keys, HOSTILE)
    add(store, keys[0], 0, 4e-3, NOW - HOUR, job)
    add(store, keys[0], 1, None, NOW - HOUR, job, error=HOSTILE)
    page = render(night_of(store, 0, NOW))
    assert "<script" not in page and "&lt;script&gt;alert" in page
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page


def test_a_night_that_was_run_is_reported_whole(store: Store, world: World) -> None:
    job, begun = queue(store), time.time()
    night(store)
    found = night_of(store, begun, time.time())
    (step,) = found.steps
    assert step.measured == step.workloads == 2 and step.faster is not None and step.faster >= 1
    assert [spent.job for spent in found.spent] == [job]
    assert found.spent[0].trials == len(list(store.trials()))
    assert sum(one.calls for one in found.gains) == 6
    assert "there simulated was lost: it said nothing" in found.look
