"""Generic schedules are right whatever was chosen, repeatable, quick to draw, and told apart by their features."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from programs import PROGRAMS, ZEN4, as_written, host, inputs, outputs, workload

from schedules.operator import operators
from schedules.operators.gqa_attention import GqaAttention
from schedules.operators.linear import Linear
from schedules.schedule import Schedule
from schedules.spaces.generic import Generic
from schedules.trace import check_trace
from schedules.workload import Workload
from targets.errors import InputError

TARGET = host()


@pytest.mark.parametrize("name", PROGRAMS)
def test_samples_and_neighbours_are_right(name: str) -> None:
    work = workload(name)
    space = Generic(work, TARGET)
    rng = np.random.default_rng(len(name))
    arrays = inputs(work)
    drawn = space.sample(rng)
    assert drawn is not None
    neighbour = space.mutate(drawn, rng)
    assert neighbour is not None and neighbour.id != drawn.id
    for schedule in (drawn, neighbour):
        check_trace(json.loads(json.dumps(schedule.config["trace"])))
        for found, right in zip(outputs(space.apply(schedule), work, TARGET, arrays), as_written(name), strict=True):
            np.testing.assert_allclose(found, right, rtol=2e-3, atol=2e-3)


def test_an_operator_too() -> None:
    work = Workload.of(Linear(16, 96, 128))
    space = Generic(work, TARGET)
    schedule = space.sample(np.random.default_rng(3))
    assert schedule is not None
    arrays = work.inputs(np.random.default_rng(0))
    expected = work.reference(arrays)
    assert expected is not None
    np.testing.assert_allclose(
        outputs(space.apply(schedule), work, TARGET, arrays)[0], expected[0], rtol=1e-3, atol=1e-3
    )


def test_the_same_random_numbers_give_the_same_schedules() -> None:
    def walk() -> list[str]:
        space = Generic(workload("linear 64x128x256"), ZEN4)
        rng = np.random.default_rng(11)
        found = [space.sample(rng) for _ in range(3)]
        found += [space.mutate(schedule, rng) for schedule in found if schedule is not None]
        return [schedule.id for schedule in found if schedule is not None]

    first = walk()
    assert first == walk() and len(set(first)) == 6


def test_apply_is_the_same_after_storage() -> None:
    space = Generic(workload("softmax"), ZEN4)
    schedule = space.sample(np.random.default_rng(5))
    assert schedule is not None
    stored = Schedule.from_json(json.loads(json.dumps(schedule.to_json())))
    assert stored == schedule
    before = space.workload.prim_func.script()
    assert space.apply(stored).script() == space.apply(schedule).script()
    assert space.workload.prim_func.script() == before


def test_schedules_are_parallel_vectorised_and_unrolled() -> None:
    space = Generic(workload("matmul"), ZEN4)
    rng = np.random.default_rng(0)
    drawn = [space.sample(rng) for _ in range(8)]
    scripts = [space.apply(schedule).script() for schedule in drawn if schedule is not None]
    for mark in ("T.parallel", "T.vectorized", "pragma_auto_unroll_max_step", "_update"):
        assert any(mark in script for script in scripts), mark
    assert not any("meta_schedule.parallel" in script for script in scripts)


def test_mutation_reaches_every_kind_of_choice() -> None:
    space = Generic(workload("softmax"), ZEN4)
    rng = np.random.default_rng(1)
    schedule = space.sample(rng)
    changed = set()
    for _ in range(60):
        assert schedule is not None
        before = schedule.config["trace"]
        schedule = space.mutate(schedule, rng)
        assert schedule is not None
        after = schedule.config["trace"]
        for index, choice in after[1]:
            if [index, choice] not in before[1]:
                changed.add(after[0][index][0])
        changed |= {new[2][0] for old, new in zip(before[0], after[0], strict=True) if old != new}
    assert changed >= {
        "SampleCategorical",
        "SampleComputeLocation",
        "meta_schedule.parallel",
        "meta_schedule.vectorize",
    }


def test_features_have_the_same_names_and_tell_schedules_apart() -> None:
    rng = np.random.default_rng(2)
    rows = []
    for name in ("linear 64x128x256", "softmax", "conv2d nchw"):
        space = Generic(workload(name), ZEN4)
        for _ in range(4):
            schedule = space.sample(rng)
            assert schedule is not None
            rows.append(space.features(schedule))
    assert len({tuple(row) for row in rows}) == 1 and len(rows[0]) == 70
    assert np.isfinite([list(row.values()) for row in rows]).all()
    assert len({tuple(row.values()) for row in rows}) == len(rows)


@pytest.mark.parametrize(
    "schedule",
    [
        Schedule("generic", 2, {"trace": [[], []]}),
        Schedule("default", 1, {}),
        Schedule("generic", 1, {}),
        Schedule("generic", 1, {"trace": [[], []], "more": 1}),
        Schedule("generic", 1, {"trace": "text"}),
        Schedule("generic", 1, {"trace": [[["GetSBlock", [], ["nowhere", "main"], ["b0"]]], []]}),
    ],
)
def test_other_schedules_are_refused(schedule: Schedule) -> None:
    with pytest.raises(InputError):
        Generic(workload("chain"), ZEN4).apply(schedule)


def test_silent_and_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    logging.getLogger().setLevel(logging.DEBUG)
    space = Generic(workload("chain"), ZEN4)
    schedule = space.sample(np.random.default_rng(0))
    assert schedule is not None
    space.apply(schedule)
    assert capfd.readouterr() == ("", "") and not list(tmp_path.iterdir())


def test_no_schedule_repeats_much_work() -> None:
    """A row's maximum found again for each of its elements is a legal compute location, and never drawn."""
    from tvm.s_tir.analysis import estimate_tir_flops

    space = Generic(workload("softmax"), ZEN4)
    rng = np.random.default_rng(4)
    drawn = [space.sample(rng) for _ in range(12)]
    for schedule in [*drawn, *(space.mutate(s, rng) for s in drawn if s is not None)]:
        assert schedule is not None
        assert estimate_tir_flops(space.apply(schedule)) <= 2 * space.operations


def test_a_block_with_memory_of_its_own_is_not_vectorised() -> None:
    space = Generic(workload("own memory"), ZEN4)
    rng = np.random.default_rng(6)
    for _ in range(6):
        schedule = space.sample(rng)
        assert schedule is not None
        assert "most" in space.apply(schedule).script()
        marked = json.loads(
            json.dumps(schedule.config).replace(
                '", 1], ["meta_schedule.vectorize"]', '", 16], ["meta_schedule.vectorize"]'
            )
        )
        with pytest.raises(InputError, match="memory of its own"):
            space.apply(Schedule("generic", 1, marked))


def test_many_reductions_do_not_multiply_sketches() -> None:
    work = Workload.of(next(iter(operators()["moe_gate"].examples())))
    assert len(Generic(work, ZEN4).sketches) <= 27


def test_a_program_that_the_rules_fail_on_has_no_schedules():
    """TVM's own rules raise on this one; the space then has nothing to give, and the search goes on."""
    space = Generic(Workload.of(GqaAttention(4, 1, 64, 4, 2, 32, "float32")), ZEN4)
    if not space.sketches:
        assert space.sample(np.random.default_rng(0)) is None
    else:
        assert space.sample(np.random.default_rng(0)) is not None
