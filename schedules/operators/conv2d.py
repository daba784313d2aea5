"""Two-dimensional convolution, NCHW data and OIHW weights."""

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
class Conv2d(Operator):
    """``Y[b, o, y, x] = sum_{i, r, s} X[b, i, y * stride + r - padding, x * stride + s - padding] W[o, i, r, s]``.

    Summed in float32. The program is that of ``tvm.topi.nn.conv``, which ONNX and torch convolutions come to as well;
    stages ``pad_temp`` (where padded) and ``conv2d_nchw`` or ``group_conv2d_nchw``, and ``C`` that rounds to bfloat16.

    Attributes:
        batch, height, width: of the input.
        channels_in, channels_out: of input and output, all groups together.
        kernel: rows and columns of the kernel.
        stride, padding: in both directions; padding on every side.
        groups: groups of channels that see only each other.
        dtype: of every argument, ``float32`` or ``bfloat16``.
    """

    name: ClassVar[str] = "conv2d"
    summary: ClassVar[str] = "two-dimensional convolution, NCHW"
    row_parameter: ClassVar[str] = "batch"
    weights: ClassVar[tuple[str, ...]] = ("W",)
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"dtype": ("float32", "bfloat16")}
    batch: int
    height: int
    width: int
    channels_in: int
    channels_out: int
    kernel: int
    stride: int = 1
    padding: int = 0
    groups: int = 1
    dtype: str = "float32"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.channels_in % self.groups or self.channels_out % self.groups:
            raise InputError(f"operator {self.name!r}: {self.groups} groups do not divide the channels")
        if min(self.height, self.width) + 2 * self.padding < self.kernel:
            raise InputError(f"operator {self.name!r}: kernel {self.kernel} is larger than the padded input")

    @property
    def output(self) -> tuple[int, int, int, int]:
        """Shape of the output."""
        rows, columns = (
            (size + 2 * self.padding - self.kernel) // self.stride + 1 for size in (self.height, self.width)
        )
        return self.batch, self.channels_out, rows, columns

    def prim_func(self) -> tirx.PrimFunc:
        from tvm import te, topi

        x = te.placeholder((self.batch, self.channels_in, self.height, self.width), self.dtype, "X")
        w = te.placeholder(self._weight_shape, self.dtype, "W")
        exact = self.dtype == "float32"
        y = topi.nn.conv(
            x,
            w,
            [self.stride] * 2,
            [self.padding] * 4,
            [1, 1],
            self.groups,
            "NCHW",
            "OIHW",
            None if exact else "float32",
        )
        if not exact:
            total = y
            y = te.compute(total.shape, lambda *at: total[at].astype(self.dtype), name="C")
        return te.create_prim_func([x, w, y])

    @property
    def _weight_shape(self) -> tuple[int, int, int, int]:
        return self.channels_out, self.channels_in // self.groups, self.kernel, self.kernel

    @property
    def _terms(self) -> int:
        """Products that are summed for one output."""
        return self.channels_in // self.groups * self.kernel**2

    def inputs(self, rng: np.random.Generator) -> Arrays:
        dtype = NUMPY[self.dtype]
        x = fill(rng, (self.batch, self.channels_in, self.height, self.width), dtype)
        return [x, fill(rng, self._weight_shape, dtype, self._terms**-0.5)]

    def reference(self, inputs: Sequence[np.ndarray]) -> Arrays:
        x, w = (array.astype(np.float32) for array in inputs)
        side = (self.padding, self.padding)
        padded = np.pad(x, ((0, 0), (0, 0), side, side))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (self.kernel, self.kernel), axis=(2, 3))
        windows = windows[:, :, :: self.stride, :: self.stride]
        y = np.empty(self.output, np.float32)
        for data, weight, out in zip(
            np.split(windows, self.groups, axis=1),
            np.split(w, self.groups),
            np.split(y, self.groups, axis=1),
            strict=True,
        ):
            out[:] = np.tensordot(data, weight, axes=((1, 4, 5), (1, 2, 3))).transpose(0, 3, 1, 2)
        return [y.astype(NUMPY[self.dtype])]

    @property
    def flops(self) -> int:
        return 2 * int(np.prod(self.output)) * self._terms

    @property
    def tolerances(self) -> tuple[Tolerance, ...]:
        return (TOLERANCE[self.dtype],)

    @property
    def arithmetic(self) -> str:
        return self.dtype

    @property
    def label(self) -> str:
        stride = f"/{self.stride}" if self.stride > 1 else ""
        groups = f" {self.groups} groups" if self.groups > 1 else ""
        return (
            f"{self.batch}x{self.channels_in}x{self.height}x{self.width} -> {self.channels_out}, "
            f"{self.kernel}x{self.kernel}{stride} pad {self.padding}{groups} {SHORT[self.dtype]}"
        )

    @classmethod
    def examples(cls) -> Iterable[Conv2d]:
        yield cls(1, 14, 14, 16, 32, 3, 1, 1)
        yield cls(2, 11, 13, 3, 8, 7, 2, 3)
        yield cls(1, 9, 9, 8, 12, 1, 2, 0, 1, "bfloat16")
        yield cls(1, 10, 7, 12, 18, 3, 1, 1, 3)

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[Conv2d]:
        if len(arguments) != 3 or any(len(shape) != 4 for shape, _ in arguments):
            return
        (batch, channels, height, width), dtype = arguments[0]
        (out, per_group, kernel, other), _ = arguments[1]
        if dtype not in cls.choices["dtype"] or kernel != other or channels % per_group:
            return
        groups = channels // per_group
        for padding in range(kernel):
            if out % groups or min(height, width) + 2 * padding < kernel:
                continue
            for stride in (1, 2, 3, 4, 8, 14, 16, 32):
                found = cls(batch, height, width, channels, out, kernel, stride, padding, groups, dtype)
                if found.output == arguments[2][0]:
                    yield found
