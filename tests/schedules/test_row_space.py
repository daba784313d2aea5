"""Rows are divided without gaps; the programs for rows are right on what is hard for their method."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from programs import ZEN4, host, outputs

from schedules.operator import Operator
from schedules.operators.compress import Compress
from schedules.operators.embedding import Embedding
from schedules.operators.hadamard import Hadamard
from schedules.operators.hc_post import HcPost
from schedules.operators.moe_gate import MoeGate
from schedules.operators.rope import Rope
from schedules.operators.sinkhorn import Sinkhorn
from schedules.operators.topk import TopK
from schedules.row_space import RowSpace, Tasks, chunks
from schedules.space import spaces
from schedules.spaces.topk import TopKRows
from schedules.workload import Workload

TARGET = host()


def space(name: str, operator: Operator) -> Any:
    found = spaces()[name]
    assert issubclass(found, RowSpace)
    return found(Workload.of(operator), TARGET)


@pytest.mark.parametrize("rows, cores", [(1, 2), (7, 2), (64, 2), (1000, 4), (4096, 64)])
def test_chunks_hold_all_rows(rows: int, cores: int) -> None:
    sizes = chunks(rows, cores)
    assert sizes == sorted(set(sizes)) and rows in sizes and all(1 <= size <= rows for size in sizes)
    for size in sizes:
        tasks = Tasks(rows, size)
        assert (tasks.count - 1) * size < rows <= tasks.count * size
        assert tasks.count <= 64 * cores + 1
    if rows >= cores:
        assert any(Tasks(rows, size).count == cores for size in sizes)


def test_one_task_starts_no_thread() -> None:
    gate = space("gate", MoeGate(16, 64, 4))
    script = gate.apply(gate.nearest({"rows": 16, "width": 1})).script()
    assert "T.parallel" not in script
    assert "T.parallel(4)" in gate.apply(gate.nearest({"rows": 4, "width": 1})).script()


# Sizes that divide by nothing, and shapes that examples of the operators do not have.
HARD = [
    ("rope", Rope(3, 5, 101, 6)),
    ("rope", Rope(3, 5, 101, 20, "interleaved", "first", True)),
    ("rope", Rope(2, 3, 77, 70, "half", "last", False)),
    ("hadamard", Hadamard(3, 2)),
    ("hadamard", Hadamard(7, 4, "float32")),
    ("hadamard", Hadamard(2, 1024)),
    ("hc_post", HcPost(1, 70)),
    ("hc_post", HcPost(3, 37, 2)),
    ("sinkhorn", Sinkhorn(19, 5, 3)),
    ("compress", Compress(5, 4, 128, 64, True, True)),
    ("compress", Compress(20, 4, 70, 70, True)),
    ("compress", Compress(3, 7, 18, 2)),
    ("gate", MoeGate(3, 30, 5, "sigmoid", 5, 2)),
    ("gate", MoeGate(3, 96, 8, "sigmoid", 3, 3)),
    ("gate", MoeGate(2, 5, 5, "softmax")),
    ("topk", TopK(3, 1033, 1000)),
    ("topk", TopK(2, 4099, 77, "bfloat16")),
    ("topk", TopK(5, 512, 1)),
    ("topk", TopK(1, 9, 9)),
]


@pytest.mark.parametrize("name, operator", HARD, ids=lambda value: getattr(value, "label", value))
def test_sizes_that_divide_by_nothing(name: str, operator: Operator) -> None:
    from schedules.compare import mismatch

    work, found = Workload.of(operator), space(name, operator)
    arrays = work.inputs(np.random.default_rng(3))
    expected = work.reference(arrays)
    assert expected is not None
    for schedule in (found.seeds()[-1], found.sample(np.random.default_rng(5))):
        results = outputs(found.apply(schedule), work, TARGET, arrays)
        arranged = [r.astype(e.dtype) for r, e in zip(results, expected, strict=True)]
        assert mismatch(arranged, expected, work.tolerances) is None, dict(schedule.config)


def rows_that_mislead(cols: int) -> np.ndarray:
    """Rows of which a sample at equal steps tells nothing, or the wrong thing."""
    rng = np.random.default_rng(0)
    step = np.zeros(cols)
    step[:: cols // 128] = 1 + rng.random(len(step[:: cols // 128]))
    rows = [
        np.zeros(cols),
        np.full(cols, -np.inf),
        np.arange(cols),
        -np.arange(cols),
        step,
        -step,
        np.where(rng.random(cols) < 0.5, -0.0, 0.0),
        np.where(np.arange(cols) < 30, 1.0, -np.inf),
        rng.integers(0, 3, cols),
    ]
    return np.stack(rows).astype(np.float32)


@pytest.mark.parametrize("sample", [0, 128, 256])
def test_the_k_largest_are_found_whatever_the_sample_says(sample: int) -> None:
    x = rows_that_mislead(1536)
    work = Workload.of(TopK(len(x), x.shape[1], 100))
    topk = TopKRows(work, TARGET)
    schedule = topk.nearest({"rows": 4, "sample": sample, "margin": 2})
    assert schedule is not None
    (found,) = outputs(topk.apply(schedule), work, TARGET, [x])
    expected = work.reference([x])
    assert expected is not None
    np.testing.assert_array_equal(found, expected[0])


def test_the_largest_scores_are_distinct_experts_in_order_when_all_are_equal() -> None:
    operator = MoeGate(4, 40, 6, "sigmoid", 4, 2)
    gate = space("gate", operator)
    arrays = [np.zeros((4, 40), np.float32), np.zeros(40, np.float32)]
    index, weight = outputs(gate.apply(gate.seeds()[0]), gate.workload, TARGET, arrays)
    np.testing.assert_array_equal(index, np.tile(np.arange(6), (4, 1)))
    np.testing.assert_allclose(weight, 1 / 6, rtol=1e-6)


@pytest.mark.parametrize("name", ["compress", "gate", "hadamard", "hc_post", "rope", "sinkhorn", "topk"])
def test_programs_are_built_for_avx512(name: str) -> None:
    import tvm

    from schedules.operator import operators

    found = spaces()[name]
    assert issubclass(found, RowSpace)
    for operator in found.families:
        work = Workload.of(next(iter(operators()[operator.name].examples())))
        wide = found(work, ZEN4)
        tvm.compile(wide.apply(wide.seeds()[-1]), ZEN4.to_tvm())


def test_others_are_left_to_others() -> None:
    work = Workload.of(Embedding(4, 10, 8))
    assert not any(found.supports(work, TARGET) for found in spaces().values() if issubclass(found, RowSpace))
