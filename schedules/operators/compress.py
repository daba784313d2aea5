"""The compressor of DeepSeek-V4: the keys of several tokens become one entry of the cache."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from schedules.dtypes import NUMPY, SHORT, TOLERANCE
from schedules.operator import Arrays, Operator, Tolerance
from schedules.operators.hadamard import sylvester, transformed
from targets.errors import InputError

if TYPE_CHECKING:
    from tvm import tirx

# Of the mean square; ``rms_norm_eps`` of every published checkpoint.
EPS = 1e-6


@dataclass(frozen=True)
class Compress(Operator):
    """Pooling of a window, ``C[e] = sum_s softmax_s(score_s + ape_s) kv_s`` for each channel, then norm and rotation.

    ``C`` is divided by its root mean square and multiplied by the gain ``G``, its last ``rotary`` channels turn by the
    entry's angles, pairs interleaved, and with ``hadamard`` the row is rotated as by ``hadamard``; all in float32,
    rounded once. Quantisation follows as an operator of its own. Semantics of ``Compressor`` in DeepSeek-V4's
    ``inference/model.py``; one kernel as in vLLM's ``deepseek_v4_attention.py``.

    A window is ``ratio`` rows of ``X`` from ``FIRST[e]``. With ``overlap`` it is twice as many and rows have two halves
    of ``dim`` channels: the earlier ``ratio`` rows give their first half, the later ones their second. A row of ``X``
    is the keys and then the scores; a score of -inf leaves the row out, as before the first token.

    Inputs ``X[rows, 2 halves dim]``, ``APE[ratio, halves dim]``, ``FIRST[entries]`` in int32, ``G[dim]``, ``COS`` and
    ``SIN[entries, rotary / 2]``, float32 but ``FIRST``; output ``Y[entries, dim]``. There is an entry for each
    ``ratio`` tokens, rounded up: as many as one sequence completes, or many sequences at different places on average.
    Stages: ``L`` scores, ``M`` their maximum, ``P`` exponentials, ``S`` their sum, ``A`` weighted keys, ``C``, ``Q``
    sum of squares, ``N`` normal, ``T`` turned and ``H0``, ``H1``, ... with ``hadamard``, ``Y``.

    Attributes:
        tokens: of a step.
        ratio: tokens of an entry.
        dim: channels of an entry.
        rotary: channels that turn, even, at most ``dim``.
        overlap: whether windows overlap (V4: where ``ratio`` is 4).
        hadamard: whether entries are rotated (V4: the indexer's).
        dtype: of the output, ``bfloat16`` or ``float32``.
    """

    name: ClassVar[str] = "compress"
    summary: ClassVar[str] = "gated pooling of a window of keys, norm and rotary embedding"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"dtype": ("bfloat16", "float32")}
    tokens: int
    ratio: int
    dim: int
    rotary: int
    overlap: bool = False
    hadamard: bool = False
    dtype: str = "bfloat16"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rotary % 2 or self.rotary > self.dim:
            raise InputError(f"operator {self.name!r}: rotary is {self.rotary}, must be even and at most {self.dim}")
        if self.hadamard and self.dim.bit_count() != 1:
            raise InputError(f"operator {self.name!r}: dim is {self.dim}, with hadamard it must be a power of two")

    @property
    def entries(self) -> int:
        """Rows of the output."""
        return -(-self.tokens // self.ratio)

    @property
    def window(self) -> int:
        """Rows of the input that one entry pools."""
        return (1 + self.overlap) * self.ratio

    def prim_func(self) -> tirx.PrimFunc:
        from tvm import te, tirx

        entries, dim, ratio, half = self.entries, self.dim, self.ratio, self.rotary // 2
        width = (1 + self.overlap) * dim
        x = te.placeholder(((entries + self.overlap) * ratio, 2 * width), "float32", "X")
        ape = te.placeholder((ratio, width), "float32", "APE")
        first = te.placeholder((entries,), "int32", "FIRST")
        g = te.placeholder((dim,), "float32", "G")
        cos, sin = (te.placeholder((entries, half), "float32", name) for name in ("COS", "SIN"))

        shape, pooled = (entries, self.window, dim), (entries, dim)
        score = te.compute(
            shape,
            lambda e, s, d: x[first[e] + s, width + s // ratio * dim + d] + ape[s % ratio, s // ratio * dim + d],
            name="L",
        )
        s = te.reduce_axis((0, self.window), "s")
        most = te.compute(pooled, lambda e, d: te.max(score[e, s, d], axis=s), name="M")
        power = te.compute(shape, lambda e, s, d: tirx.exp(score[e, s, d] - most[e, d]), name="P")
        s = te.reduce_axis((0, self.window), "s")
        total = te.compute(pooled, lambda e, d: te.sum(power[e, s, d], axis=s), name="S")
        s = te.reduce_axis((0, self.window), "s")
        keys = te.compute(
            pooled, lambda e, d: te.sum(power[e, s, d] * x[first[e] + s, s // ratio * dim + d], axis=s), name="A"
        )
        c = te.compute(pooled, lambda e, d: keys[e, d] / total[e, d], name="C")
        k = te.reduce_axis((0, dim), "k")
        square = te.compute((entries,), lambda e: te.sum(c[e, k] * c[e, k], axis=k), name="Q")
        mean, eps = tirx.const(1.0 / dim, "float32"), tirx.const(EPS, "float32")
        normal = te.compute(pooled, lambda e, d: c[e, d] * tirx.rsqrt(square[e] * mean + eps) * g[d], name="N")
        start = dim - self.rotary

        def turned(e, d):  # type: ignore[no-untyped-def]
            at = d - start
            sign = tirx.Select(at % 2 == 0, tirx.const(-1.0, "float32"), tirx.const(1.0, "float32"))
            result = normal[e, d] * cos[e, at // 2] + normal[e, d + 1 - 2 * (at % 2)] * sin[e, at // 2] * sign
            return result if not start else tirx.if_then_else(d >= start, result, normal[e, d])

        if self.hadamard:
            last = transformed(te.compute(pooled, turned, name="T"))
            scale = tirx.const(dim**-0.5, "float32")
            y = te.compute(pooled, lambda e, d: (last[e, d] * scale).astype(self.dtype), name="Y")
        else:
            y = te.compute(pooled, lambda e, d: turned(e, d).astype(self.dtype), name="Y")
        return te.create_prim_func([x, ape, first, g, cos, sin, y])

    def inputs(self, rng: np.random.Generator) -> Arrays:
        width = (1 + self.overlap) * self.dim
        x = rng.standard_normal(((self.entries + self.overlap) * self.ratio, 2 * width), np.float32)
        ape = rng.standard_normal((self.ratio, width), np.float32)
        first = (np.arange(self.entries) * self.ratio).astype(np.int32)
        gain = rng.uniform(0.5, 1.5, self.dim).astype(np.float32)
        angle = rng.uniform(-np.pi, np.pi, (self.entries, self.rotary // 2)).astype(np.float32)
        return [x, ape, first, gain, np.cos(angle), np.sin(angle)]

    def reference(self, inputs: Sequence[np.ndarray]) -> Arrays:
        x, ape, first, gain, cos, sin = inputs
        dim, ratio = self.dim, self.ratio
        keys, scores = np.split(x, 2, axis=1)
        y = np.empty((self.entries, dim), np.float32)
        for entry, start in enumerate(first):
            k, score = keys[start : start + self.window], scores[start : start + self.window]
            if self.overlap:
                k = np.concatenate([k[:ratio, :dim], k[ratio:, dim:]])
                score = np.concatenate([score[:ratio, :dim] + ape[:, :dim], score[ratio:, dim:] + ape[:, dim:]])
            else:
                score = score + ape
            weights = np.exp(score - score.max(0))
            y[entry] = (weights * k).sum(0) / weights.sum(0)
        y *= gain / np.sqrt(np.mean(y * y, axis=1, keepdims=True) + np.float32(EPS))
        pairs = y[:, dim - self.rotary :]
        turned = (pairs[:, 0::2] + 1j * pairs[:, 1::2]) * (cos + 1j * sin)
        pairs[:, 0::2], pairs[:, 1::2] = turned.real, turned.imag
        if self.hadamard:
            y = y @ sylvester(dim) * np.float32(dim**-0.5)
        return [y.astype(NUMPY[self.dtype])]

    @property
    def flops(self) -> int:
        # A score, a maximum, an exponential, a sum and a multiply-add for each number pooled.
        butterflies = self.dim * (self.dim.bit_length() - 1) * self.hadamard
        return self.entries * (6 * self.window * self.dim + 5 * self.dim + 3 * self.rotary + butterflies)

    @property
    def traffic(self) -> int:
        """Half of each row at both ends of overlapping windows belongs to no entry."""
        pooled = 2 * self.entries * self.window * self.dim
        rest = self.window * self.dim + self.entries * (1 + self.rotary) + self.dim
        return 4 * (pooled + rest) + self.entries * self.dim * NUMPY[self.dtype].itemsize

    @property
    def tolerances(self) -> tuple[Tolerance, ...]:
        return (TOLERANCE[self.dtype],)

    @property
    def label(self) -> str:
        more = ", overlapping" * self.overlap + ", hadamard" * self.hadamard
        return f"{self.entries} of {self.ratio} rows x{self.dim} {SHORT[self.dtype]}, last {self.rotary} turned{more}"

    @classmethod
    def examples(cls) -> Iterable[Compress]:
        yield cls(16, 4, 96, 32, True)
        yield cls(9, 4, 64, 16, True, True, "float32")
        yield cls(37, 11, 34, 34, dtype="float32")

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[Compress]:
        if len(arguments) != 7 or [len(shape) for shape, _ in arguments] != [2, 2, 1, 1, 2, 2, 2]:
            return
        (ratio, width), (entries,), (dim,), (_, half) = (arguments[at][0] for at in (1, 2, 3, 4))
        dtype = arguments[6][1]
        if width not in (dim, 2 * dim) or not 0 < 2 * half <= dim or dtype not in cls.choices["dtype"]:
            return
        for hadamard in (False, True)[: 1 + (dim.bit_count() == 1)]:
            yield cls(entries * ratio, ratio, dim, 2 * half, width != dim, hadamard, dtype)
