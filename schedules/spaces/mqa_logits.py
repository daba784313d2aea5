"""The indexer's logits: keys decoded once, a register tile of keys by heads, the sum over heads in lanes.

The program is one of its own (``schedules/logits_program.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from schedules.logits_program import Program, Sizes
from schedules.operators.mqa_logits import MqaLogits
from schedules.operators.mqa_logits_paged import MqaLogitsPaged
from schedules.schedule import Schedule
from schedules.space import KnobSpace
from schedules.traits import Traits
from schedules.workload import Workload
from targets import Target

if TYPE_CHECKING:
    import tvm


class IndexLogits(KnobSpace):
    """Knobs: ``queries x keys`` of a task; register tile of ``key_rows`` keys by ``vectors`` of heads."""

    name: ClassVar[str] = "mqa_logits"
    version: ClassVar[int] = 1

    def __init__(self, workload: Workload, target: Target) -> None:
        super().__init__(workload, target)
        op: Any = workload.instance
        self.op = op
        # Arm's wider vectors are a type of their own to LLVM; chips that have them do as much a cycle in narrow ones.
        self.lanes = 4 if target.has("neon") else target.lanes
        # AVX512-BF16 multiplies pairs of bfloat16, and every format here is a part of bfloat16.
        self.pairs = target.has("avx512bf16") and self.lanes == 16

    @classmethod
    def supports(cls, workload: Workload, target: Target) -> bool:
        return target.kind == "llvm" and isinstance(workload.instance, MqaLogits | MqaLogitsPaged)

    @property
    def knobs(self) -> dict[str, Sequence[int]]:
        most = Sizes(self.op, self.lanes, self.pairs, {}).sharing
        return {
            "queries": [*(n for n in (1, 2, 4, 8, 16, 32, 64) if n < most), most],
            "keys": [64, 128, 256, 512, 1024, 2048],
            "key_rows": [1, 2, 3, 4, 6, 8, 12],
            "vectors": [1, 2, 3, 4],
        }

    def sizes(self, config: Mapping[str, int]) -> Sizes:
        """What a configuration means."""
        return Sizes(self.op, self.lanes, self.pairs, config)

    def allows(self, config: Mapping[str, int]) -> bool:
        sizes, rows, vectors = self.sizes(config), config["key_rows"], config["vectors"]
        wasted = sizes.heads >= self.op.heads + self.lanes
        smallest = config["keys"] == 64
        return (
            rows * vectors + vectors + 1 <= self.target.registers
            and not wasted
            and config["queries"] <= 256
            and (smallest or config["keys"] < 2 * self.op.keys)
            and (smallest or 4 * sum(sizes.regions.values()) <= 1.5 * (self.target.l2 or 1 << 20))
        )

    def seeds(self) -> list[Schedule]:
        heads = -(-self.op.heads // self.lanes)
        widest = 4 if self.target.registers == 32 else 2
        vectors = max(v for v in self.domain["vectors"] if heads % v == 0 and v <= widest)
        rows = max(
            r
            for r in self.domain["key_rows"]
            if r * vectors + vectors + 1 <= self.target.registers and r * vectors <= 24
        )
        wanted = [
            {"queries": queries, "keys": keys, "key_rows": rows, "vectors": vectors}
            for queries, keys in ((1, 512), (1, 256), (16, 512), (1, 1024), (4, 256))
        ]
        found = [self.nearest(config) for config in wanted]
        return list(dict.fromkeys(schedule for schedule in found if schedule is not None))

    def traits(self, config: Mapping[str, int]) -> Traits:
        sizes, rows, vectors = self.sizes(config), config["key_rows"], config["vectors"]
        sequences, parts, spans = sizes.grid
        return Traits(
            tasks=sequences * parts * spans,
            inner=4 * sizes.steps * sizes.panel,
            task=4 * sum(sizes.regions.values()),
            registers=(rows * vectors + vectors + 1, self.target.registers),
            loads=(rows + vectors) / (rows * vectors),
        )

    def program(self, config: Mapping[str, int]) -> tvm.IRModule:
        return Program(self.workload, self.sizes(config)).module()
