"""What an attention operator looks like to a kernel: groups of query rows that see the same keys.

A row is one head of one query. Rows of a group share keys and values, so a key is loaded once for all of them; the
groups are independent. Everything is said in TIR expressions over the operator's buffers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from schedules.attention_kernel import Parts
from schedules.dtypes import NUMPY
from schedules.operator import Operator
from schedules.operators.gqa_attention import GqaAttention
from schedules.operators.mha_prefill import MhaPrefill
from schedules.operators.mla_decode import MlaDecode
from schedules.operators.sparse_mqa import SparseMqa
from schedules.operators.sparse_mqa_fp8 import SparseMqaFp8
from schedules.row_decoder import RowDecoder
from schedules.sparse_attention import SparseAttention
from schedules.vector_text import Function

Buffers = Mapping[str, Any]


@dataclass(frozen=True)
class Reader:
    """A function that copies one row, or a part of it.

    Attributes:
        function: of a row of each buffer in ``sources`` and of where to write.
        sources: names of buffers.
        number: of the row, which the function writes first.
    """

    function: Function
    sources: tuple[str, ...]
    number: int = 0


@dataclass(frozen=True)
class View(ABC):
    """One operator, its rows divided into groups of ``rows``; the last group of those that share keys may have fewer.

    Attributes:
        op: the operator.
        rows: of a group.
    """

    op: Any
    rows: int
    # Values are the first channels of keys.
    shared: ClassVar[bool] = False
    # Rows of a group see different numbers of keys.
    causal: ClassVar[bool] = False
    # Names of the buffers that keys and values are in.
    keys_from: ClassVar[str] = "K"
    values_from: ClassVar[str] = "V"
    # Decoded keys are bfloat16 numbers.
    short: ClassVar[bool] = True

    @classmethod
    @abstractmethod
    def most_rows(cls, op: Any) -> int:
        """How many rows share keys."""

    @property
    def shares(self) -> int:
        """Groups among the rows that share keys."""
        return -(-self.most_rows(self.op) // self.rows)

    def size(self, group: Any) -> Any:
        """Rows that a group has."""
        from tvm import tirx

        left = self.most_rows(self.op) - group % self.shares * self.rows
        return self.rows if self.most_rows(self.op) % self.rows == 0 else tirx.min(left, self.rows)

    def _row(self, group: Any, row: Any) -> Any:
        """The row among those that share keys; of a row too many, the last."""
        from tvm import tirx

        at = group % self.shares * self.rows + row
        return at if self.most_rows(self.op) % self.rows == 0 else tirx.min(at, self.most_rows(self.op) - 1)

    @property
    @abstractmethod
    def groups(self) -> int:
        """How many there are."""

    @property
    @abstractmethod
    def keys(self) -> int:
        """Keys of a group, at most."""

    @property
    def value_dim(self) -> int:
        """Channels of a value."""
        return int(getattr(self.op, "value_dim", self.op.dim))

    def readers(self, parts: Parts, keys: bool) -> list[Reader]:
        """What copies a key, or a value, to a task's memory."""
        if keys:
            return [Reader(parts.copy(self.op.dim, parts.pairs), (self.keys_from,))]
        return [Reader(parts.copy(self.value_dim, False), (self.values_from,))]

    @property
    def key_bytes(self) -> dict[str, int]:
        """Bytes of a key in each of the buffers that memory may be asked for beforehand."""
        return {self.keys_from: self.op.dim * NUMPY[self.op.dtype].itemsize}

    @abstractmethod
    def query(self, group: Any, row: Any) -> tuple[Any, ...]:
        """Where a row is, without the channel, in ``Q`` and in the output."""

    @abstractmethod
    def key(self, b: Buffers, group: Any, at: Any) -> tuple[Any, ...]:
        """Where key ``at`` of a group is, without the channel; a place that exists, whether it is present or not."""

    def present(self, b: Buffers, group: Any, at: Any) -> Any:
        """Whether key ``at`` is there; None if all are."""
        return None

    def count(self, b: Buffers, group: Any) -> Any:
        """Keys that a group sees, at most ``keys``."""
        return self.keys

    def limit(self, group: Any, row: Any) -> Any:
        """The last key that a row sees, where ``causal``."""
        raise NotImplementedError

    def scale(self, b: Buffers) -> Any:
        """By what dot products are multiplied."""
        return b["SCALE"][0]

    def sink(self, b: Buffers, group: Any, row: Any) -> Any:
        """The sink of a row's head; None where the operator has none."""
        return None


