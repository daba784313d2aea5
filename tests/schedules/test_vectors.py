"""Lanes of a vector are combined and reordered as they should be, for every number of lanes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import tvm
from programs import host

from schedules import vectors
from schedules.lower import lower
from schedules.operators.hadamard import sylvester
from schedules.operators.sinkhorn import Sinkhorn
from schedules.schedule import Schedule
from schedules.workload import Workload
from targets import resolve


def built(lanes: int, form: Callable[[Any], Any], results: int, dtype: str = "int32") -> Callable[[Any], np.ndarray]:
    """A function of an array of ``lanes`` elements: what ``form`` makes of the vector."""
    from tvm.script import tirx as T

    @T.prim_func(s_tir=True)
    def main(X: T.Buffer((lanes,), dtype), Y: T.Buffer((results,), dtype)) -> None:  # type: ignore
        with T.sblock("root"):
            T.reads(X[0:lanes])
            T.writes(Y[0:results])
            if results == 1:
                Y[0] = form(X[T.ramp(0, 1, lanes)])
            else:
                Y[T.ramp(0, 1, results)] = form(X[T.ramp(0, 1, lanes)])

    kernel = tvm.compile(tvm.IRModule({"main": main}), host().to_tvm()).jit()["main"]
    out = tvm.runtime.tensor(np.zeros(results, dtype))

    def run(x: np.ndarray) -> np.ndarray:
        kernel(tvm.runtime.tensor(x.astype(dtype)), out)
        return out.numpy()

    return run


@pytest.mark.parametrize("lanes", [2, 4, 8, 16, 32])
def test_all_lanes_count(lanes: int) -> None:
    largest, least, total = (
        built(lanes, partial(form, lanes=lanes), 1) for form in (vectors.largest, vectors.least, vectors.total)
    )
    for at in range(lanes):
        x = np.zeros(lanes)
        x[at] = 7
        assert largest(x)[0] == 7
        assert least(-x)[0] == -7
        assert total(x + 1)[0] == 7 + lanes


@pytest.mark.parametrize("lanes", [2, 4, 8, 16, 32])
def test_butterflies_are_the_hadamard_transform(lanes: int) -> None:
    x = np.arange(1, lanes + 1, dtype=np.float32) ** 2
    transform = built(lanes, partial(vectors.butterflies, lanes=lanes), lanes, "float32")
    np.testing.assert_array_equal(transform(x), x @ sylvester(lanes))


def test_lanes_are_picked_in_order() -> None:
    x = np.arange(4) * 10
    assert built(4, lambda v: vectors.pick(v, [3, 0, 2, 2]), 4)(x).tolist() == [30, 0, 20, 20]
    doubled = built(4, lambda v: vectors.pick(v, [0, 0, 1, 1, 2, 2, 3, 3], 2), 8)
    assert doubled(x).tolist() == [0, 0, 10, 10, 20, 20, 30, 30]


def test_names_of_vector_types() -> None:
    assert vectors.with_lanes("bfloat16", 8) == "bfloat16x8"
    assert vectors.with_lanes("float32", 1) == "float32"


def test_vectors_of_a_width_are_built_for_risc_v():
    """TVM makes vectors scalable where it sees the extension V, and refuses this program then."""
    chip = resolve("spacemit-k1")
    lowered = lower(Workload.of(Sinkhorn(16)), Schedule("sinkhorn", 1, {"rows": 2}), chip)
    assert "vsetivli" in tvm.compile(lowered, target=chip.to_tvm()).mod.inspect_source("asm")
