"""Embedding: a row of a table for each id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from schedules.dtypes import NUMPY, SHORT
from schedules.operator import Arrays, Operator, Tolerance, fill

if TYPE_CHECKING:
    from tvm import tirx


@dataclass(frozen=True)
class Embedding(Operator):
    """``Y[t] = TABLE[IDS[t]]``; one stage, ``Y``.

    Attributes:
        tokens: ids looked up.
        vocab, dim: rows of the table and their length.
        dtype: of table and output, ``bfloat16`` or ``float32``.
    """

    name: ClassVar[str] = "embedding"
    summary: ClassVar[str] = "a row of a table for each id"
    row_parameter: ClassVar[str] = "tokens"
    weights: ClassVar[tuple[str, ...]] = ("TABLE",)
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"dtype": ("bfloat16", "float32")}
    tokens: int
    vocab: int
    dim: int
    dtype: str = "bfloat16"

    def prim_func(self) -> tirx.PrimFunc:
        from tvm import te

        ids = te.placeholder((self.tokens,), "int32", "IDS")
        table = te.placeholder((self.vocab, self.dim), self.dtype, "TABLE")
        y = te.compute((self.tokens, self.dim), lambda t, d: table[ids[t], d], name="Y")
        return te.create_prim_func([ids, table, y])

    def inputs(self, rng: np.random.Generator) -> Arrays:
        ids = np.resize(rng.permutation(self.vocab), self.tokens).astype(np.int32)
        return [ids, fill(rng, (self.vocab, self.dim), NUMPY[self.dtype])]

    def reference(self, inputs: Sequence[np.ndarray]) -> Arrays:
        ids, table = inputs
        return [table[ids]]

    @property
    def flops(self) -> int:
        # None, strictly; one for each element keeps rates and ratios defined.
        return self.tokens * self.dim

    @property
    def traffic(self) -> int:
        rows = min(self.tokens, self.vocab) + self.tokens
        return 4 * self.tokens + rows * self.dim * NUMPY[self.dtype].itemsize

    @property
    def tolerances(self) -> tuple[Tolerance, ...]:
        return (Tolerance(0.0, 0.0),)

    @property
    def label(self) -> str:
        return f"{self.tokens} of {self.vocab}x{self.dim} {SHORT[self.dtype]}"

    @classmethod
    def examples(cls) -> Iterable[Embedding]:
        yield cls(16, 1000, 64)
        yield cls(5, 101, 37, "float32")

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[Embedding]:
        if len(arguments) == 3 and arguments[0][1] == "int32" and arguments[1][1] in cls.choices["dtype"]:
            ids, (table, dtype) = arguments[0][0], arguments[1]
            if len(ids) == 1 and len(table) == 2:
                yield cls(ids[0], *table, dtype)
