"""Logits of an indexer on the tensor cores of GPUs: a warp has all heads of a token and adds them up in registers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from schedules.cuda.budget import Budget
from schedules.cuda.scaled_text import LOGITS
from schedules.cuda.space import CudaSpace, architecture
from schedules.cuda.tiles import TiledProduct, Tiles
from schedules.operators.mqa_logits import MqaLogits
from schedules.schedule import Schedule
from schedules.spaces.cuda_tensor import E4M3
from schedules.traits import Traits
from schedules.workload import Workload, numpy_dtype
from targets import Target

if TYPE_CHECKING:
    import tvm


class CudaLogits(CudaSpace):
    """Knobs: ``tokens`` by ``columns`` keys: the tile of a thread block, a warp for each token; ``across``: how many
    warps share the keys of a tile; ``group``: tiles of tokens that neighbouring blocks walk through before the next
    keys."""

    name: ClassVar[str] = "cuda_logits"
    version: ClassVar[int] = 1

    @classmethod
    def supports(cls, workload: Workload, target: Target) -> bool:
        op = workload.instance
        if target.kind != "cuda" or not isinstance(op, MqaLogits) or op.dtype not in ("bfloat16", "float8_e4m3fn"):
            return False
        if op.dtype == "float8_e4m3fn" and architecture(target) < E4M3:
            return False
        row = op.dim * numpy_dtype(op.dtype).itemsize
        return op.heads in (16, 32, 64) and row % 128 == 0 and row <= 512 and op.keys % 32 == 0

    @property
    def knobs(self) -> dict[str, Sequence[int]]:
        return {
            "tokens": [1, 2, 4, 8],
            "columns": [n for n in (32, 64, 128, 256) if self.op.keys % n == 0],
            "across": [1, 2, 4, 8],
            "group": [1, 4, 16],
        }

    def tiles(self, config: Mapping[str, int]) -> Tiles:
        """The tiles of a configuration; everything along k is in shared memory at once."""
        op = self.op
        steps = op.dim * numpy_dtype(op.dtype).itemsize // 128
        return Tiles(
            op.tokens * op.heads, op.keys, op.dim, op.dtype, config["tokens"] * op.heads, config["columns"],
            config["tokens"], config["across"], steps, config["group"], 0, 0,
        )  # fmt: skip

    def allows(self, config: Mapping[str, int]) -> bool:
        t = self.tiles(config)
        if (
            not self.fits(config)
            or t.group > t.height
            or (config["tokens"] > 1 and config["tokens"] >= 2 * self.op.tokens)
        ):
            return False
        return t.columns % (16 * t.across) == 0 and 64 <= t.threads <= 512

    def budget(self, config: Mapping[str, int]) -> Budget:
        t = self.tiles(config)
        return Budget(t.threads, 30 + 5 * t.sums // 4 + t.pieces, t.shared)

    def seeds(self) -> list[Schedule]:
        wanted = [(2, 128, 4, 1), (1, 128, 4, 1), (4, 64, 2, 4), (1, 64, 2, 1)]
        found = [self.nearest(dict(zip(self.knobs, values, strict=True))) for values in wanted]
        return list(dict.fromkeys(schedule for schedule in found if schedule is not None))

    def traits(self, config: Mapping[str, int]) -> Traits:
        t = self.tiles(config)
        return Traits(tasks=t.blocks, task=t.shared, loads=(t.rows + t.columns) / (t.rows * t.columns))

    def plain(self, config: Mapping[str, int]) -> tvm.IRModule:
        import tvm

        return tvm.IRModule({"main": _Logits(self.tiles(config), self.op, self.workload).plain()})

    def device(self, config: Mapping[str, int]) -> tvm.IRModule:
        import tvm

        return tvm.IRModule({"main": _Logits(self.tiles(config), self.op, self.workload).device()})


class _Logits(TiledProduct):
    left, right = "Q", "K"

    def __init__(self, tiles: Tiles, op: MqaLogits, workload: Workload) -> None:
        super().__init__(tiles, workload.arguments)
        self.op = op

    def element(self, buffers: Mapping[str, Any], name: str, row: Any, k: Any) -> Any:
        return buffers["Q"][row // self.op.heads, row % self.op.heads, k] if name == "Q" else buffers["K"][row, k]

    def finish(self, buffers: Mapping[str, Any], sums: Any, row: Any, column: Any) -> None:
        from tvm import tirx
        from tvm.script.ir_builder import tirx as T

        t, op, out = self.tiles, self.op, self.arguments[-1].name
        zero, lowest = tirx.const(0, "float32"), tirx.min_value("float32") * tirx.const(2, "float32")
        first = row // op.heads
        total = T.sblock_alloc_buffer((1,), "float32", scope="local")
        with T.grid(t.rows // op.heads, t.columns) as (i, j), T.If(first + i < op.tokens), T.Then():
            T.buffer_store(total, zero, [0])
            with T.serial(0, op.heads) as h:
                weight = buffers["W"][first + i, h]
                T.buffer_store(total, total[0] + tirx.max(sums[i * op.heads + h, j], zero) * weight, [0])
            value = total[0]
            if "KS" in buffers:
                value = value * buffers["KS"][column + j]
            if op.window:
                key = column + j
                seen = tirx.all(key >= buffers["START"][first + i], key < buffers["END"][first + i])
                value = tirx.Select(seen, value, lowest)
            T.buffer_store(buffers[out], value, [first + i, column + j])

    @property
    def text(self) -> str:
        op = self.op
        sizes = {"HEADS": op.heads, "SCALES": int(op.dtype == "float8_e4m3fn"), "WINDOW": int(op.window)}
        return "".join(f"constexpr int {name} = {value};\n" for name, value in sizes.items()) + LOGITS

    def store(self, buffers: Mapping[str, Any], sums: Any, at: Sequence[Any]) -> tuple[Any, ...]:
        # What there is none of stands for itself: the inner kernel does not look at it.
        given = [buffers[name if name in buffers else "W"].data for name in ("W", "KS", "START", "END")]
        return "hs_logits", buffers[self.arguments[-1].name].data, sums.data, *given, *at