class SparseView(View):
    """All heads of a token share its rows."""

    op: SparseAttention
    shared = True
    keys_from = values_from = "KV"

    @classmethod
    def most_rows(cls, op: SparseAttention) -> int:
        return op.heads

    @property
    def groups(self) -> int:
        return self.op.tokens * self.shares

    @property
    def keys(self) -> int:
        return self.op.picked

    def query(self, group: Any, row: Any) -> tuple[Any, ...]:
        return group // self.shares, self._row(group, row)

    def key(self, b: Buffers, group: Any, at: Any) -> tuple[Any, ...]:
        from tvm import tirx

        return (tirx.max(b["IDX"][group // self.shares, at], 0),)

    def present(self, b: Buffers, group: Any, at: Any) -> Any:
        return b["IDX"][group // self.shares, at] >= 0

    def sink(self, b: Buffers, group: Any, row: Any) -> Any:
        return b["SINK"][self._row(group, row)] if self.op.sink else None


class CodedView(SparseView):
    """All heads of a token share its rows, which are codes but for their last channels."""

    op: SparseMqaFp8

    @property
    def short(self) -> bool:  # type: ignore[override]
        """Codes times powers of two are, times other scales they are not."""
        return self.op.format.power

    def readers(self, parts: Parts, keys: bool) -> list[Reader]:
        op, dim, pairs = self.op, self.op.dim if keys else self.value_dim, parts.pairs and keys
        codes = min(op.codes, dim)
        decoder = RowDecoder(parts.lanes, "float8_e4m3fn", codes, pairs, op.group, op.scale)
        found = [Reader(decoder.function(), ("KV", "SKV"))]
        if dim > codes:
            plain = RowDecoder(parts.lanes, "bfloat16", dim - codes, pairs)
            found.append(Reader(plain.function(), ("KR", "KR"), codes))
        return found

    @property
    def key_bytes(self) -> dict[str, int]:
        return {"KV": self.op.codes, "KR": 2 * self.op.rotary}


class LatentView(View):
    """All heads of a query share the cache of its sequence."""

    op: MlaDecode
    shared = True
    keys_from = values_from = "KV"

    @classmethod
    def most_rows(cls, op: MlaDecode) -> int:
        return op.heads

    @property
    def groups(self) -> int:
        return self.op.batch * self.op.queries * self.shares

    @property
    def keys(self) -> int:
        return self.op.keys

    def query(self, group: Any, row: Any) -> tuple[Any, ...]:
        token = group // self.shares
        return token // self.op.queries, token % self.op.queries, self._row(group, row)

    def key(self, b: Buffers, group: Any, at: Any) -> tuple[Any, ...]:
        return group // self.shares // self.op.queries, at

    def count(self, b: Buffers, group: Any) -> Any:
        token = group // self.shares
        return b["LEN"][token // self.op.queries] - self.op.queries + 1 + token % self.op.queries


class CausalView(View):
    """The query heads of a key-value head and the queries of a sequence, some of them, are rows that share keys.

    Row ``r`` is query ``r // share`` of the group's queries and head ``r % share`` of those that share.
    """

    op: GqaAttention | MhaPrefill

    @classmethod
    def most_rows(cls, op: Any) -> int:
        return int(op.queries * cls.share_of(op))

    @staticmethod
    def share_of(op: Any) -> int:
        """Query heads of a key-value head."""
        return int(op.heads // op.kv_heads) if isinstance(op, GqaAttention) else 1

    @property
    def causal(self) -> bool:  # type: ignore[override]
        """A single query sees everything."""
        return self.op.queries > 1

    @property
    def share(self) -> int:
        """Query heads of a key-value head."""
        return self.share_of(self.op)

    @property
    def kv_heads(self) -> int:
        """Heads that have keys of their own."""
        return int(self.op.heads // self.share)

    @property
    def groups(self) -> int:
        return int(self.op.batch * self.kv_heads * self.shares)

    @property
    def keys(self) -> int:
        return int(self.op.keys)

    def _place(self, group: Any, row: Any) -> tuple[Any, Any, Any, Any]:
        """Sequence, query, key-value head and which of the heads that share it."""
        head, at = group // self.shares, self._row(group, row)
        return head // self.kv_heads, at // self.share, head % self.kv_heads, at % self.share

    def query(self, group: Any, row: Any) -> tuple[Any, ...]:
        sequence, query, head, among = self._place(group, row)
        return sequence, query, head * self.share + among

    def key(self, b: Buffers, group: Any, at: Any) -> tuple[Any, ...]:
        sequence, _, head, _ = self._place(group, 0)
        return sequence, at, head

    def count(self, b: Buffers, group: Any) -> Any:
        return self.limit(group, self.rows - 1) + 1

    def limit(self, group: Any, row: Any) -> Any:
        return self._place(group, row)[1] + (self.op.keys - self.op.queries)

    def scale(self, b: Buffers) -> Any:
        from tvm import tirx

        return tirx.const(self.op.dim**-0.5, "float32") if isinstance(self.op, GqaAttention) else b["SCALE"][0]


VIEWS: dict[type[Operator], type[View]] = {
    SparseMqa: SparseView,
    SparseMqaFp8: CodedView,
    MlaDecode: LatentView,
    GqaAttention: CausalView,
    MhaPrefill: CausalView,
}
