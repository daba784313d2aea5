"""Traces that would bring code along, switch checks off, or are not traces; none of them is ever replayed."""

from __future__ import annotations

from typing import Any

import pytest

from schedules.trace import MAX_INSTRUCTIONS
from tests.redteam.hostile import attack, signed
from tests.tuning_db.claims import batch, claim, traced
from tuning_db.reasons import Reason

BLOCK = ["GetSBlock", [], ["C", "main"], ["b0"]]
LOOPS = ["GetLoops", ["b0"], [], ["l1", "l2", "l3"]]
C_TEXT = '"#include <stdlib.h>\\nint headstart_red_team = system(\\"touch here\\");"'
LLVM_TEXT = '"define void @headstart_red_team() { unreachable }"'

INSTRUCTIONS: dict[str, Any] = {
    "C text": ["Annotate", ["l1", C_TEXT], ["pragma_import_c"], []],
    "C text on a block": ["Annotate", ["b0", C_TEXT], ["pragma_import_c"], []],
    "LLVM text": ["Annotate", ["l1", LLVM_TEXT], ["pragma_import_llvm"], []],
    "LLVM text under a key that is allowed": ["Annotate", ["l1", LLVM_TEXT], ["pragma_auto_unroll_max_step"], []],
    "a key in disguise": ["Annotate", ["l1", C_TEXT], ["pragma_import_c\u200b"], []],
    "a map of annotations": ["Annotate", ["b0", {"pragma_import_c": C_TEXT}], ["pragma_unroll_explicit"], []],
    "unsafe type": ["UnsafeSetDType", ["b0"], [0, "int8"], []],
    "hidden access": ["UnsafeHideBufferAccess", ["b0"], ['"read"', [0]], []],
    "layout that is not injective": ["TransformLayout", ["b0", "lambda i, j: (i // 2, 0)"], [0, 1, None, 1], []],
    "layout of a block": ["TransformBlockLayout", ["b0", "lambda i, j: (0, 0)"], [], []],
    "unknown intrinsic": ["Tensorize", ["l3"], ["headstart_red_team", 1], []],
    "unknown instruction": ["RunThis", ["l3"], [], []],
    "instruction of Python": ["__import__", ["os"], [], []],
    "no bounds check": ["Split", ["l3", "None", 48], [1, 1], ["l4", "l5"]],
    "a loop without end": ["Split", ["l3", 2**30, 2**30], [1, 0], ["l4", "l5"]],
    "a factor of zero": ["Split", ["l3", "None", 0], [1, 0], ["l4", "l5"]],
    "a huge factor": ["Split", ["l3", "None", 10**30], [1, 0], ["l4", "l5"]],
    "an object of TVM": ["Split", ["l3", '{"root_index":0,"nodes":[]}', 4], [1, 0], ["l4", "l5"]],
    "another function": ["GetSBlock", [], ["C", "__tvm_main__"], ["b4"]],
    "a loop of nobody": ["Parallel", ["l9"], [], []],
    "a loop made twice": ["AddUnitLoop", ["b0"], [], ["l1"]],
    "left to chance": ["SampleCategorical", [], [[0, 16], [0.5, 0.5]], ["v4"]],
    "many operands": ["Reorder", ["l1"] * 1000, [], []],
    "no list": "Parallel",
    "nothing": None,
    "a kind that is a list": [["Parallel"], ["l1"], [], []],
}


@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_an_instruction(name: str) -> None:
    schedule = traced([[BLOCK, LOOPS, INSTRUCTIONS[name]], []])
    assert attack(signed(batch(claim(1, schedule=schedule)).dumps())) == {Reason.SCHEDULE_NOT_ALLOWED}


@pytest.mark.parametrize(
    "trace",
    [
        [[BLOCK] * (MAX_INSTRUCTIONS + 1), []],
        [[["GetSBlock", [], ["C", "main"], [f"b{n}"]] for n in range(30_000)], []],
        [[], [[0, 1]]],
        [[BLOCK], [[0, 1], [0, 1]]],
        [[BLOCK], [[True, 1]]],
        [[BLOCK], []] * 2,
        {"instructions": []},
        "[[], []]",
        [[], [[2**62, 0]]],
    ],
    ids=lambda trace: repr(trace)[:30],
)
def test_a_trace(trace: Any) -> None:
    assert attack(signed(batch(claim(1, schedule=traced(trace))).dumps())) == {Reason.SCHEDULE_NOT_ALLOWED}


@pytest.mark.parametrize("name", ["C text", "LLVM text", "unsafe type"])
def test_one_bad_trace_among_good_ones(name: str) -> None:
    """All or nothing: the good ones are not taken either."""
    bad = traced([[BLOCK, LOOPS, INSTRUCTIONS[name]], []])
    given = [claim(1), claim(2, schedule=bad), claim(3)]
    assert attack(signed(batch(*given).dumps())) == {Reason.SCHEDULE_NOT_ALLOWED}


def test_a_trace_in_a_space_of_knobs() -> None:
    from schedules.schedule import Schedule

    smuggled = Schedule("knobs", 1, {"mr": 1, "trace": [[BLOCK, INSTRUCTIONS["C text"]], []]})
    assert attack(signed(batch(claim(1, schedule=smuggled)).dumps())) == {Reason.SCHEDULE_NOT_ALLOWED}
