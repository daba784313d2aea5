"""Sum of two arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from schedules.dtypes import NUMPY, SHORT, TOLERANCE
from schedules.operator import Arrays, Operator, Tolerance, fill

if TYPE_CHECKING:
    from tvm import tirx


@dataclass(frozen=True)
class Add(Operator):
    """``Y = A + B``, elements one after another, in float32, rounded once; one stage, ``Y``.

    Attributes:
        size: elements.
        dtype: of every argument, ``bfloat16`` or ``float32``.
    """

    name: ClassVar[str] = "add"
    summary: ClassVar[str] = "sum of two arrays"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"dtype": ("bfloat16", "float32")}
    size: int
    dtype: str = "bfloat16"

    def prim_func(self) -> tirx.PrimFunc:
        from tvm import te

        a, b = (te.placeholder((self.size,), self.dtype, name) for name in "AB")
        total = te.compute(
            (self.size,), lambda i: (a[i].astype("float32") + b[i].astype("float32")).astype(self.dtype), name="Y"
        )
        return te.create_prim_func([a, b, total])

    def inputs(self, rng: np.random.Generator) -> Arrays:
        return [fill(rng, (self.size,), NUMPY[self.dtype]) for _ in range(2)]

    def reference(self, inputs: Sequence[np.ndarray]) -> Arrays:
        a, b = (array.astype(np.float32) for array in inputs)
        return [(a + b).astype(NUMPY[self.dtype])]

    @property
    def flops(self) -> int:
        return self.size

    @property
    def tolerances(self) -> tuple[Tolerance, ...]:
        return (TOLERANCE[self.dtype],)

    @property
    def label(self) -> str:
        return f"{self.size} {SHORT[self.dtype]}"

    @classmethod
    def examples(cls) -> Iterable[Add]:
        yield cls(4096)
        yield cls(1013, "float32")

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[Add]:
        if len(arguments) == 3 and len(set(arguments)) == 1 and len(arguments[0][0]) == 1:
            (size,), dtype = arguments[0]
            if dtype in cls.choices["dtype"]:
                yield cls(size, dtype)
