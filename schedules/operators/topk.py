"""Positions of the largest values of each row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from schedules.dtypes import NUMPY, SHORT
from schedules.operator import Arrays, Operator, Tolerance, fill
from targets.errors import InputError

if TYPE_CHECKING:
    from tvm import tirx


@dataclass(frozen=True)
class TopK(Operator):
    """``IDX[r]``: where the ``k`` largest of ``X[r]`` are, as int32 in ascending order; of equal ones the first.

    What a sparse attention needs of an indexer's logits, whose order does not matter (DeepSeek-V3.2 and V4
    ``inference/model.py``); -inf counts as a value, NaN must not occur.

    Stages: ``KEY``, an int32 that orders as the value does; ``IDX``, a row of which finds the k-th largest key bit by
    bit, counting, and then collects: what a schedule can choose is how rows are divided.

    Attributes:
        rows, cols: of the input.
        k: positions wanted.
        dtype: of the input, ``float32`` or ``bfloat16``.
    """

    name: ClassVar[str] = "topk"
    summary: ClassVar[str] = "positions of the k largest values of each row"
    row_parameter: ClassVar[str] = "rows"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"dtype": ("float32", "bfloat16")}
    rows: int
    cols: int
    k: int
    dtype: str = "float32"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.k > self.cols:
            raise InputError(f"operator {self.name!r}: k is {self.k}, of {self.cols} columns")

    def prim_func(self) -> tirx.PrimFunc:
        from tvm.script import tirx as T

        rows, cols, k, dtype = self.rows, self.cols, self.k, self.dtype

        # fmt: off
        @T.prim_func(s_tir=True)
        def main(X: T.Buffer((rows, cols), dtype), IDX: T.Buffer((rows, k), "int32")):  # type: ignore
            T.func_attr({"tirx.noalias": True})
            KEY = T.sblock_alloc_buffer((rows, cols), "int32")
            for i, j in T.grid(rows, cols):
                with T.sblock("KEY"):
                    v_i, v_j = T.axis.remap("SS", [i, j])
                    KEY[v_i, v_j] = ordered(X[v_i, v_j])
            for i in range(rows):
                with T.sblock("IDX"):
                    v_i = T.axis.spatial(rows, i)
                    T.reads(KEY[v_i, 0:cols])
                    T.writes(IDX[v_i, 0:k])
                    # least: largest number that at least k keys reach; count: keys that reach a trial.
                    least = T.sblock_alloc_buffer((1,), "int32", scope="local")
                    count = T.sblock_alloc_buffer((1,), "int32", scope="local")
                    equal = T.sblock_alloc_buffer((1,), "int32", scope="local")
                    count[0] = 0
                    for j in range(cols):
                        count[0] = count[0] + T.Select(KEY[v_i, j] >= 0, 1, 0)
                    least[0] = T.Select(count[0] >= k, 0, -0x7FFFFFFF - 1)
                    for b in range(31):
                        count[0] = 0
                        for j in range(cols):
                            count[0] = count[0] + T.Select(KEY[v_i, j] >= (least[0] | (1 << (30 - b))), 1, 0)
                        least[0] = T.Select(count[0] >= k, least[0] | (1 << (30 - b)), least[0])
                    # Of those equal to the least, as many as the larger ones leave room for.
                    equal[0] = k
                    for j in range(cols):
                        equal[0] = equal[0] - T.Select(KEY[v_i, j] > least[0], 1, 0)
                    count[0] = 0
                    for j in range(cols):
                        if KEY[v_i, j] > least[0] or (KEY[v_i, j] == least[0] and equal[0] > 0):
                            IDX[v_i, count[0]] = j
                            count[0] = count[0] + 1
                            equal[0] = equal[0] - T.Select(KEY[v_i, j] == least[0], 1, 0)
        # fmt: on
        return main

    def inputs(self, rng: np.random.Generator) -> Arrays:
        return [fill(rng, (self.rows, self.cols), NUMPY[self.dtype])]

    def reference(self, inputs: Sequence[np.ndarray]) -> Arrays:
        order = np.argsort(-inputs[0].astype(np.float32), axis=1, kind="stable")
        return [np.sort(order[:, : self.k], axis=1).astype(np.int32)]

    @property
    def flops(self) -> int:
        return self.rows * self.cols

    @property
    def tolerances(self) -> tuple[Tolerance, ...]:
        return (Tolerance(0.0, 0.0),)

    @property
    def label(self) -> str:
        return f"{self.k} of {self.rows}x{self.cols} {SHORT[self.dtype]}"

    @classmethod
    def examples(cls) -> Iterable[TopK]:
        yield cls(16, 256, 32)
        yield cls(5, 101, 17, "bfloat16")
        yield cls(3, 37, 5)

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[TopK]:
        if len(arguments) == 2 and arguments[1][1] == "int32" and arguments[0][1] in cls.choices["dtype"]:
            (shape, dtype), out = arguments[0], arguments[1][0]
            if len(shape) == len(out) == 2 and out[1] <= shape[1]:
                yield cls(*shape, out[1], dtype)


def ordered(x: Any) -> Any:
    """An int32 expression that is larger where the float expression is."""
    from tvm import tirx

    # Of negative floats all bits but the sign order the wrong way round; both zeros are 0.
    value = tirx.Cast("float32", x)
    bits = tirx.reinterpret("int32", value)
    return tirx.Select(value == tirx.const(0.0, "float32"), tirx.const(0), bits ^ ((bits >> 31) & 0x7FFFFFFF))


def valued(key: Any) -> Any:
    """The float32 expression that ``ordered`` made a key of; NaN for the least int32, which no float becomes."""
    from tvm import tirx

    return tirx.reinterpret("float32", key ^ ((key >> 31) & 0x7FFFFFFF))
