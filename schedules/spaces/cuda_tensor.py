"""Linear layers on the tensor cores of GPUs, of bfloat16 and of e4m3 codes with scales of blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from schedules.block_scaled import BLOCK
from schedules.cuda.budget import Budget, most_registers
from schedules.cuda.scaled_text import SCALED
from schedules.cuda.space import CudaSpace, architecture
from schedules.cuda.tensor_text import ROW
from schedules.cuda.tiles import TiledProduct, Tiles
from schedules.operators.linear import Linear
from schedules.operators.linear_fp8 import LinearFp8
from schedules.schedule import Schedule
from schedules.traits import Traits
from schedules.workload import Workload, numpy_dtype
from targets import Target

if TYPE_CHECKING:
    import tvm

# The one architecture with warpgroup products: they are not in its successors. Those from which on e4m3 is multiplied.
WARPGROUPS, E4M3 = "sm_90a", 89


class CudaTensor(CudaSpace):
    """Knobs: those of ``Tiles``, the tile of a thread block being ``rows`` by ``columns``."""

    name: ClassVar[str] = "cuda_tensor"
    version: ClassVar[int] = 2

    @classmethod
    def supports(cls, workload: Workload, target: Target) -> bool:
        op = workload.instance
        if target.kind != "cuda" or not isinstance(op, Linear | LinearFp8):
            return False
        if isinstance(op, Linear):
            return op.dtype == "bfloat16" and op.n % 32 == 0 and op.k % 64 == 0
        return architecture(target) >= E4M3 and op.n % 32 == 0 and op.k % BLOCK == 0

    @cached_property
    def scaled(self) -> bool:
        """Whether operands are codes with scales: a step along k has its own sums, which are scaled and then added."""
        return isinstance(self.op, LinearFp8)

    @property
    def knobs(self) -> dict[str, Sequence[int]]:
        warpgroups = [0, 1] if self.target.tvm["arch"] == WARPGROUPS else [0]
        return {
            # No more than half of the rows of a tile may be for nothing.
            "rows": [n for n in (16, 32, 64, 128, 192, 256) if n == 16 or n < 2 * self.op.m],
            "columns": [n for n in (32, 64, 128, 192, 256) if self.op.n % n == 0],
            "down": [1, 2, 4],
            "across": [1, 2, 4],
            "stages": [n for n in (2, 3, 4, 5, 6, 8) if n <= max(3, self.steps)],
            "group": [n for n in (1, 2, 4, 8, 16) if n <= -(-self.op.m // 16)],
            "wgmma": warpgroups,
            "pending": [0] if self.scaled else warpgroups,
            "bulk": [0, 1, 2] if warpgroups[1:] else [0],
        }

    def tiles(self, config: Mapping[str, int]) -> Tiles:
        """The tiles of a configuration."""
        op = self.op
        return Tiles(op.m, op.n, op.k, self.workload.arguments[0].dtype, **config)

    def allows(self, config: Mapping[str, int]) -> bool:
        t = self.tiles(config)
        if not self.fits(config) or not 2 + t.pending <= t.stages <= max(2 + t.pending, t.steps) or t.pending > t.wgmma:
            return False
        if t.group > t.height or (t.bulk and not t.wgmma):
            return False
        if t.bulk > 1 and (t.group % 2 or t.height % 2):
            return False
        # An even share of a multiprocessor's registers has to do where more than two warpgroups multiply.
        if t.bulk and t.rows > 128 and t.sums * (1 + self.scaled) > (96 if t.rows == 192 else 64):
            return False
        if t.wgmma:
            return t.rows % 64 == 0 and t.across == t.down == 1 and t.sums * (1 + self.scaled) <= 128
        return t.rows % (16 * t.down) == 0 and t.columns % (16 * t.across) == 0 and t.threads <= 256

    def budget(self, config: Mapping[str, int]) -> Budget:
        t = self.tiles(config)
        return Budget(t.threads, self._registers(t), t.shared)

    def _registers(self, t: Tiles) -> int:
        """Registers of a thread: sums, pieces of both operands, and addresses of what it copies."""
        if t.heavy(1 + self.scaled):
            # What is taken over comes on top of an even share.
            return most_registers(t.threads, self.target)
        if t.bulk:
            return 8 + 3 * t.sums if self.scaled else 26 + t.sums
        # A step's own sums, scaled, are added to the others; by warps ptxas works on several of them at once.
        sums = t.sums * ((2 if t.wgmma else 4) if self.scaled else 1)
        return 20 + sums + t.pieces + 4 * t.copies

    def seeds(self) -> list[Schedule]:
        wanted = [
            (128, 256, 1, 1, 4, 1, 1, 2),
            (128, 256, 1, 1, 4, 1, 1, 1),
            (128, 128, 1, 1, 6, 1, 0, 2),
            (128, 128, 1, 1, 6, 1, 0, 1),
            (256, 128, 1, 1, 4, 1, 0, 1),
            (128, 128, 1, 1, 6, 1, 1, 2),
            (128, 64, 1, 1, 8, 1, 1, 2),
            (64, 128, 1, 1, 8, 1, 1, 1),
            (64, 64, 1, 1, 8, 1, 1, 1),
            (64, 32, 1, 1, 8, 1, 1, 1),
            (128, 256, 1, 1, 4, 1, 1, 0),
            (128, 128, 1, 1, 3, 1, 0, 0),
            (128, 128, 2, 2, 3, 0, 0, 0),
            (64, 128, 1, 1, 6, 1, 1, 0),
            (64, 64, 2, 2, 6, 0, 0, 0),
            (16, 32, 1, 2, 8, 0, 0, 0),
        ]
        found = []
        for rows, columns, down, across, stages, wgmma, pending, bulk in wanted:
            height, deepest = -(-self.op.m // rows), max(2 + pending, self.steps)
            config = {
                "rows": rows,
                "columns": columns,
                "down": down,
                "across": across,
                "stages": max(n for n in self.domain["stages"] if n <= min(stages, deepest)),
                "group": max(n for n in self.domain["group"] if n <= min(8, height)),
                "wgmma": wgmma,
                "pending": pending,
                "bulk": bulk,
            }
            found.append(self.nearest(config))
        return list(dict.fromkeys(schedule for schedule in found if schedule is not None))

    @property
    def steps(self) -> int:
        """Steps of 128 bytes along k."""
        return int(self.op.k) * numpy_dtype(self.workload.arguments[0].dtype).itemsize // ROW

    def traits(self, config: Mapping[str, int]) -> Traits:
        t = self.tiles(config)
        task = self.workload.arguments[0].nbytes / t.m * (t.rows + t.columns)
        return Traits(tasks=t.blocks, task=task, loads=(t.rows + t.columns) / (t.rows * t.columns))

    def product(self, config: Mapping[str, int]) -> TiledProduct:
        """The program of a configuration in both of its forms."""
        kind = _Scaled if self.scaled else _Dense
        return kind(self.tiles(config), self.workload.arguments)

    def plain(self, config: Mapping[str, int]) -> tvm.IRModule:
        import tvm

        return tvm.IRModule({"main": self.product(config).plain()})

    def device(self, config: Mapping[str, int]) -> tvm.IRModule:
        import tvm

        return tvm.IRModule({"main": self.product(config).device()})


class _Dense(TiledProduct):
    left, right = "A", "W"

    def element(self, buffers: Mapping[str, Any], name: str, row: Any, k: Any) -> Any:
        return buffers[name][row, k]

    def finish(self, buffers: Mapping[str, Any], sums: Any, row: Any, column: Any) -> None:
        from tvm.script.ir_builder import tirx as T

        t, c = self.tiles, buffers["C"]
        with T.grid(t.rows, t.columns) as (i, j), T.If(row + i < t.m), T.Then():
            T.buffer_store(c, sums[i, j].astype(str(c.dtype)), [row + i, column + j])

    def store(self, buffers: Mapping[str, Any], sums: Any, at: Sequence[Any]) -> tuple[Any, ...]:
        return "hs_store", buffers["C"].data, sums.data, *at


class _Scaled(_Dense):
    def factors(self, buffers: Mapping[str, Any], row: Any, column: Any, step: Any) -> list[Any]:
        return [buffers["SA"][row, step], buffers["SW"][column // BLOCK, step]]

    streamed = ("SA", "SW")
    streaming = "hs_scaled(sums, tiles, SA, SW, row, column, step, thread)"

    @property
    def text(self) -> str:
        return SCALED

    def multiply(self, buffers: Mapping[str, Any], sums: Any, tiles: Any, at: Sequence[Any]) -> tuple[Any, ...]:
        return "hs_scaled", sums.data, tiles.data, buffers["SA"].data, buffers["SW"].data, *at
