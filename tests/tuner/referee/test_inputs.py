"""Structured inputs are what they are called, of every type, and only where they say something."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from schedules.operator import operators
from schedules.operators.linear import Linear
from schedules.operators.linear_fp8 import LinearFp8
from schedules.operators.topk import TopK
from schedules.workload import Workload
from tuner.referee.inputs import STRUCTURES, is_float, structures


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn])
def test_of_each_type(dtype: type) -> None:
    rng = np.random.default_rng(0)
    drawn = [rng.uniform(1, 2, (6, 50)).astype(dtype), rng.uniform(1, 2, (4, 50)).astype(dtype), np.arange(3)]
    made = {structure.name: structure.inputs(drawn, rng) for structure in STRUCTURES}
    for inputs in made.values():
        assert [array.dtype for array in inputs] == [array.dtype for array in drawn]
        assert [array.shape for array in inputs] == [array.shape for array in drawn]
        assert (inputs[2] == drawn[2]).all()  # an index stays one
        assert np.isfinite(inputs[0].astype(np.float32)).all()
    first = {name: inputs[0].astype(np.float64) for name, inputs in made.items()}
    assert not first["zeros"].any() and (first["ones"] == 1).all()
    assert ((first["one-hot"] != 0).sum(axis=1) == 1).all()
    normal = float(ml_dtypes.finfo(dtype).smallest_normal)
    assert ((first["denormals"] > 0) & (first["denormals"] < normal)).mean() > 0.3
    assert len(np.unique(np.abs(first["extremes"]))) == 2 and (first["extremes"] < 0).any()


def test_only_where_equal_values_go_one_way() -> None:
    rng = np.random.default_rng(0)
    for operator, count in ((Linear(4, 8, 32), 5), (LinearFp8(4, 8, 32), 5), (next(iter(TopK.examples())), 0)):
        workload = Workload.of(operator)
        assert len(structures(workload, workload.inputs(rng))) == count


def test_references_take_them() -> None:
    """Each operator's, of its first example; what overflows is left out later."""
    for operator in operators().values():
        workload = Workload.of(next(iter(operator.examples())))
        drawn = workload.inputs(np.random.default_rng(1))
        for structure in structures(workload, drawn):
            with np.errstate(all="ignore"):
                found = workload.reference(structure.inputs(drawn, np.random.default_rng(1)))
            assert found is not None and len(found) == workload.outputs
    assert is_float(np.dtype(np.float32)) and not is_float(np.dtype(np.int8))
