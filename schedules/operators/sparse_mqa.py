"""Attention of all heads to a few rows of one shared cache, picked by index."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from schedules.dtypes import NUMPY, widened
from schedules.operator import Arrays, fill
from schedules.sparse_attention import Cache, SparseAttention


@dataclass(frozen=True)
class SparseMqa(SparseAttention):
    """As ``SparseAttention`` says, rows of ``KV[rows, dim]`` as they are.

    Semantics of ``flash_mla_sparse_fwd`` in FlashMLA and, with a sink, of ``sparse_attn`` in DeepSeek-V4's
    ``inference/kernel.py``, where the keys are those of a window and then compressed ones: the first ``topk`` indices
    and the other ``extra``.

    Attributes:
        dtype: of queries, rows and output, ``bfloat16`` or ``float32``.
    """

    name: ClassVar[str] = "sparse_mqa"
    summary: ClassVar[str] = "attention to indexed rows of one shared cache"
    dtype: str = "bfloat16"

    def cache(self) -> Cache:
        from tvm import te

        kv = te.placeholder((self.rows, self.dim), self.dtype, "KV")
        return [kv], lambda row, d: kv[row, d].astype("float32")

    def random_cache(self, rng: np.random.Generator) -> Arrays:
        return [fill(rng, (self.rows, self.dim), NUMPY[self.dtype])]

    def rows_of(self, cache: Sequence[np.ndarray], at: np.ndarray) -> np.ndarray:
        return widened(cache[0][at])

    @property
    def row_bytes(self) -> int:
        return self.dim * NUMPY[self.dtype].itemsize

    @classmethod
    def examples(cls) -> Iterable[SparseMqa]:
        yield cls(2, 1, 8, 64, 64, 32, 16, True)
        yield cls(2, 3, 3, 37, 29, 21, 0, False)
        yield cls(1, 5, 2, 40, 40, 13, 6, True, "float32")

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[SparseMqa]:
        shapes, dtype = [shape for shape, _ in arguments], arguments[0][1]
        if len(shapes) not in (5, 6) or [len(s) for s in shapes[:3]] != [3, 2, 2] or len(shapes[-1]) != 3:
            return
        (tokens, heads, dim), (rows, _), (_, picked), value_dim = *shapes[:3], shapes[-1][2]
        # rows = batch (picked - 1) + tokens
        batch = (rows - tokens) // (picked - 1) if picked > 1 else tokens
        if batch > 0 and tokens % batch == 0 and value_dim <= dim and dtype in cls.choices["dtype"]:
            yield cls(batch, tokens // batch, heads, dim, value_dim, picked, 0, len(shapes) == 6, dtype)
