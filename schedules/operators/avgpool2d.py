"""Two-dimensional average pooling, NCHW."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from schedules.dtypes import NUMPY
from schedules.operator import Arrays
from schedules.operators.maxpool2d import Pool2d


@dataclass(frozen=True)
class AvgPool2d(Pool2d):
    """The mean of each window, of what of it lies inside of the image, in float32.

    The program is that of ``tvm.topi.nn.pool2d``, which ONNX and torch poolings come to as well; stages ``pad_temp``
    (where padded), ``pool_sum`` and ``pool_avg``; for bfloat16 with ``F`` and ``Y``, the casts, around them.

    Attributes:
        batch, height, width, channels: of the input.
        kernel, stride, padding: rows and columns of a window, steps between windows, padding on every side.
        dtype: of input and output, ``float32`` or ``bfloat16``.
    """

    name: ClassVar[str] = "avgpool2d"
    summary: ClassVar[str] = "two-dimensional average pooling, NCHW"
    row_parameter: ClassVar[str] = "batch"
    kind: ClassVar[str] = "avg"

    def reference(self, inputs: Sequence[np.ndarray]) -> Arrays:
        total = self.windows(inputs[0], 0.0).sum(axis=(4, 5))
        inside = self.windows(np.ones_like(inputs[0], np.float32), 0.0).sum(axis=(4, 5))
        return [(total / inside).astype(NUMPY[self.dtype])]

    @classmethod
    def examples(cls) -> Iterable[AvgPool2d]:
        yield cls(1, 14, 14, 16, 3, 2, 1)
        yield cls(4, 7, 7, 33, 7)
        yield cls(1, 9, 9, 8, 3, 1, 0, "bfloat16")
