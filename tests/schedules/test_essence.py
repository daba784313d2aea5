"""Equal essences are equal programs."""

from __future__ import annotations

import copy
from typing import Any

import tvm_ffi
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schedules.essence import essence
from schedules.schedule import Schedule
from schedules.trace import check_trace, replay
from targets.errors import InputError
from tests.schedules.test_trace import GOOD, PROGRAM, mutated

PLAIN = replay(PROGRAM, GOOD)


def of(trace: Any) -> str:
    return essence(Schedule("generic", 1, {"trace": trace}))


def disguised() -> Any:
    """The good trace with other names, probabilities and bounds, and look-ups that nobody uses."""

    def other(value: Any) -> Any:
        if isinstance(value, list):
            return [other(item) for item in value]
        known = isinstance(value, str) and value[:1] in tuple("blv") and value[1:].isdigit()
        return f"{value[0]}7{value[1:]}" if known else value

    instructions, decisions = other(copy.deepcopy(GOOD))
    for instruction in instructions:
        if instruction[0] == "SampleCategorical":
            instruction[2][1] = [1.0, 0.0]
        if instruction[0] == "SamplePerfectTile":
            instruction[2][1] = 64
    return [[*instructions, ["GetSBlock", [], ["C", "main"], ["b1"]], ["EnterPostproc", [], [], []]], decisions[::-1]]


def test_a_disguise_is_seen_through() -> None:
    assert disguised() != GOOD
    assert of(disguised()) == of(GOOD)
    assert tvm_ffi.structural_equal(replay(PROGRAM, disguised()), PLAIN)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(mutated(), st.booleans())
def test_equal_essences_are_equal_programs(trace: Any, disguise: bool) -> None:
    try:
        check_trace(trace)
        same = of(trace) == of(disguised() if disguise else GOOD)
        module = replay(PROGRAM, trace) if same else None
    except InputError:
        return
    assert module is None or tvm_ffi.structural_equal(module, PLAIN)
