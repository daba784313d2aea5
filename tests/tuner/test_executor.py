"""A trial may do anything to the process it runs in; the job must get an outcome with a reason and go on."""

from __future__ import annotations

import os
import runpy
from pathlib import Path

import pytest

from schedules.operators.linear import Linear
from schedules.schedule import Schedule
from schedules.workload import Workload
from targets import detect
from tuner.executor import Limits
from tuner.local_executor import LocalExecutor, LocalSession
from tuner.task import DEFAULT
from tuning_db.records import Policy, Status

HOSTILE = Path(__file__).parent / "hostile"
SPACE = runpy.run_path(str(HOSTILE / "spaces" / "hostile.py"))
KINDS = SPACE["Hostile"].KINDS


@pytest.fixture(scope="module")
def executor():
    """An executor whose workers know the hostile space."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(HOSTILE)
    target = detect.host()
    with LocalExecutor(target, Policy("warm", target.cores), Limits(build=2.0, run=3.0)) as made:
        yield made
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


@pytest.fixture
def session(executor: LocalExecutor) -> LocalSession:
    return executor.devices()[0].open(Workload.of(Linear(4, 8, 32)), seed=0)


def hostile(kind: str) -> Schedule:
    return Schedule("hostile", 1, {"kind": KINDS.index(kind)})


@pytest.mark.parametrize(
    "kind, status, reason",
    [
        ("die", Status.RUN_ERROR, "died: exit code 7"),
        ("hang", Status.TIMEOUT, "longer than 2 s"),
        ("eat", Status.OVER_LIMIT, "memory"),
        ("refuse", Status.BUILD_ERROR, "vectorize"),
        ("fork", Status.RUN_ERROR, "started 2 processes of its own"),
        ("print", Status.RUN_ERROR, "something else than an answer"),
        ("forge", Status.RUN_ERROR, "something else than an answer"),
        ("flood", Status.RUN_ERROR, "something else than an answer"),
        ("close", Status.RUN_ERROR, "died: exit code"),
        ("crash", Status.RUN_ERROR, "SIGABRT"),
        ("spin", Status.TIMEOUT, "longer than 3 s"),
        ("leave", Status.RUN_ERROR, "died: exit code 7"),
        ("spill", Status.RUN_ERROR, "SIGSEGV (memory outside of its arguments"),
        ("reach", Status.WRONG_OUTPUT, "argument C: written before its start"),
        ("stray", Status.RUN_ERROR, "SIGSEGV (memory outside of its arguments"),
        ("scribble", Status.RUN_ERROR, "SIGSEGV (memory outside of its arguments, or an input overwritten)"),
        ("lie", Status.WRONG_OUTPUT, "32 of 32 elements wrong"),
        ("skip", Status.WRONG_OUTPUT, "32 of 32 elements wrong"),
        ("hoard", Status.RUN_ERROR, "SIGSEGV"),
        ("overflow", Status.OVER_LIMIT, "memory"),
    ],
)
def test_a_bad_schedule_is_a_failed_trial_with_its_reason(session, kind, status, reason):
    outcome = session.trial(hostile(kind))
    assert outcome.status is status
    assert reason in outcome.error and "\n" not in outcome.error
    assert session.trial(DEFAULT).status is Status.OK  # and the session goes on


@pytest.mark.parametrize("kind", ["chat", "listen"])
def test_a_kernel_that_prints_or_reads_reaches_nobody(session, kind):
    assert session.trial(hostile(kind)).status is Status.OK
    assert session.trial(DEFAULT).status is Status.OK


@pytest.mark.parametrize(
    "kind, status", [("die", Status.RUN_ERROR), ("hang", Status.TIMEOUT), ("fork", Status.RUN_ERROR)]
)
def test_one_that_does_harm_when_built_ahead_costs_the_others_nothing(session, kind, status):
    session.ahead([DEFAULT, hostile(kind), hostile("lie"), hostile("refuse")])
    assert session.trial(hostile("lie")).status is Status.WRONG_OUTPUT
    assert session.trial(hostile(kind)).status is status
    assert session.trial(hostile("refuse")).status is Status.BUILD_ERROR
    assert session.trial(DEFAULT).status is Status.OK


def test_a_schedule_of_an_unknown_space_is_a_build_error(session):
    outcome = session.trial(Schedule("nowhere", 1, {}))
    assert outcome.status is Status.BUILD_ERROR and "unknown space 'nowhere'" in outcome.error


def test_the_incumbent_comes_back_after_a_crash(session):
    assert session.incumbent(DEFAULT).status is Status.OK
    assert session.trial(hostile("crash")).status is Status.RUN_ERROR
    good = session.trial(DEFAULT)
    assert good.status is Status.OK and good.median is not None and good.median > 0
    assert len(good.ratios) == len(good.samples) and all(ratio > 0 for ratio in good.ratios)


def test_samples_are_of_the_policy(executor, session):
    outcome = session.trial(DEFAULT)
    assert 3 <= len(outcome.samples) <= 10 and min(outcome.samples) > 0
    assert outcome.spread is not None and outcome.spread >= 0
    assert outcome.ratios == () and outcome.status is Status.OK
