"""What a referee says of a claim before it builds anything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from schedules.operators.linear import Linear
from schedules.schedule import Schedule
from schedules.workload import Workload
from targets import detect
from targets.errors import HeadstartError
from targets.host import host
from targets.target import Peaks
from tests.plugin_packages import on_path, write
from tests.tuner.referee.cases import claimed, row
from tuner.referee.causes import Cause
from tuner.referee.docket import Claimed, Obstacle, admit
from tuning_db.records import Policy, Toolchain

LAYER = Workload.of(Linear(4, 8, 32))
HERE = detect.host()


@pytest.fixture(autouse=True)
def _peaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Known, so that nothing is measured: 4 x 8 x 32 takes 2 us of arithmetic."""
    monkeypatch.setitem(host().__dict__, "measured", Peaks({"float32": 1.024e9}, 1e12, 1e12))
    monkeypatch.setattr("targets.host.Host.measure_again", lambda self: None)


@pytest.mark.parametrize(
    ("fields", "cause", "said"),
    [
        ({"schedule": Schedule("nowhere", 1, {})}, Cause.UNKNOWN_SPACE, "nowhere"),
        ({"schedule": Schedule("default", 99, {})}, Cause.UNKNOWN_SPACE, "v99"),
        ({"schedule": Schedule("default", 1, {"mr": "x"})}, Cause.SCHEDULE_NOT_ALLOWED, "mr"),
        ({"toolchain": Toolchain({"tvm": "0.1"})}, Cause.OTHER_TOOLCHAIN, "tvm 0.1"),
        ({"workload": row(LAYER, operator="cure_all")}, Cause.UNKNOWN_WORKLOAD, "cure_all"),
        ({"workload": row(LAYER, params={"m": -1})}, Cause.UNKNOWN_WORKLOAD, "linear"),
        ({"workload": row(LAYER, operator="primfunc", params={"ir": "{}"})}, Cause.UNKNOWN_WORKLOAD, "primfunc"),
        ({"workload": row(Workload.of(Linear(4, 8, 33)), id=LAYER.id)}, Cause.OTHER_WORKLOAD, LAYER.id),
        ({"median": 1e-6}, Cause.BELOW_FLOOR, "2.00 us at best: 2048 operations"),
        ({"target": replace(HERE, tvm={**HERE.tvm, "kind": "cuda"})}, Cause.OTHER_CHIP, HERE.name),
        ({"target": replace(HERE, tvm={**HERE.tvm, "mtriple": "s390x-linux-gnu"})}, Cause.OTHER_CHIP, HERE.name),
        ({"target": replace(HERE, features=(*HERE.features, "x87-from-mars"))}, Cause.OTHER_CHIP, "x87-from-mars"),
    ],
)
def test_what_cannot_be_judged_or_is_refused_as_it_stands(fields: dict[str, Any], cause: Cause, said: str) -> None:
    with pytest.raises(Obstacle) as found:
        admit(claimed(LAYER, **fields))
    assert found.value.cause is cause
    assert said in str(found.value)


def test_one_of_this_chip_is_judged_in_full_by_our_own_peaks() -> None:
    lying = replace(HERE, peaks=Peaks({"float32": 1e18}, 1e18, 1e18))
    case = admit(claimed(LAYER, target=lying))
    assert (case.untimed, case.corrections, case.target) == ("", {}, host())
    assert case.floor_s == pytest.approx(2e-6)


def test_a_row_that_makes_the_floor_low_is_found_out() -> None:
    """The publisher's count of operations decided on the server; here it is our own."""
    low = row(LAYER, flops=1, bytes=1)
    case = admit(claimed(LAYER, workload=low))
    assert case.corrections == {"flops": [1, LAYER.flops], "bytes": [1, LAYER.bytes]}
    with pytest.raises(Obstacle) as found:
        admit(claimed(LAYER, workload=low, median=1e-6))
    assert found.value.cause is Cause.BELOW_FLOOR


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"target": replace(HERE, cores=HERE.cores + 1)}, "it is for"),
        ({"policy": Policy("warm", HERE.cores + 1)}, "threads"),
        ({"policy": Policy("warm", HERE.cores, "cycles")}, "cycles"),
    ],
)
def test_what_can_be_checked_and_not_timed(fields: dict[str, Any], said: str) -> None:
    assert said in admit(claimed(LAYER, **fields)).untimed


def test_what_is_no_claim_is_an_error_of_one_line() -> None:
    with pytest.raises(HeadstartError, match="no claim"):
        Claimed.of_json({"claim": {}, "incumbent": None})


def test_a_stranger_s_name_of_a_chip_loads_no_plug_in(tmp_path: Path) -> None:
    """One of a plug-in is installed here; the claim says that its chip has that name, and is else like this one."""
    write(tmp_path, "maker", ["chip-1"], "raise RuntimeError('loaded')")
    declared = replace(HERE, name="chip-1", cores=HERE.cores + 1)
    here = claimed(LAYER, target=declared)
    with on_path(tmp_path), pytest.raises(Obstacle) as found:
        admit(here)
    assert found.value.cause is Cause.OTHER_CHIP and "chip-1 is a chip of a plug-in here" in str(found.value)
