"""A recording reads back as it was written, holds what a search begins with, and is refused when it is damaged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schedules.operators.linear import Linear
from schedules.schedule import Schedule
from schedules.space import spaces_for
from schedules.workload import Workload
from targets import Target
from targets.errors import InputError
from tuner.executor import Outcome
from tuner.recording import Recording, drawn, read, take, write
from tuner.task import DEFAULT
from tuning_db.records import Policy, Status, Toolchain

CHIP = Target("t", "v", "m", {"kind": "llvm", "mcpu": "znver4"}, 2, 512, l2=1 << 20)
EMPTY = Recording(Workload.of(Linear(16, 256, 512)), CHIP, Policy("cold", 2), Toolchain({"tvm": "0"}))
SEED, OTHER = spaces_for(EMPTY.workload, CHIP)["linear_dot"].seeds()[:2]


class Timer:
    """An executor and session on a machine that becomes slower and slower; the default does not run."""

    def __init__(self) -> None:
        self.now = 0

    def open(self, workload: Workload, seed: int) -> Timer:
        return self

    def incumbent(self, schedule: Schedule) -> Outcome:
        assert schedule == SEED
        return self.trial(schedule)

    def trial(self, schedule: Schedule) -> Outcome:
        self.now += 1
        if schedule == DEFAULT:
            return Outcome(Status.RUN_ERROR, error="it died")
        seconds = self.now * 1.23456789e-5
        return Outcome(Status.OK, (seconds, seconds), build_s=0.125, ratios=() if schedule == SEED else (0.5, 0.4))


def made(rounds: int = 1) -> Recording:
    recording, rng, timer = EMPTY, np.random.default_rng(0), Timer()
    for _ in range(rounds):
        recording = take(recording, timer, [DEFAULT, SEED, OTHER], rng)  # type: ignore[arg-type]
    return recording


def test_what_is_recorded_holds_default_and_seeds_and_more() -> None:
    schedules = drawn(EMPTY.workload, CHIP, 60, np.random.default_rng(0))
    assert len(schedules) == len(set(schedules)) == 60
    spaces = spaces_for(EMPTY.workload, CHIP)
    assert schedules[0] == DEFAULT
    for name, space in spaces.items():
        if name not in ("default", "generic"):
            assert set(space.seeds()) <= set(schedules)
            assert sum(s.space == name for s in schedules) > 20
    assert schedules == drawn(EMPTY.workload, CHIP, 60, np.random.default_rng(0))


def test_a_space_with_few_points_ends() -> None:
    tiny = Workload.of(Linear(1, 1, 32))
    assert len(drawn(tiny, CHIP, 10_000, np.random.default_rng(0))) < 10_000


def test_rounds_add_samples() -> None:
    once, twice = made(1), made(2)
    assert once.outcomes[SEED].samples == twice.outcomes[SEED].samples == (1.23456789e-5,) * 2
    assert twice.outcomes[DEFAULT].status is Status.RUN_ERROR
    # However slow the machine is by now, these are relative to the first seed as it was timed at first.
    assert once.outcomes[OTHER].samples == pytest.approx([0.5 * 1.23456789e-5] * 2)
    assert twice.outcomes[OTHER].samples == pytest.approx([0.5 * 1.23456789e-5] * 4)
    assert once.best_s == once.outcomes[OTHER].median


def test_it_reads_back(tmp_path: Path) -> None:
    path, recording = tmp_path / "x.jsonl", made()
    write(path, recording)
    found = read(path)
    assert (found.workload, found.target, found.policy, found.toolchain) == (
        EMPTY.workload, CHIP, EMPTY.policy, EMPTY.toolchain,
    )  # fmt: skip
    assert found.outcomes.keys() == recording.outcomes.keys()
    assert found.outcomes[SEED].samples == pytest.approx(recording.outcomes[SEED].samples, rel=1e-3)
    assert found.outcomes[DEFAULT] == recording.outcomes[DEFAULT] and found.outcomes[OTHER].build_s == 0.125
    write(tmp_path / "y.jsonl", found)
    assert (tmp_path / "y.jsonl").read_bytes() == path.read_bytes()


def changed(line: int, **fields: Any) -> Callable[[list[str]], None]:
    def change(lines: list[str]) -> None:
        lines[line] = json.dumps(json.loads(lines[line]) | fields)

    return change


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda lines: lines.clear(), "line 1: .*is not the first line"),
        (lambda lines: lines.pop(0), "line 1: is not the first line"),
        (lambda lines: lines.pop(), "cut short"),
        (lambda lines: lines.pop(1), "cut short"),
        (lambda lines: lines.insert(1, "{"), "line 2: is not JSON"),
        (changed(0, format=2), "line 1: has format 2"),
        (changed(0, target={"name": "x"}), "line 1: target or workload"),
        (changed(0, workload={"operator": "no_such", "params": {}}), "unknown operator"),
        (changed(1, status="great"), "line 2: status"),
        (changed(1, status="ok"), "line 2: must have positive samples"),
        (changed(2, samples=[-1.0]), "line 3: must have positive samples"),
        (changed(2, samples=[]), "line 3: must have positive samples"),
        (changed(2, samples=["1"]), "line 3: samples"),
        (changed(2, schedule={"space": "x"}), "line 3: schedule"),
        (changed(2, more=1), "line 3: must have the fields"),
    ],
)
def test_damage_is_refused_with_its_line(tmp_path: Path, damage: Callable[[list[str]], None], reason: str) -> None:
    path, recording = tmp_path / "x.jsonl", made()
    ordered = {schedule: recording.outcomes[schedule] for schedule in (DEFAULT, SEED)}
    write(path, Recording(EMPTY.workload, CHIP, EMPTY.policy, EMPTY.toolchain, ordered))
    lines = path.read_text().splitlines()
    damage(lines)
    path.write_text("\n".join(lines))
    with pytest.raises(InputError, match=reason):
        read(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        read(tmp_path / "x.jsonl")
