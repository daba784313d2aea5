"""A night whose power fails ends with every trial that was ever acknowledged; ``power.py`` does it ten times."""

from __future__ import annotations

from pathlib import Path

from tests.tuner.nights.power import fail


def test_power_that_fails_costs_only_what_was_in_flight(tmp_path: Path) -> None:
    told = fail(tmp_path, 2, [4], 1)
    assert told.states == ("done",) and told.logged == 2
    assert told.kept == told.seen >= 2 and told.doubled == 0 and told.problems == 0
    # What was spent since the last heartbeat is not counted, and starting up is not a job's time.
    assert 0 < told.spent_s <= told.ran_s
