"""Logits of DeepSeek's lightning indexer: how much each query token wants each key token."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from schedules.block_scaled import MX_GROUP
from schedules.dtypes import SHORT, TOLERANCE
from schedules.indexer import FORMATS, logits, operands, random_operands, reference_logits, reference_operands
from schedules.operator import Arrays, Operator, Tolerance
from targets.errors import InputError

if TYPE_CHECKING:
    from tvm import tirx


@dataclass(frozen=True)
class MqaLogits(Operator):
    """``I[m, n] = sum_h relu(Q[m, h] . K[n]) * W[m, h]``, one key for all heads, in float32.

    With fp8 each key has a float32 scale ``KS[n]``; the scales of the queries are in ``W`` already. With fp4 queries
    and keys are e2m1 pairs in ``uint8``, the even channel in the low four bits, with ue8m0 scales for 32 channels,
    ``SQ`` and ``SK``. With ``window`` a token sees keys from ``START[m]`` to before ``END[m]`` and the others are -inf.
    Semantics of DeepGEMM's ``fp8_fp4_mqa_logits``. Stages: ``Qf``, ``Kf`` decode, ``D`` dot products ``[m, h, n]``,
    ``T`` sums over heads where something follows, ``I``.

    Attributes:
        tokens, keys, heads, dim: query tokens, key tokens, heads, their width.
        dtype: of queries and keys, ``bfloat16``, ``float8_e4m3fn`` or ``float4_e2m1fn``.
        window: whether each token has a window of keys, as in prefill.
    """

    name: ClassVar[str] = "mqa_logits"
    summary: ClassVar[str] = "indexer logits, sum over heads of relu(q.k) w"
    row_parameter: ClassVar[str] = "tokens"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"dtype": FORMATS}
    tokens: int
    keys: int
    heads: int
    dim: int
    dtype: str = "bfloat16"
    window: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dtype == "float4_e2m1fn" and self.dim % MX_GROUP:
            raise InputError(f"operator {self.name!r}: dim is {self.dim}, must be a multiple of {MX_GROUP} for fp4")

    def prim_func(self) -> tirx.PrimFunc:
        from tvm import te, tirx

        inputs, (q, k) = operands(self.dtype, (self.tokens, self.heads, self.dim), (self.keys, self.dim))
        w = te.placeholder((self.tokens, self.heads), "float32", "W")
        start = te.placeholder((self.tokens,), "int32", "START")
        end = te.placeholder((self.tokens,), "int32", "END")
        d = te.reduce_axis((0, self.dim), "d")
        output = logits(
            lambda m, h, n: te.sum(q[m, h, d].astype("float32") * k[n, d].astype("float32"), axis=d),
            w,
            (self.tokens, self.heads, self.keys),
            (lambda m, n: inputs[2][n]) if self.dtype == "float8_e4m3fn" else None,
            (lambda m, n: tirx.all(n >= start[m], n < end[m])) if self.window else None,
        )
        return te.create_prim_func([*inputs, w, *[start, end] * self.window, output])

    def inputs(self, rng: np.random.Generator) -> Arrays:
        arrays, w = random_operands(rng, self.dtype, (self.tokens, self.heads, self.dim), (self.keys, self.dim))
        start = np.zeros(self.tokens, np.int32)
        return [*arrays, w, *[start, self._ends()] * self.window]

    def _ends(self) -> np.ndarray:
        """Causal: the last token sees every key, the one before it one fewer."""
        return np.maximum(np.arange(self.tokens) + self.keys - self.tokens + 1, 0).astype(np.int32)

    def reference(self, inputs: Sequence[np.ndarray]) -> Arrays:
        *arrays, w = inputs[:-2] if self.window else inputs
        total = reference_logits(*reference_operands(self.dtype, arrays), w)
        if self.window:
            start, end = inputs[-2:]
            at = np.arange(self.keys)
            total[(at < start[:, None]) | (at >= end[:, None])] = -np.inf
        return [total]

    @property
    def flops(self) -> int:
        pairs = int(self._ends().sum()) if self.window else self.tokens * self.keys
        return 2 * pairs * self.heads * (self.dim + 1)

    @property
    def tolerances(self) -> tuple[Tolerance, ...]:
        return (TOLERANCE["float32"],)

    @property
    def arithmetic(self) -> str:
        return self.dtype

    @property
    def label(self) -> str:
        window = " causal" * self.window
        return f"{self.tokens}x{self.keys}, {self.heads} heads of {self.dim} {SHORT[self.dtype]}{window}"

    @classmethod
    def examples(cls) -> Iterable[MqaLogits]:
        yield cls(4, 96, 8, 64)
        yield cls(3, 101, 5, 37, "float8_e4m3fn")
        yield cls(7, 130, 4, 32, "float8_e4m3fn", True)
        yield cls(5, 67, 3, 32, "float4_e2m1fn", True)

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[MqaLogits]:
        if len(arguments) < 3 or len(arguments[0][0]) != 3:
            return
        (tokens, heads, dim), dtype = arguments[0]
        if dtype == "uint8":
            dtype, dim = "float4_e2m1fn", 2 * dim
        more = {"bfloat16": 0, "float8_e4m3fn": 1, "float4_e2m1fn": 2}.get(dtype)
        if more is None or (more == 2 and dim % MX_GROUP):
            return
        keys = arguments[2 if more == 2 else 1][0]
        for window in (False, True):
            if len(keys) == 2 and len(arguments) == 4 + more + 2 * window:
                yield cls(tokens, keys[0], heads, dim, dtype, window)
