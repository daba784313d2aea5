"""Gated activation of a feed-forward layer: ``silu(gate) * up``; clamped, weighted and quantised where asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from schedules.block_scaled import BLOCK, MX_GROUP, padded
from schedules.dtypes import NUMPY, SHORT, TOLERANCE
from schedules.operator import Arrays, Operator, Tolerance, fill
from schedules.quantise import SCALES, quantise, quantised, tolerances

if TYPE_CHECKING:
    from tvm import tirx


@dataclass(frozen=True)
class SwiGlu(Operator):
    """``h = silu(min(gate, limit)) * clamp(up, -limit, limit)``, the gate in the first half of each row.

    Semantics of DeepSeek-V4 ``inference/model.py`` (V3 has no limit), all in float32; with ``weighted`` each row is
    multiplied by ``WEIGHT[tokens]``, float32, the router's weight of its expert. Without ``quantize`` the output is
    ``Y``, rounded to ``dtype``; with it, ``Q`` and ``SQ`` as of ``act_quant``: one kernel, as TileKernels'
    ``swiglu_forward_and_per_token_cast``. Stages: ``H`` (padded to whole groups where quantised), ``M`` maxima.

    Attributes:
        tokens, dim: rows and the length of an output row; input rows have ``2 * dim``.
        limit: of the clamps, 0 for none.
        quantize: whether to quantise.
        dtype: of the input, and of the output that is not quantised.
        weighted: whether rows are weighted.
        group: columns that share a scale.
        scale: what scales are stored as, ``float32`` or ``ue8m0``.
    """

    name: ClassVar[str] = "swiglu"
    summary: ClassVar[str] = "silu(gate) * up, optionally clamped, weighted and quantised to fp8"
    row_parameter: ClassVar[str] = "tokens"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"dtype": ("bfloat16", "float32"), **SCALES}
    tokens: int
    dim: int
    limit: float = 0.0
    quantize: bool = False
    dtype: str = "bfloat16"
    weighted: bool = False
    group: int = BLOCK
    scale: str = "float32"

    def prim_func(self) -> tirx.PrimFunc:
        from tvm import te, tirx

        x = te.placeholder((self.tokens, 2 * self.dim), self.dtype, "X")
        weight = te.placeholder((self.tokens,), "float32", "WEIGHT")
        limit = tirx.const(self.limit, "float32")
        one = tirx.const(1.0, "float32")

        def gated(i, j):  # type: ignore[no-untyped-def]
            gate, up = x[i, j].astype("float32"), x[i, j + self.dim].astype("float32")
            if self.limit:
                gate, up = tirx.min(gate, limit), tirx.max(tirx.min(up, limit), -limit)
            value = gate / (one + tirx.exp(-gate)) * up
            return value * weight[i] if self.weighted else value

        shape = (self.tokens, self.dim)
        if self.quantize:
            outputs = [*quantised(padded(shape, self.group, gated, "H"), self.dim, self.group, self.scale)]
        else:
            outputs = [te.compute(shape, lambda i, j: gated(i, j).astype(self.dtype), name="Y")]
        return te.create_prim_func([x, *[weight] * self.weighted, *outputs])

    def inputs(self, rng: np.random.Generator) -> Arrays:
        # Wide enough that the clamps of V4 (10) are met.
        x = fill(rng, (self.tokens, 2 * self.dim), NUMPY[self.dtype], 4.0)
        return [x, *[rng.uniform(0.05, 0.5, self.tokens).astype(np.float32)] * self.weighted]

    def reference(self, inputs: Sequence[np.ndarray]) -> Arrays:
        gate, up = np.split(inputs[0].astype(np.float32), 2, axis=1)
        if self.limit:
            gate, up = np.minimum(gate, np.float32(self.limit)), np.clip(up, -self.limit, self.limit)
        h = gate / (1 + np.exp(-gate)) * up
        h = h * inputs[1][:, None] if self.weighted else h
        return quantise(h, self.group, self.scale) if self.quantize else [h.astype(NUMPY[self.dtype])]

    @property
    def flops(self) -> int:
        return self.tokens * self.dim * (4 + 3 * bool(self.limit) + self.weighted + 3 * self.quantize)

    @property
    def tolerances(self) -> tuple[Tolerance, ...]:
        if self.quantize:
            return tolerances(self.tokens * self.dim, self.scale)
        return (TOLERANCE[self.dtype],)

    @property
    def label(self) -> str:
        clamp = f" clamp {self.limit:g}" if self.limit else ""
        # Scales of 128 columns in float32 are the usual ones.
        form = f" 1x{self.group} {self.scale}" if (self.group, self.scale) != (BLOCK, "float32") else ""
        quantised_to = f"->fp8{form}" if self.quantize else ""
        return f"{self.tokens}x{self.dim} {SHORT[self.dtype]}{quantised_to}{clamp}{' weighted' * self.weighted}"

    @classmethod
    def examples(cls) -> Iterable[SwiGlu]:
        yield cls(16, 256, 10.0, True)
        yield cls(7, 130, 10.0, True)
        yield cls(5, 101)
        yield cls(3, 64, 7.0, False, "float32")
        yield cls(7, 200, 10.0, True, weighted=True, group=MX_GROUP, scale="ue8m0")
        yield cls(5, 101, 10.0, weighted=True)

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[SwiGlu]:
        shape, dtype = arguments[0]
        if len(shape) != 2 or shape[1] % 2 or dtype not in cls.choices["dtype"]:
            return
        weighted = len(arguments) > 2 and len(arguments[1][0]) == 1
        stored = arguments[-1][1]
        if len(arguments) == 2 + weighted and stored == dtype:
            forms = [(False, BLOCK, "float32")]
        elif len(arguments) == 3 + weighted and stored in ("float32", "uint8"):
            forms = [(True, group, "ue8m0" if stored == "uint8" else "float32") for group in (BLOCK, MX_GROUP)]
        else:
            return
        for limit in (0.0, 10.0, 7.0):
            for quantize, group, scale in forms:
                yield cls(shape[0], shape[1] // 2, limit, quantize, dtype, weighted, group, scale)
