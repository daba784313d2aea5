"""Attention of all heads to a few rows of one shared cache in fp8, as in decoding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from schedules.block_scaled import BlockScaled
from schedules.dtypes import NUMPY, widened
from schedules.operator import Arrays, fill
from schedules.sparse_attention import Cache, SparseAttention
from targets.errors import InputError


@dataclass(frozen=True)
class SparseMqaFp8(SparseAttention):
    """As ``SparseAttention`` says; all but the last ``rotary`` channels of a row are e4m3 codes with scales.

    The cache is ``KV[rows, dim - rotary]`` in e4m3, ``SKV[rows, (dim - rotary) / group]``, ``KR[rows, rotary]`` in
    bfloat16; queries and output are bfloat16. Rows of FlashMLA's ``flash_mla_with_kvcache``: 512 codes with four
    float32 scales and 64 rotary channels for V3.2, 448 codes with seven powers of two and 64 for V4. There all of a
    row lies together, in pages; here each part is an array. Decoded rows are not rounded to bfloat16.

    Attributes:
        rotary: channels that are bfloat16, the last ones.
        group: channels that share a scale.
        scale: of ``SKV``, ``ue8m0`` or ``float32``.
        dtype: of queries, rotary channels and output, ``bfloat16``.
    """

    name: ClassVar[str] = "sparse_mqa_fp8"
    summary: ClassVar[str] = "attention to indexed rows of one shared cache in fp8"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"scale": ("ue8m0", "float32"), "dtype": ("bfloat16",)}
    rotary: int = 64
    group: int = 64
    scale: str = "ue8m0"
    dtype: str = "bfloat16"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.group % 16 or self.codes < 1 or self.codes % self.group:
            raise InputError(
                f"operator {self.name!r}: dim - rotary is {self.codes}, must be a multiple of group, and group of 16"
            )

    @property
    def codes(self) -> int:
        """Channels that are codes."""
        return self.dim - self.rotary

    @property
    def format(self) -> BlockScaled:
        """How they are stored."""
        return BlockScaled("float8_e4m3fn", 1, self.group, self.scale == "ue8m0")

    def cache(self) -> Cache:
        from tvm import te, tirx

        codes, scales = self.format.placeholders("KV", self.rows, self.codes)
        plain = te.placeholder((self.rows, self.rotary), self.dtype, "KR")

        def element(row: Any, d: Any) -> Any:
            value = self.format.value(codes, scales, row, d)
            for factor in self.format.factor(scales, row, d // self.group):
                value = value * factor
            return tirx.if_then_else(d < self.codes, value, plain[row, d - self.codes].astype("float32"))

        return [codes, scales, plain], element

    def random_cache(self, rng: np.random.Generator) -> Arrays:
        coded = self.format.random(rng, self.rows, self.codes)
        return [*coded, fill(rng, (self.rows, self.rotary), NUMPY[self.dtype])]

    def rows_of(self, cache: Sequence[np.ndarray], at: np.ndarray) -> np.ndarray:
        codes, scales, plain = (array[at] for array in cache)
        return np.concatenate([self.format.values(codes, scales), widened(plain)], axis=1)

    @property
    def row_bytes(self) -> int:
        return self.format.nbytes(1, self.codes) + 2 * self.rotary

    @property
    def stored(self) -> str:
        return "fp8"

    @classmethod
    def examples(cls) -> Iterable[SparseMqaFp8]:
        yield cls(2, 1, 8, 80, 80, 32, 16, True, rotary=16)
        yield cls(1, 3, 3, 133, 128, 21, 0, False, rotary=5, group=128, scale="float32")

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[SparseMqaFp8]:
        shapes, dtypes = [shape for shape, _ in arguments], [dtype for _, dtype in arguments]
        if len(shapes) not in (7, 8) or [len(s) for s in shapes[:5]] != [3, 2, 2, 2, 2] or len(shapes[-1]) != 3:
            return
        (tokens, heads, dim), (rows, codes), (_, scales), (_, rotary), (_, picked) = shapes[:5]
        batch = (rows - tokens) // (picked - 1) if picked > 1 else tokens
        scale = {"uint8": "ue8m0", "float32": "float32"}.get(dtypes[2])
        if dtypes[1] == "float8_e4m3fn" and scale and batch > 0 and tokens % batch == 0 and codes % max(scales, 1) == 0:
            sink, group = len(shapes) == 8, codes // scales
            form = (batch, tokens // batch, heads, dim, shapes[-1][2], picked, 0, sink, rotary, group, scale)
            if codes + rotary == dim and group % 16 == 0 and shapes[-1][2] <= dim:
                yield cls(*form)
