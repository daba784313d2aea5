"""Rotary position embedding of part of each head, forwards or backwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from schedules.dtypes import NUMPY, SHORT, TOLERANCE
from schedules.operator import Arrays, Operator, Tolerance, fill
from targets.errors import InputError

if TYPE_CHECKING:
    from tvm import tirx


@dataclass(frozen=True)
class Rope(Operator):
    """Rotates pairs of ``rotary`` channels of each head by the token's angles, and copies the rest.

    ``(a, b) -> (a cos - b sin, a sin + b cos)`` in float32; ``inverse`` turns the other way (DeepSeek-V4 does so to
    attention's output). Inputs ``X[tokens, heads, dim]``, ``COS`` and ``SIN[tokens, rotary / 2]`` in float32; one
    stage, ``Y``. (J. Su et al., "RoFormer", arXiv 2104.09864.)

    Attributes:
        tokens, heads, dim: of the input.
        rotary: channels that turn, even, at most ``dim``.
        layout: which channels are pairs: ``interleaved`` (2i, 2i+1; MLA, V4) or ``half`` (i, i + rotary/2; Llama,
            Qwen, the indexer of V3.2).
        place: whether the ``first`` or the ``last`` channels of a head turn.
        inverse: turn backwards.
        dtype: of input and output, ``bfloat16`` or ``float32``.
    """

    name: ClassVar[str] = "rope"
    summary: ClassVar[str] = "rotary position embedding"
    row_parameter: ClassVar[str] = "tokens"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "layout": ("interleaved", "half"),
        "place": ("last", "first"),
        "dtype": ("bfloat16", "float32"),
    }
    tokens: int
    heads: int
    dim: int
    rotary: int
    layout: str = "interleaved"
    place: str = "last"
    inverse: bool = False
    dtype: str = "bfloat16"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rotary % 2 or self.rotary > self.dim:
            raise InputError(f"operator {self.name!r}: rotary is {self.rotary}, must be even and at most {self.dim}")

    @property
    def start(self) -> int:
        """First channel that turns."""
        return self.dim - self.rotary if self.place == "last" else 0

    def prim_func(self) -> tirx.PrimFunc:
        from tvm import te, tirx

        half, start = self.rotary // 2, self.start
        x = te.placeholder((self.tokens, self.heads, self.dim), self.dtype, "X")
        cos = te.placeholder((self.tokens, half), "float32", "COS")
        sin = te.placeholder((self.tokens, half), "float32", "SIN")

        turned = rotation(x, cos, sin, start, self.layout, self.inverse)

        def value(t, h, d):  # type: ignore[no-untyped-def]
            result = turned(t, h, d).astype(self.dtype)
            if self.rotary == self.dim:
                return result
            inside = d >= start if self.place == "last" else d < self.rotary
            return tirx.if_then_else(inside, result, x[t, h, d])

        return te.create_prim_func([x, cos, sin, te.compute(x.shape, value, name="Y")])

    def inputs(self, rng: np.random.Generator) -> Arrays:
        angle = rng.uniform(-np.pi, np.pi, (self.tokens, self.rotary // 2)).astype(np.float32)
        return [fill(rng, (self.tokens, self.heads, self.dim), NUMPY[self.dtype]), np.cos(angle), np.sin(angle)]

    def reference(self, inputs: Sequence[np.ndarray]) -> Arrays:
        x, cos, sin = (array.astype(np.float32) for array in inputs)
        y = reference_rotation(x, cos, sin, self.start, self.layout, self.inverse)
        return [y.astype(NUMPY[self.dtype])]

    @property
    def flops(self) -> int:
        return 3 * self.tokens * self.heads * self.rotary

    @property
    def tolerances(self) -> tuple[Tolerance, ...]:
        return (TOLERANCE[self.dtype],)

    @property
    def label(self) -> str:
        direction = " inverse" * self.inverse
        return (
            f"{self.tokens}x{self.heads}x{self.dim} {SHORT[self.dtype]}, {self.place} {self.rotary} "
            f"{self.layout}{direction}"
        )

    @classmethod
    def examples(cls) -> Iterable[Rope]:
        yield cls(16, 2, 96, 64)
        yield cls(5, 3, 34, 34, "half", "first", False, "float32")
        yield cls(3, 4, 80, 64, "interleaved", "last", True)
        yield cls(7, 1, 33, 16, "half", "first", True, "float32")

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[Rope]:
        shape, dtype = arguments[0]
        if len(arguments) != 4 or len(shape) != 3 or len(arguments[1][0]) != 2 or dtype not in cls.choices["dtype"]:
            return
        rotary = 2 * arguments[1][0][1]
        if rotary > shape[2]:
            return
        for layout in cls.choices["layout"]:
            for place in cls.choices["place"]:
                for inverse in (False, True):
                    yield cls(*shape, rotary, layout, place, inverse, dtype)


def rotation(x: Any, cos: Any, sin: Any, start: int, layout: str, inverse: bool) -> Callable[..., Any]:
    """Of token, head and channel: the float32 TE value of a channel that turns, the first of which is ``start``."""
    from tvm import tirx

    half = int(cos.shape[1])

    def turned(t: Any, h: Any, d: Any) -> Any:
        at = d - start
        if layout == "interleaved":
            pair, is_first, other = at // 2, at % 2 == 0, d + 1 - 2 * (at % 2)
        else:
            pair, is_first = at % half, at < half
            other = start + (at + half) % (2 * half)
        # The first of a pair turns by -sin, the second by +sin; backwards the other way round.
        sign = tirx.Select(is_first, *(tirx.const(1.0 if plus else -1.0) for plus in (inverse, not inverse)))
        return x[t, h, d].astype("float32") * cos[t, pair] + x[t, h, other].astype("float32") * sin[t, pair] * sign

    return turned


def reference_rotation(
    x: np.ndarray, cos: np.ndarray, sin: np.ndarray, start: int, layout: str, inverse: bool
) -> np.ndarray:
    """Float32 ``x[tokens, heads, channels]``, as many channels turned from ``start`` on as there are angles for."""
    sin = -sin if inverse else sin
    y, at = x.copy(), np.arange(2 * cos.shape[1]) + start
    first, second = (at[0::2], at[1::2]) if layout == "interleaved" else np.split(at, 2)
    a, b, cos, sin = x[..., first], x[..., second], cos[:, None, :], sin[:, None, :]
    y[..., first] = a * cos - b * sin
    y[..., second] = a * sin + b * cos
    return y
