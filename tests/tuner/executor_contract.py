"""What every executor keeps: a trial may do anything to its process; the job gets an outcome and goes on.

Its tests are run by the modules of the executors, each of which has a fixture ``session``: a small linear layer on one
of its devices, whose workers know the hostile space, with 4 s to build and 4 s to run.
"""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from schedules.operators.linear import Linear
from schedules.schedule import Schedule
from schedules.workload import Workload
from tuner.executor import Device, Limits, Session
from tuner.task import DEFAULT
from tuning_db.records import Status

HOSTILE = Path(__file__).parent / "hostile"
KINDS = runpy.run_path(str(HOSTILE / "spaces" / "hostile.py"))["Hostile"].KINDS
LIMITS = Limits(build=4.0, run=4.0)


def opened(device: Device) -> Session:
    return device.open(Workload.of(Linear(4, 8, 32)), seed=0)


def hostile(kind: str) -> Schedule:
    return Schedule("hostile", 1, {"kind": KINDS.index(kind)})


def is_failed(session: Session, kind: str, status: Status, reason: str) -> None:
    """A bad schedule is a failed trial with its reason, and the session goes on."""
    outcome = session.trial(hostile(kind))
    assert outcome.status is status
    assert reason in outcome.error and "\n" not in outcome.error
    assert session.trial(DEFAULT).status is Status.OK


def harmless_ahead(session: Session, kind: str, status: Status) -> None:
    """A bad schedule among those that are built ahead fails alone."""
    session.ahead([DEFAULT, hostile(kind), hostile("lie"), hostile("refuse")])
    assert session.trial(hostile("lie")).status is Status.WRONG_OUTPUT
    assert session.trial(hostile(kind)).status is status
    assert session.trial(hostile("refuse")).status is Status.BUILD_ERROR
    assert session.trial(DEFAULT).status is Status.OK


class ExecutorContract:
    """What holds for each executor; those that cost little."""

    @pytest.mark.parametrize(
        "kind, status, reason",
        [
            ("hang", Status.TIMEOUT, "longer than 4 s"),
            ("crash", Status.RUN_ERROR, "SIGABRT"),
            ("lie", Status.WRONG_OUTPUT, "32 of 32 elements wrong"),
        ],
    )
    def test_a_bad_schedule_is_a_failed_trial_with_its_reason(self, session, kind, status, reason):
        is_failed(session, kind, status, reason)

    def test_one_that_does_harm_when_built_ahead_costs_the_others_nothing(self, session):
        harmless_ahead(session, "die", Status.RUN_ERROR)

    def test_a_schedule_of_an_unknown_space_is_a_build_error(self, session):
        outcome = session.trial(Schedule("nowhere", 1, {}))
        assert outcome.status is Status.BUILD_ERROR and "unknown space 'nowhere'" in outcome.error

    def test_the_incumbent_comes_back_after_a_crash(self, session):
        assert session.incumbent(DEFAULT).status is Status.OK
        assert session.trial(hostile("crash")).status is Status.RUN_ERROR
        good = session.trial(DEFAULT)
        assert good.status is Status.OK and good.median is not None and good.median > 0
        assert len(good.ratios) == len(good.samples) and all(ratio > 0 for ratio in good.ratios)

    def test_who_is_crowned_is_timed_against(self, session):
        assert session.trial(DEFAULT).ratios == ()
        session.crown()
        assert session.trial(DEFAULT).ratios

    def test_samples_are_of_the_policy_and_say_where_and_when(self, session):
        first, second = session.trial(DEFAULT), session.trial(DEFAULT)
        assert 3 <= len(first.samples) <= 10 and min(first.samples) > 0
        assert first.spread is not None and first.spread >= 0
        assert first.ratios == () and first.status is Status.OK
        assert first.notes["device"] == second.notes["device"]
        assert first.notes["began"] < first.notes["ended"] <= second.notes["began"]
