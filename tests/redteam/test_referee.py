"""Claims that got past the server: what they do, they do in the sandbox, and they are refused for it."""

from __future__ import annotations

import runpy
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from schedules.operators.linear import Linear
from schedules.schedule import Schedule
from schedules.workload import Workload
from targets import detect
from tests.redteam.test_traces import BLOCK, INSTRUCTIONS, LOOPS
from tests.tuner.referee.cases import case, claimed
from tests.tuning_db.claims import traced
from tuner.referee.causes import Cause
from tuner.referee.docket import Obstacle, admit
from tuner.referee.examine import examine
from tuner.referee.judge import judge
from tuner.referee.sandbox import Limits
from tuning_db.claim import Outcome

HOSTILE = Path(__file__).parent.parent / "tuner" / "hostile"
KINDS = runpy.run_path(str(HOSTILE / "spaces" / "hostile.py"))["Hostile"].KINDS
# What never ends is not waited for so long; the default schedule is built and run within the same time.
ENDLESS = {"hang": Limits(build=8.0), "spin": Limits(run=5.0)}
LAYER = Workload.of(Linear(4, 8, 32))


@pytest.fixture(autouse=True)
def _known_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sandboxes know the hostile space; the referee itself does not."""
    monkeypatch.syspath_prepend(str(HOSTILE))


@pytest.mark.parametrize(
    ("kind", "cause", "said"),
    [
        ("hang", Cause.BUILD_TIMEOUT, "longer than 8 s"),
        ("eat", Cause.BUILD_MEMORY, "memory"),
        ("fork", Cause.BUILD_FAILED, "not permitted"),
        ("forge", Cause.BUILD_CRASHED, "something else than an answer"),
        ("spin", Cause.RUN_TIMEOUT, "longer than 5 s"),
        ("reach", Cause.OUT_OF_BOUNDS, "argument C: written before its start"),
        ("stray", Cause.OUT_OF_BOUNDS, "SIGSEGV"),
        ("partial", Cause.WRONG_OUTPUT, "16 of 32 elements wrong"),
    ],
)
def test_what_a_kernel_or_its_compiler_may_do(
    kind: str, cause: Cause, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The scratch folder, which every process of a sandbox names, is below that of this test.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    hostile = Schedule("hostile", 1, {"kind": KINDS.index(kind)})
    ruling = judge(examine(case(LAYER, hostile), ENDLESS.get(kind, Limits())))
    assert (ruling.outcome, ruling.cause) == (Outcome.REFUSED, cause), ruling
    assert said in ruling.reason
    assert [process for process in psutil.process_iter() if _names(process, tmp_path)] == []


def _names(process: psutil.Process, folder: Path) -> bool:
    try:
        return any(str(folder) in word for word in process.cmdline())
    except psutil.Error:
        return False


def test_one_that_is_right_for_one_seed_only() -> None:
    """It passes where the seed is known; nobody knows that of a referee."""
    hostile = Schedule("hostile", 1, {"kind": KINDS.index("seeded")})
    seeds = iter([0, 1, 2])
    findings = examine(case(LAYER, hostile), Limits(), draw=lambda: next(seeds))
    assert judge(findings).cause is Cause.WRONG_OUTPUT


@pytest.mark.parametrize(
    "name", ["C text", "LLVM text", "unsafe type", "hidden access", "layout that is not injective"]
)
def test_a_trace_that_brings_code_along(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The referee looks for itself, before it starts anything."""
    monkeypatch.setattr("tuner.referee.examine.Sandbox", None)
    with pytest.raises(Obstacle) as refused:
        admit(claimed(LAYER, traced([[BLOCK, LOOPS, INSTRUCTIONS[name]], []])))
    assert refused.value.cause is Cause.SCHEDULE_NOT_ALLOWED


def test_a_trace_for_another_workload() -> None:
    trace: list[Any] = [[["GetSBlock", [], ["matmul", "main"], ["b0"]], ["GetLoops", ["b0"], [], ["l1", "l2"]]], []]
    ruling = judge(examine(case(LAYER, traced(trace)), Limits()))
    assert ruling.cause is Cause.BUILD_FAILED
    assert "does not fit the program" in ruling.reason


def test_what_steers_the_compiler_comes_from_no_vendor() -> None:
    chip = replace(detect.host(), tvm={**detect.host().tvm, "cl-opt": ["-print-after-all"]})
    with pytest.raises(Obstacle) as found:
        admit(claimed(LAYER, target=chip))
    assert found.value.cause is Cause.OTHER_CHIP


def test_a_harmful_incumbent_is_not_the_claim_that_is_judged() -> None:
    hostile = Schedule("hostile", 1, {"kind": KINDS.index("crash")})
    findings = examine(case(LAYER, incumbent=("t0", hostile)), Limits())
    assert judge(findings).outcome in (Outcome.REPRODUCED, Outcome.REPLAYED)
    assert findings.evidence["incumbent"]["claim"] == "t0"
    assert "SIGABRT" in findings.evidence["incumbent"]["failed"]
