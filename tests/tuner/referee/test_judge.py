"""A verdict follows from the figures alone, and nothing that is wrong is ever reproduced."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner.referee.causes import Cause
from tuner.referee.judge import FAR, SEEDS, TOLERANCE, CaseResult, Findings, judge, retimed
from tuning_db.claim import Outcome

times = st.floats(1e-7, 10.0)
takes = st.lists(st.tuples(times, st.booleans()), max_size=3)
wrong = st.sampled_from(["", "", "", "output 0: 3 of 9 elements wrong"])
cases = st.lists(st.builds(CaseResult, st.sampled_from(["seed", "seed", "zeros", "timed"]), st.integers(0, 9), wrong))
whole = st.builds(
    Findings,
    times,
    st.none() | st.sampled_from([cause for cause in Cause if cause.outcome in (Outcome.REFUSED, Outcome.UNJUDGED)]),
    st.text(max_size=20),
    cases,
    takes,
)


def good(claimed: float = 1.0, *taken: tuple[float, bool]) -> Findings:
    return Findings(claimed, cases=[CaseResult("seed", seed) for seed in range(SEEDS)], takes=taken)


@given(whole)
def test_only_what_is_right_and_as_fast_is_reproduced(findings: Findings) -> None:
    ruling = judge(findings)
    assert ruling.outcome is ruling.cause.outcome
    if ruling.outcome in (Outcome.REPRODUCED, Outcome.REPLAYED):
        assert findings.stopped is None
        assert not any(case.wrong for case in findings.cases)
        assert len({case.seed for case in findings.cases if case.name == "seed"}) >= SEEDS
    if ruling.outcome is Outcome.REPRODUCED:
        assert min(seconds for seconds, _ in findings.takes) <= findings.claimed * (1 + TOLERANCE)
    if any(case.wrong for case in findings.cases):
        assert ruling.outcome is Outcome.REFUSED
    assert ruling.reason.isascii() and "\n" not in ruling.reason and len(ruling.reason) <= 400
    assert ruling.reason.startswith(ruling.cause.value)


@given(whole, st.randoms())
def test_the_order_makes_no_difference(findings: Findings, lucky: random.Random) -> None:
    mixed = [lucky.sample(list(part), len(part)) for part in (findings.cases, findings.takes)]
    other = Findings(findings.claimed, findings.stopped, findings.said, mixed[0], mixed[1])
    assert judge(other) == judge(findings)


@given(times, st.lists(st.tuples(times, st.booleans()), min_size=1), st.floats(1e-3, 1.0))
def test_what_is_faster_here_is_trusted_no_less(claimed: float, taken: list[tuple[float, bool]], factor: float) -> None:
    order = [Outcome.REFUSED, Outcome.REPLAYED, Outcome.REPRODUCED]
    quicker = [(seconds * factor, settled) for seconds, settled in taken]
    before, after = judge(good(claimed, *taken)), judge(good(claimed, *quicker))
    assert order.index(after.outcome) >= order.index(before.outcome)


@pytest.mark.parametrize(
    ("seconds", "settled", "cause"),
    [
        (0.5, True, Cause.REPRODUCED),
        (1.0 + TOLERANCE, False, Cause.REPRODUCED),
        (1.01 + TOLERANCE, True, Cause.SLOWER),
        (1.0 + FAR, True, Cause.SLOWER),
        (1.01 + FAR, True, Cause.NOT_REPRODUCED),
        (9.0, False, Cause.DISTURBED),
    ],
)
def test_where_the_lines_are(seconds: float, settled: bool, cause: Cause) -> None:
    ruling = judge(good(1.0, (seconds, settled)))
    assert ruling.cause is cause
    assert "1.00 s claimed" in ruling.reason


def test_what_was_not_timed_is_replayed() -> None:
    assert judge(good(1.0)).cause is Cause.NOT_TIMED


def test_the_fastest_take_counts() -> None:
    assert retimed([(3.0, True), (1.0, False), (2.0, True)]) == (1.0, False)
    assert retimed([(1.0, False), (1.0, True)]) == (1.0, True)
