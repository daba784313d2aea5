"""What a server says of claims without running anything, and which reasons there are."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from schedules.essence import essence
from schedules.schedule import Schedule
from targets import catalogue
from targets.digest import digest
from targets.roofline import IMPOSSIBLE
from tests.tuning_db.claims import CHIP, COMPUTATION, TRACE, WORKLOAD, batch, claim, known, traced
from tests.tuning_db.example import POLICY
from tuning_db.batch import ClaimedTrial
from tuning_db.reasons import Finding, Reason, Refused, printable
from tuning_db.records import Policy
from tuning_db.screening import (
    ALIKE,
    KNOB,
    MAX_PER_KEY,
    NO_SPREAD,
    SAME,
    Computation,
    Known,
    catalogue_by_fingerprint,
    floor,
    screen,
)

ROOT = Path(__file__).resolve().parents[2]


def said(*claims: ClaimedTrial, **fields: Any) -> list[Finding]:
    """What is found of a batch of these claims."""
    findings = screen(batch(*claims), known(**fields))
    assert all(finding.said.isascii() and finding.said.isprintable() for finding in findings)
    return findings


def reasons(*claims: ClaimedTrial, **fields: Any) -> list[tuple[int, Reason]]:
    """Entries and reasons."""
    return [(finding.entry, finding.reason) for finding in said(*claims, **fields)]


def test_a_batch_that_is_right() -> None:
    assert screen(batch(), known()) == []


def test_every_reason_is_documented() -> None:
    """The table of the document is the enumeration, in its order."""
    page = (ROOT / "docs" / "submissions.md").read_text().partition("| code |")[2]
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", page, flags=re.M)
    assert rows == [(reason.value, reason.meaning) for reason in Reason]


def test_reasons_are_codes() -> None:
    assert Reason("below_floor") is Reason.BELOW_FLOOR
    assert len({reason.value for reason in Reason}) == len(Reason)
    assert [reason for reason in Reason if not reason.refuses] == [Reason.NO_PEAKS]
    assert Refused(Reason.CLONE, "a\nb\u202e").args == (r"a b\u202e",)
    assert len(printable("\U0001f600" * 10**4)) <= 400


def test_an_unknown_workload() -> None:
    other = digest("w", "another")
    assert said(claim(1), claim(2, workload=other)) == [Finding(Reason.UNKNOWN_WORKLOAD, 2, f"no workload {other}")]


@pytest.mark.parametrize(
    ("schedule", "why"),
    [
        (Schedule("magic", 1, {}), "space magic v1: there is none of that name"),
        (Schedule("knobs", 2, {}), "space knobs v2: here it is v1"),
    ],
)
def test_an_unknown_space(schedule: Schedule, why: str) -> None:
    assert said(claim(1, schedule=schedule)) == [Finding(Reason.UNKNOWN_SPACE, 1, why)]


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"mr": 1.0}, "knob mr must be a whole number"),
        ({"mr": True}, "knob mr must be a whole number"),
        ({"mr": -1}, "knob mr must be a whole number"),
        ({"mr": 2**31}, "knob mr must be a whole number"),
        ({"mr": "1"}, "knob mr must be a whole number"),
        ({"mr": [1]}, "knob mr must be a whole number"),
        ({"mr": None}, "knob mr must be a whole number"),
        ({"mr": {}}, "knob mr must be a whole number"),
        ({"trace": TRACE}, "knob trace must be a whole number"),
        ({"": 1}, "'' is not the name of a knob"),
        ({"m r": 1}, "'m r' is not the name of a knob"),
        ({"MR": 1}, "'MR' is not the name of a knob"),
        ({"mr\u202e": 1}, r"'mr\u202e' is not the name of a knob"),
        ({"а": 1}, r"'\u0430' is not the name of a knob"),  # noqa: RUF001
        ({"a" * 33: 1}, "is not the name of a knob"),
        ({f"a{n}": 1 for n in range(33)}, "33 knobs; at most 32"),
    ],
)
def test_knobs_are_names_and_small_numbers(config: dict[str, Any], why: str) -> None:
    (found,) = said(claim(1, schedule=Schedule("knobs", 1, config)))
    assert found.reason is Reason.SCHEDULE_NOT_ALLOWED
    assert found.said.startswith("space knobs: ") and why in found.said


@pytest.mark.parametrize("config", [{}, {"trace": TRACE, "more": 1}, {"trace": []}, {"trace": None}, {"mr": 1}])
def test_a_generic_schedule_is_a_trace(config: dict[str, Any]) -> None:
    assert reasons(claim(1, schedule=Schedule("generic", 1, config))) == [(1, Reason.SCHEDULE_NOT_ALLOWED)]


def test_the_spaces_that_there_are() -> None:
    """Asked in a process of its own: it loads every space, and neither a compiler nor torch."""
    code = (
        "import json, sys\n"
        "from tuning_db.screening import space_versions\n"
        "print(json.dumps([space_versions(), sorted({'tvm', 'tvm_ffi', 'torch'} & set(sys.modules))]))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    versions, heavy = json.loads(ran.stdout)
    assert heavy == []
    assert {"generic", "default", "panels"} <= set(versions)
    assert all(type(version) is int for version in versions.values())


def test_the_knobs_that_there_are() -> None:
    knobs_of = re.compile(r'config\["(\w+)"\]')
    found = {
        name for path in (ROOT / "schedules" / "spaces").glob("*.py") for name in knobs_of.findall(path.read_text())
    }
    assert len(found) > 20
    assert all(KNOB.fullmatch(name) for name in found)


def test_below_the_floor() -> None:
    least = 1e-3
    assert floor(COMPUTATION, CHIP, "warm") == pytest.approx(least)
    just = claim(1, samples=tuple(least * IMPOSSIBLE * f for f in (1.0, 1.001, 1.002)))
    under = claim(2, samples=tuple(least * IMPOSSIBLE * f for f in (0.997, 0.998, 0.999)))
    (found,) = said(just, under)
    assert (found.reason, found.entry) == (Reason.BELOW_FLOOR, 2)
    assert found.said == "669 us on example-2c, which takes 1.00 ms at its best"


def test_the_servers_own_figures_of_a_chip_count() -> None:
    """A vendor that declares fabulous peaks for a chip of the catalogue is held to the catalogue."""
    fast = replace(CHIP, peaks=replace(CHIP.peaks, flops={"float32": 1e17}, dram=1e17))  # type: ignore[type-var]
    quick = claim(1, target=fast, samples=(1e-6, 1.1e-6, 1.2e-6))
    assert reasons(quick) == []
    assert reasons(quick, targets={CHIP.fingerprint: CHIP}) == [(1, Reason.BELOW_FLOOR)]


def test_a_chip_without_peaks_cannot_be_judged_and_is_told_so() -> None:
    bare = replace(CHIP, peaks=None)
    (found,) = said(claim(1, target=bare, samples=(1e-9, 1.1e-9, 1.2e-9)))
    assert found.reason is Reason.NO_PEAKS and not found.reason.refuses
    assert "example-2c declares no peaks" in found.said


def test_what_is_not_known_lowers_the_floor() -> None:
    assert floor(replace(COMPUTATION, arithmetic=None), CHIP, "warm") == pytest.approx(0.5e-3)
    moved = Computation(flops=1, bytes=10**9, arithmetic="float32")
    held = CHIP.cores * (CHIP.l1d + CHIP.l2)
    assert floor(moved, CHIP, "warm") == floor(moved, CHIP, "cold") == pytest.approx((10**9 - held) / 2e10)
    near = replace(moved, near=10**6)
    assert floor(near, CHIP, "cold") == pytest.approx((10**9 - 10**6) / 2e10)
    assert floor(near, CHIP, "warm") == floor(moved, CHIP, "warm")
    assert reasons(claim(1, policy=Policy("cold", 2)), workloads={WORKLOAD: near}) == [(1, Reason.BELOW_FLOOR)]


def test_a_row_tells_the_arithmetic() -> None:
    params = {"m": 1, "n": 16, "k": 16, "dtype": "bfloat16", "out": "bfloat16"}
    row = {"operator": "linear", "params": params, "flops": 512, "bytes": 600}
    assert Computation.of_row(row) == Computation(512, 600, "bfloat16")
    assert Computation.of_row({**row, "operator": "primfunc"}).arithmetic is None
    assert Computation.of_row({**row, "params": {}}).arithmetic is None


def test_the_catalogue_by_fingerprint() -> None:
    assert catalogue_by_fingerprint()[catalogue.target("zen4").fingerprint].name == "zen4"
    assert len(catalogue_by_fingerprint()) == len(catalogue.targets())
    assert Known({}, spaces={}).targets is catalogue_by_fingerprint()


def noisy(count: int, step: float = 1e-9) -> tuple[float, ...]:
    return tuple(1.5e-3 + at * step for at in range(count))


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        ((1.5e-3,), Reason.TOO_FEW_SAMPLES),
        ((1.5e-3, 1.6e-3), Reason.TOO_FEW_SAMPLES),
        ((1.5e-3,) * 3, None),
        ((1.5e-3,) * (SAME - 1), None),
        ((1.5e-3,) * SAME, Reason.NO_NOISE),
        ((1.5e-3,) * (SAME - 1) + (1.6e-3,), None),
        ((1.5e-3,) * NO_SPREAD + (1.6e-3,), Reason.NO_NOISE),
        (noisy(8) + (1.5e-3,) * 60 + noisy(8), Reason.NO_NOISE),
        (noisy(60), None),
    ],
)
def test_samples_without_noise(samples: tuple[float, ...], reason: Reason | None) -> None:
    assert reasons(claim(1, samples=samples)) == ([(1, reason)] if reason else [])


def test_a_duplicate() -> None:
    """The same measurement twice, in a batch or again; a schedule that was timed anew is none."""
    again = claim(1, machine="elsewhere", created=1.8e9)
    anew = claim(1, samples=(1.51e-3, 1.52e-3, 1.53e-3))
    assert reasons(claim(1), again, anew) == [(2, Reason.DUPLICATE)]
    assert said(claim(1), again)[0].said.endswith("with the same samples: entry 1")
    assert said(claim(1), claims={again.id})[0].said.endswith("with the same samples: here already")
    assert reasons(claim(1), replace(again, policy=replace(POLICY, threads=1))) == []


def renamed(trace: Any) -> Any:
    """The same trace with other names, flags for numbers, other probabilities and a look-up that nobody uses."""

    def other(value: Any) -> Any:
        if isinstance(value, list):
            return [other(item) for item in value]
        return re.sub(r"^([blv])(\d)$", r"\g<1>9\2", value) if isinstance(value, str) else value

    instructions, decisions = other(trace)
    instructions[3][2] = [True, False]
    instructions[5][2][1] = [1.0, 0.0, 0.0]
    instructions[2][2][1] = 64
    instructions.append(["GetLoops", ["b90"], [], ["l1", "l2"]])
    instructions.append(["EnterPostproc", [], [], []])
    return [instructions, list(reversed(decisions))]


def drawn_or_written(trace: Any) -> Any:
    """The same trace with the number that was drawn in place of the draw."""
    instructions, decisions = traced(trace).config["trace"]
    instructions[6][1][1] = 16
    del instructions[5]
    return [instructions, decisions[:1]]


@pytest.mark.parametrize("disguise", [renamed, drawn_or_written])
def test_clones_in_disguise(disguise: Any) -> None:
    plain, clone = traced(TRACE), traced(disguise(TRACE))
    assert plain.id != clone.id and essence(plain) == essence(clone)
    one, two = claim(1, schedule=plain), claim(2, schedule=clone)
    (found,) = said(one, two)
    assert (found.reason, found.entry) == (Reason.CLONE, 2)
    assert plain.id in found.said and clone.id in found.said
    earlier = {(one.key, essence(plain)): plain.id}
    assert reasons(two, schedules=earlier) == [(1, Reason.CLONE)]
    assert reasons(one, schedules=earlier) == []


@pytest.mark.parametrize(
    ("at", "value"),
    [
        ((1, 0, 1), [2, 4]),
        ((1, 1, 1), 2),
        ((0, 4, 1), ["l7"]),
        ((0, 0, 2), ["D", "main"]),
        ((0, 6, 2), ["meta_schedule.unroll_implicit"]),
    ],
)
def test_what_makes_a_difference_is_no_clone(at: tuple[int, int, int], value: Any) -> None:
    other = traced(TRACE).config["trace"]
    other[at[0]][at[1]][at[2]] = value
    assert reasons(claim(1, schedule=traced(TRACE)), claim(2, schedule=traced(other))) == []


def test_copied_samples() -> None:
    long = noisy(SAME)
    assert reasons(claim(1, samples=long), claim(2, samples=long)) == [(2, Reason.COPIED_SAMPLES)]
    few = [claim(n, samples=noisy(3)) for n in range(ALIKE)]
    assert reasons(*few) == []
    assert reasons(*few, claim(9, samples=noisy(3))) == [(ALIKE + 1, Reason.COPIED_SAMPLES)]


def test_more_than_enough_of_one_workload() -> None:
    many = [claim(n, samples=tuple(1.5e-3 + (n * 9 + at) * 1e-9 for at in range(3))) for n in range(MAX_PER_KEY + 5)]
    assert reasons(*many[:MAX_PER_KEY]) == []
    assert reasons(*many) == [(MAX_PER_KEY + 1, Reason.TOO_MANY)]


def test_findings_are_all_told_in_order() -> None:
    bad = claim(2, workload=digest("w", "?"), schedule=Schedule("magic", 1, {}), samples=(1e-3,))
    found = reasons(claim(1), bad, claim(1), claim(3, samples=(1e-3,)))
    assert found == [
        (2, Reason.UNKNOWN_WORKLOAD),
        (2, Reason.UNKNOWN_SPACE),
        (2, Reason.TOO_FEW_SAMPLES),
        (3, Reason.DUPLICATE),
        (4, Reason.TOO_FEW_SAMPLES),
    ]
