"""Claims for a GPU that is not here: a wrong one is refused for what it means, and no other is believed for it."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from schedules.operators.linear import Linear
from schedules.schedule import Schedule
from schedules.space import spaces
from schedules.workload import Workload
from targets import catalogue
from tests.tuner.referee.cases import claimed
from tuner.referee.causes import Cause
from tuner.referee.docket import Case, Obstacle, admit
from tuner.referee.examine import examine
from tuner.referee.judge import SEEDS, CaseResult, Findings, judge
from tuner.referee.sandbox import Limits
from tuner.toolchain import lowering
from tuning_db.claim import Outcome
from tuning_db.records import Policy, Toolchain

H100 = catalogue.target("h100")
LAYER, LARGER = Workload.of(Linear(4, 8, 32)), Workload.of(Linear(3, 96, 512, "bfloat16", "bfloat16"))
HOSTILE = Path(__file__).parent.parent / "hostile"
KINDS = runpy.run_path(str(HOSTILE / "spaces" / "hostile.py"))["Hostile"].KINDS
TOOLS = Toolchain({**lowering(H100).versions, "cuda": "13.0", "driver": "580.159.04"})


def admitted(workload: Workload, **fields) -> Case:
    given = {"toolchain": TOOLS, "policy": Policy("cold", H100.cores), "target": H100} | fields
    return admit(claimed(workload, **given))


def test_whoever_timed_it_tvm_and_llvm_must_be_the_same():
    case = admitted(LARGER)
    assert case.meant and case.target == H100 and case.untimed.startswith("it is for h100")
    for versions in ({**TOOLS.versions, "tvm": "0.1"}, {"cuda": "13.0"}):
        with pytest.raises(Obstacle) as found:
            admitted(LARGER, toolchain=Toolchain(versions))
        assert found.value.cause is Cause.OTHER_TOOLCHAIN
    with pytest.raises(Obstacle) as found:
        admitted(LARGER, target=replace(H100, cores=131))
    assert found.value.cause is Cause.OTHER_CHIP


def test_a_right_one_is_not_believed():
    schedule = spaces()["cuda_skinny"](LARGER, H100).seeds()[0]
    findings = examine(admitted(LARGER, schedule=schedule), Limits(build=60.0, run=60.0))
    assert len(findings.cases) >= SEEDS and not any(one.wrong for one in findings.cases)
    ruling = judge(findings)
    assert (ruling.outcome, ruling.cause) == (Outcome.UNJUDGED, Cause.MEANING_ONLY) and "h100" in ruling.reason


@pytest.mark.parametrize(
    ("kind", "cause", "outcome"),
    [
        ("partial", Cause.WRONG_OUTPUT, Outcome.REFUSED),
        ("reach", Cause.OUT_OF_BOUNDS, Outcome.REFUSED),
        ("refuse", Cause.MEANING_ONLY, Outcome.UNJUDGED),
    ],
)
def test_what_a_cpu_can_show(monkeypatch, kind, cause, outcome):
    monkeypatch.syspath_prepend(str(HOSTILE))
    hostile = Schedule("hostile", 1, {"kind": KINDS.index(kind)})
    case = replace(admitted(LAYER), claimed=claimed(LAYER, hostile, target=H100, toolchain=TOOLS))
    ruling = judge(examine(case, Limits(build=60.0, run=60.0)))
    assert (ruling.cause, ruling.outcome) == (cause, outcome), ruling


@pytest.mark.parametrize("stopped", [None, *(c for c in Cause if c.outcome in (Outcome.REFUSED, Outcome.UNJUDGED))])
@pytest.mark.parametrize("wrong", ["", "3 of 4 elements wrong"])
def test_nothing_raises_trust(stopped, wrong):
    cases = [CaseResult("seed", seed, wrong) for seed in range(SEEDS)]
    ruling = judge(Findings(1.0, stopped, "so", cases, [(1.0, True)], meant=True))
    expected = Outcome.REFUSED if wrong or stopped in (Cause.WRONG_OUTPUT, Cause.OUT_OF_BOUNDS) else Outcome.UNJUDGED
    assert ruling.outcome is expected
