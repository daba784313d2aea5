"""Two-dimensional maximum pooling, NCHW."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from schedules.dtypes import NUMPY, SHORT, TOLERANCE
from schedules.operator import Arrays, Operator, Tolerance, fill
from targets.errors import InputError

if TYPE_CHECKING:
    from tvm import tirx


@dataclass(frozen=True)
class Pool2d(Operator):
    """What both poolings share; ``kind`` is ``max`` or ``avg``."""

    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"dtype": ("float32", "bfloat16")}
    kind: ClassVar[str]
    batch: int
    height: int
    width: int
    channels: int
    kernel: int
    stride: int = 1
    padding: int = 0
    dtype: str = "float32"

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.height, self.width) + 2 * self.padding < self.kernel or self.padding > self.kernel // 2:
            raise InputError(f"operator {self.name!r}: kernel {self.kernel} does not fit the padded input")

    def prim_func(self) -> tirx.PrimFunc:
        from tvm import te, topi

        x = te.placeholder((self.batch, self.channels, self.height, self.width), self.dtype, "X")
        exact = self.dtype == "float32" or self.kind == "max"
        data = x if exact else te.compute(x.shape, lambda *at: x[at].astype("float32"), name="F")
        y = topi.nn.pool2d(
            data,
            [self.kernel] * 2,
            [self.stride] * 2,
            [1, 1],
            [self.padding] * 4,
            self.kind,
            False,
            "NCHW",
            count_include_pad=False,
        )
        if not exact:
            mean = y
            y = te.compute(mean.shape, lambda *at: mean[at].astype(self.dtype), name="Y")
        return te.create_prim_func([x, y])

    def inputs(self, rng: np.random.Generator) -> Arrays:
        return [fill(rng, (self.batch, self.channels, self.height, self.width), NUMPY[self.dtype])]

    def windows(self, x: np.ndarray, outside: float) -> np.ndarray:
        """Every window of the input, ``[batch, channels, rows, columns, kernel, kernel]``, in float32."""
        side = (self.padding, self.padding)
        padded = np.pad(x.astype(np.float32), ((0, 0), (0, 0), side, side), constant_values=outside)
        windows = np.lib.stride_tricks.sliding_window_view(padded, (self.kernel, self.kernel), axis=(2, 3))
        return windows[:, :, :: self.stride, :: self.stride]

    @property
    def output(self) -> tuple[int, int, int, int]:
        """Shape of the output."""
        rows, columns = (
            (size + 2 * self.padding - self.kernel) // self.stride + 1 for size in (self.height, self.width)
        )
        return self.batch, self.channels, rows, columns

    @property
    def flops(self) -> int:
        # Separable: a row of the window, then a column; a kernel of 1 copies.
        return int(np.prod(self.output)) * max(1, 2 * (self.kernel - 1))

    @property
    def traffic(self) -> int | None:
        # A stride beyond the kernel leaves input unread; whole rows of it, where that much is certain.
        if self.stride <= self.kernel:
            return None
        rows = min(self.height, self.output[2] * self.kernel)
        read = self.batch * self.channels * rows * min(self.width, self.output[3] * self.kernel)
        return (read + int(np.prod(self.output))) * NUMPY[self.dtype].itemsize

    @property
    def tolerances(self) -> tuple[Tolerance, ...]:
        return (TOLERANCE[self.dtype] if self.kind == "avg" else Tolerance(0.0, 0.0),)

    @property
    def label(self) -> str:
        return (
            f"{self.batch}x{self.channels}x{self.height}x{self.width}, {self.kernel}x{self.kernel}/{self.stride} "
            f"pad {self.padding} {SHORT[self.dtype]}"
        )

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[Pool2d]:
        if len(arguments) != 2 or any(len(shape) != 4 for shape, _ in arguments):
            return
        (batch, channels, height, width), dtype = arguments[0]
        if dtype not in cls.choices["dtype"]:
            return
        for kernel in {*range(2, 8), *({height} if height == width else ())}:
            for stride in range(1, min(kernel, 7) + 1):
                for padding in range(kernel // 2 + 1):
                    if min(height, width) + 2 * padding >= kernel:
                        found = cls(batch, height, width, channels, kernel, stride, padding, dtype)
                        if found.output == arguments[1][0]:
                            yield found


@dataclass(frozen=True)
class MaxPool2d(Pool2d):
    """The largest value of each window; padding counts for nothing.

    The program is that of ``tvm.topi.nn.pool2d``, which ONNX and torch poolings come to as well; stages ``pad_temp``
    (where padded) and ``pool_max``.

    Attributes:
        batch, height, width, channels: of the input.
        kernel, stride, padding: rows and columns of a window, steps between windows, padding on every side.
        dtype: of input and output, ``float32`` or ``bfloat16``.
    """

    name: ClassVar[str] = "maxpool2d"
    summary: ClassVar[str] = "two-dimensional maximum pooling, NCHW"
    row_parameter: ClassVar[str] = "batch"
    kind: ClassVar[str] = "max"

    def reference(self, inputs: Sequence[np.ndarray]) -> Arrays:
        return [self.windows(inputs[0], -np.inf).max(axis=(4, 5)).astype(NUMPY[self.dtype])]

    @classmethod
    def examples(cls) -> Iterable[MaxPool2d]:
        yield cls(1, 14, 14, 16, 3, 2, 1)
        yield cls(2, 11, 13, 3, 2, 2)
        yield cls(1, 9, 9, 8, 3, 1, 0, "bfloat16")
