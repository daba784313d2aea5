"""Block-scaled linears on chips with AVX512-BF16: codes become bfloat16 by table look-up, products are pairs.

The program is not a rearrangement of the workload's loops but one of its own around inner kernels in LLVM text
(``schedules/codes_kernel.py``); what it computes is checked like that of any schedule.
"""

# No ``from __future__ import annotations`` here: TVMScript reads annotations as they are, and they are no types.
# mypy: disable-error-code="valid-type, no-untyped-def"
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from schedules.codes_kernel import BLOCK, Tile, decode_row, module
from schedules.operators.grouped_linear import GroupedLinear
from schedules.operators.linear_fp8 import LinearFp8
from schedules.schedule import Schedule
from schedules.space import KnobSpace, divisors
from schedules.traits import Traits
from schedules.workload import Workload
from targets import Target

if TYPE_CHECKING:
    import tvm

DECODE, TILE = "headstart_decode_row", "headstart_tile"


class CodesDot(KnobSpace):
    """Knobs: ``mr x nr`` register tile; ``nb`` tiles of columns a task; ``ahead``: bytes of prefetching."""

    name: ClassVar[str] = "codes_dot"
    version: ClassVar[int] = 1

    def __init__(self, workload: Workload, target: Target) -> None:
        super().__init__(workload, target)
        op = workload.instance
        assert isinstance(op, LinearFp8 | GroupedLinear)
        self.op = op
        self.packed = isinstance(op, GroupedLinear) and op.dtype == "float4_e2m1fn"
        # Rows in all, and rows that use the same weights.
        self.rows, self.block = (op.m, op.m) if isinstance(op, LinearFp8) else (op.rows, op.block)

    @classmethod
    def supports(cls, workload: Workload, target: Target) -> bool:
        op = workload.instance
        if target.kind != "llvm" or not target.has("avx512bf16"):
            return False
        if isinstance(op, GroupedLinear):
            scaled = op.dtype != "bfloat16" and op.group == BLOCK
            return scaled and op.k % BLOCK == 0 and op.rows % op.block == 0
        return isinstance(op, LinearFp8) and op.k % BLOCK == 0

    @property
    def knobs(self) -> dict[str, Sequence[int]]:
        return {
            "mr": divisors(self.block, 16),
            # All columns of a tile share a scale of 128.
            "nr": [n for n in divisors(self.op.n, 16) if BLOCK % n == 0],
            "nb": [n for n in (1, 2, 4, 8, 16, 32, 64) if self.op.n % n == 0],
            "ahead": [0, 512, 2048],
        }

    def allows(self, config: Mapping[str, int]) -> bool:
        mr, nr = config["mr"], config["nr"]
        # Two sums for each output, of the block and of all, of which half may wait in the first-level cache.
        return self.op.n % (nr * config["nb"]) == 0 and mr * nr <= 24 and (mr + 8) * nr <= 256

    def seeds(self) -> list[Schedule]:
        wanted = (
            {"mr": min(self.block, 8), "nr": 2 if self.block > 1 else 4, "nb": 8, "ahead": 0},
            {"mr": min(self.block, 4), "nr": 4, "nb": 4, "ahead": 512},
            {"mr": min(self.block, 16), "nr": 1, "nb": 16, "ahead": 0},
            {"mr": min(self.block, 4), "nr": 2, "nb": 8, "ahead": 2048},
        )
        found = [self.nearest(config) for config in wanted]
        return list(dict.fromkeys(schedule for schedule in found if schedule is not None))

    def traits(self, config: Mapping[str, int]) -> Traits:
        mr, nr, columns = config["mr"], config["nr"], config["nr"] * config["nb"]
        depth = self.op.k // 2 if self.packed else self.op.k
        return Traits(
            tasks=self.rows * self.op.n / (self.block * columns),
            # Every tile of columns reads all the activations, as bfloat16.
            inner=mr * self.op.k * 2 + nr * depth,
            task=self.block * self.op.k * 2 + columns * depth,
            registers=(mr * nr, 32),
            loads=(mr + nr) / (mr * nr),
        )

    def program(self, config: Mapping[str, int]) -> "tvm.IRModule":
        import tvm

        tile = Tile(config["mr"], config["nr"], self.op.k, self.op.n, self.packed, config["ahead"])
        text = module(decode_row(DECODE, self.packed), tile.define(TILE))
        columns = config["nr"] * config["nb"]
        if isinstance(self.op, LinearFp8):
            return tvm.IRModule({"main": _linear(self.op, tile, columns, text)})
        return tvm.IRModule({"main": _grouped(self.op, tile, columns, text)})


