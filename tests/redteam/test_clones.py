"""One schedule in many disguises, one measurement under many names, more than anybody wants to read."""

from __future__ import annotations

import copy
from typing import Any

from tests.redteam.hostile import attack, signed
from tests.tuning_db.claims import TRACE, batch, claim, knobs, known, traced
from tuning_db.reasons import Reason
from tuning_db.screening import ALIKE, MAX_PER_KEY, screen


def times(n: int) -> tuple[float, ...]:
    """Samples that no other trial has."""
    return tuple(1.5e-3 + (n * 100 + at) * 1e-9 for at in range(5))


def disguised(n: int) -> Any:
    """The same trace, each time with other names of variables and another look-up that nobody uses."""
    instructions, decisions = copy.deepcopy(TRACE)

    def renamed(value: Any) -> Any:
        if isinstance(value, list):
            return [renamed(item) for item in value]
        known_name = isinstance(value, str) and len(value) == 2 and value[1].isdigit()
        return f"{value[0]}{n}0{value[1]}" if known_name else value

    return [[*renamed(instructions), ["GetSBlock", [], [f"unused{n}", "main"], ["b0"]]], decisions]


def test_a_schedule_in_a_hundred_disguises() -> None:
    spam = [claim(n, schedule=traced(disguised(n)), samples=times(n)) for n in range(1, MAX_PER_KEY)]
    assert len({one.schedule.id for one in spam}) == len(spam)
    assert attack(signed(batch(*spam).dumps())) == {Reason.CLONE}
    assert [finding.entry for finding in screen(batch(*spam), known())] == list(range(2, MAX_PER_KEY))


def test_one_measurement_under_many_schedules() -> None:
    spam = [claim(n, schedule=knobs(mr=n), samples=times(0)) for n in range(ALIKE + 2)]
    assert attack(signed(batch(*spam).dumps())) == {Reason.COPIED_SAMPLES}


def test_one_trial_many_times() -> None:
    spam = [claim(1, created=1.75e9 + n, machine=f"machine-{n}", build_s=float(n)) for n in range(MAX_PER_KEY)]
    assert attack(signed(batch(*spam).dumps())) == {Reason.DUPLICATE}


def test_more_than_enough() -> None:
    spam = [claim(n, samples=times(n)) for n in range(MAX_PER_KEY + 1)]
    assert attack(signed(batch(*spam).dumps())) == {Reason.TOO_MANY}


def test_numbers_that_are_equal_and_hash_to_other_schedules() -> None:
    spam = [claim(1, schedule=knobs(mr=1, fetch=fetch)) for fetch in (1, True, 1.0)]  # type: ignore[arg-type]
    assert len({one.schedule.id for one in spam}) == 3
    assert attack(signed(batch(spam[0]).dumps())) == set()
    assert attack(signed(batch(spam[1]).dumps())) == {Reason.SCHEDULE_NOT_ALLOWED}
    assert attack(signed(batch(spam[2]).dumps())) == {Reason.SCHEDULE_NOT_ALLOWED}