def _decode(m: int, blocks: int, text: str) -> Any:
    """A macro: the activations' codes as bits of bfloat16, ``A[m, k]`` to ``Ab[m, k]``; its loop carries ``text``."""
    from tvm.script import tirx as T

    @T.macro
    def decode(A, Ab):
        for row in T.parallel(m, annotations={"pragma_import_llvm": text}):
            for b in range(blocks):
                with T.sblock("decode"):
                    vi = T.axis.spatial(m, row)
                    vb = T.axis.spatial(blocks, b)
                    T.reads(A[vi, vb * BLOCK : vb * BLOCK + BLOCK])
                    T.writes(Ab[vi, vb * BLOCK : vb * BLOCK + BLOCK])
                    T.evaluate(
                        T.call_extern(
                            "void",
                            DECODE,
                            T.address_of(A[vi, vb * BLOCK]),
                            T.address_of(Ab[vi, vb * BLOCK]),
                            # Named because TVM shrinks a buffer to the elements it sees.
                            T.address_of(Ab[vi, vb * BLOCK + BLOCK - 1]),
                        )
                    )

    return decode


def _linear(op: LinearFp8, tile: Tile, columns: int, text: str) -> Any:
    from tvm.script import tirx as T

    m, n, k, blocks, scales = op.m, op.n, op.k, op.k // BLOCK, -(-op.n // BLOCK)
    mr, nr = tile.mr, tile.nr
    decode = _decode(m, blocks, text)

    @T.prim_func(s_tir=True)
    def main(
        A: T.Buffer((m, k), "float8_e4m3fn"),
        SA: T.Buffer((m, blocks), "float32"),
        W: T.Buffer((n, k), "float8_e4m3fn"),
        SW: T.Buffer((scales, blocks), "float32"),
        C: T.Buffer((m, n), "bfloat16"),
    ):
        T.func_attr({"tirx.noalias": True})
        with T.sblock("root"):
            # Bits of bfloat16: TVM would widen a buffer of its own that is bfloat16.
            Ab = T.sblock_alloc_buffer((m, k), "uint16")
            decode(A, Ab)
            for task in T.parallel(n // columns):
                for jt in range(columns // nr):
                    for it in range(m // mr):
                        with T.sblock("tile"):
                            vi = T.axis.spatial(m // mr, it)
                            vj = T.axis.spatial(n // nr, task * (columns // nr) + jt)
                            T.reads(Ab[vi * mr : vi * mr + mr, 0:k], SA[vi * mr : vi * mr + mr, 0:blocks])
                            T.writes(C[vi * mr : vi * mr + mr, vj * nr : vj * nr + nr])
                            T.evaluate(
                                T.call_extern(
                                    "void",
                                    TILE,
                                    T.address_of(Ab[vi * mr, 0]),
                                    T.address_of(SA[vi * mr, 0]),
                                    T.address_of(W[vj * nr, 0]),
                                    T.address_of(SW[vj * nr // BLOCK, 0]),
                                    T.address_of(C[vi * mr, vj * nr]),
                                )
                            )

    return main


def _grouped(op: GroupedLinear, tile: Tile, columns: int, text: str) -> Any:
    from tvm.script import tirx as T

    m, n, k, blocks, e = op.rows, op.n, op.k, op.k // BLOCK, op.groups
    mr, nr, share, count = tile.mr, tile.nr, op.block, op.blocks
    weights, kind = ((e, n, k // 2), "uint8") if tile.packed else ((e, n, k), "float8_e4m3fn")
    scales, scale = ((e, n, k // 32), "uint8") if tile.packed else ((e, -(-n // BLOCK), blocks), "float32")
    rows_per_scale = 1 if tile.packed else BLOCK
    decode = _decode(m, blocks, text)

    @T.prim_func(s_tir=True)
    def main(
        A: T.Buffer((m, k), "float8_e4m3fn"),
        SA: T.Buffer((m, blocks), "float32"),
        EXPERT: T.Buffer((count,), "int32"),
        W: T.Buffer(weights, kind),
        SW: T.Buffer(scales, scale),
        C: T.Buffer((m, n), "bfloat16"),
    ):
        T.func_attr({"tirx.noalias": True})
        with T.sblock("root"):
            # Bits of bfloat16: TVM would widen a buffer of its own that is bfloat16.
            Ab = T.sblock_alloc_buffer((m, k), "uint16")
            decode(A, Ab)
            for task in T.parallel(count * (n // columns)):
                for jt in range(columns // nr):
                    for it in range(share // mr):
                        with T.sblock("tile"):
                            vg = T.axis.spatial(count, task // (n // columns))
                            vi = T.axis.spatial(share // mr, it)
                            vj = T.axis.spatial(n // nr, task % (n // columns) * (columns // nr) + jt)
                            T.reads(Ab[vg * share : vg * share + share, 0:k], EXPERT[vg])
                            T.writes(C[vg * share : vg * share + share, vj * nr : vj * nr + nr])
                            T.evaluate(
                                T.call_extern(
                                    "void",
                                    TILE,
                                    T.address_of(Ab[vg * share + vi * mr, 0]),
                                    T.address_of(SA[vg * share + vi * mr, 0]),
                                    T.address_of(W[EXPERT[vg], vj * nr, 0]),
                                    T.address_of(SW[EXPERT[vg], vj * nr // rows_per_scale, 0]),
                                    T.address_of(C[vg * share + vi * mr, vj * nr]),
                                )
                            )

    return main
