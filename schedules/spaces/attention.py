"""Attention over shared or indexed keys: gathered once for all heads, two products in register tiles, one pass.

The program is one of its own (``schedules/attention_program.py``) for every operator that has a view
(``schedules/attention_view.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from schedules.attention_program import Program, Sizes, ceiling
from schedules.attention_view import VIEWS
from schedules.schedule import Schedule
from schedules.space import KnobSpace
from schedules.traits import Traits
from schedules.workload import Workload
from targets import Target

if TYPE_CHECKING:
    import tvm


class Attention(KnobSpace):
    """Knobs: ``rows`` of queries a task; ``keys`` a block; ``splits`` of the keys; ``depth`` of a dot product between
    visits to the same logits; register tiles ``score_keys x score_vectors`` and ``value_rows x value_vectors``;
    ``ahead``: keys ahead of the one being gathered that memory is asked for."""

    name: ClassVar[str] = "attention"
    version: ClassVar[int] = 1

    def __init__(self, workload: Workload, target: Target) -> None:
        super().__init__(workload, target)
        op: Any = workload.instance
        self.op, self.view = op, VIEWS[type(op)]
        # Arm's wider vectors are a type of their own to LLVM; chips that have them do as much a cycle in narrow ones.
        self.lanes = 4 if target.has("neon") else target.lanes
        self.most = self.view.most_rows(self.op)
        # AVX512-BF16 multiplies pairs of bfloat16; other chips widen keys as they gather them.
        short = op.dtype == "bfloat16" and self.view(op, 1).short
        self.pairs = short and target.has("avx512bf16") and self.lanes == 16

    @classmethod
    def supports(cls, workload: Workload, target: Target) -> bool:
        return target.kind == "llvm" and type(workload.instance) in VIEWS

    @property
    def knobs(self) -> dict[str, Sequence[int]]:
        rows = [n for n in (4, 8, 16, 32, 64, 128) if n < self.most]
        return {
            "rows": [*rows, self.most] if self.most <= 128 else rows,
            "keys": [32, 48, 64, 96, 128, 192, 256],
            "splits": [1, 2, 4, 8, 16],
            "ahead": [0, 2, 4, 8, 16],
            "depth": [64, 128, 256, 512, 1024],
            "score_keys": [2, 4, 6, 8, 12],
            "score_vectors": [1, 2, 3, 4],
            "value_rows": [1, 2, 3, 4, 6, 8, 12],
            "value_vectors": [1, 2, 3, 4],
        }

    def sizes(self, config: Mapping[str, int]) -> Sizes:
        """What a configuration means."""
        return Sizes(self.view(self.op, config["rows"]), self.lanes, self.pairs, config)

    def allows(self, config: Mapping[str, int]) -> bool:
        sizes = self.sizes(config)
        tiles = [(config["score_keys"], config["score_vectors"]), (config["value_rows"], config["value_vectors"])]
        # A tile's sums, one factor's vectors and a number of the other in all lanes.
        if any(rows * vectors + vectors + 1 > self.target.registers for rows, vectors in tiles):
            return False
        if config["value_rows"] > config["rows"] or sizes.rows >= ceiling(config["rows"], self.lanes) + self.lanes:
            return False
        if config["splits"] > 1 and sizes.part < config["keys"]:
            return False
        # Not half of the work on padding, and what every block visits in the second-level cache and a bit.
        wasted = sizes.width >= sizes.view.value_dim + 2 * self.lanes
        smallest = config["rows"] == self.domain["rows"][0] and config["keys"] == 32
        return not wasted and (smallest or sizes.bytes <= 1.5 * (self.target.l2 or 1 << 20))

    def seeds(self) -> list[Schedule]:
        wide = self.target.registers == 32
        score = {"score_keys": 6, "score_vectors": 4 if wide else 2}
        value = {"value_rows": 6, "value_vectors": 4 if wide else 2}
        found: list[Schedule] = []
        for rows, keys, depth in ((64, 64, 256), (32, 96, 256), (64, 96, 512), (32, 64, 512), (16, 64, 256)):
            config = {"rows": min(rows, self.most), "keys": keys, "depth": depth, "ahead": 8, **score, **value}
            found += self._seeds(config)
        return list(dict.fromkeys(found))

    def _seeds(self, config: dict[str, int]) -> list[Schedule]:
        """A configuration with tiles that fit, and as many splits as cores have nothing to do without."""
        rows = min(self.domain["rows"], key=lambda n: abs(n - config["rows"]))
        vectors = -(-rows // self.lanes)
        fitting = [v for v in self.domain["score_vectors"] if vectors % v == 0 and v <= config["score_vectors"]]
        width = -(-self.view(self.op, rows).value_dim // self.lanes)
        across = [v for v in self.domain["value_vectors"] if width % v == 0 and v <= config["value_vectors"]]
        config |= {"score_vectors": max(fitting), "value_vectors": max(across)}
        config["value_rows"] = max(n for n in self.domain["value_rows"] if n <= min(rows, config["value_rows"]))
        groups = self.view(self.op, rows).groups
        splits = next((n for n in self.domain["splits"] if n * groups >= self.target.cores), 16)
        found = [self.nearest({**config, "splits": n}) for n in dict.fromkeys((splits, 1))]
        return [schedule for schedule in found if schedule is not None]

    def traits(self, config: Mapping[str, int]) -> Traits:
        sizes = self.sizes(config)
        tiles = [(config["score_keys"], config["score_vectors"]), (config["value_rows"], config["value_vectors"])]
        return Traits(
            tasks=sizes.view.groups * config["splits"],
            # Queries that every tile of keys reads, or weights that every tile of channels reads.
            inner=4 * max(min(config["depth"], sizes.steps) * tiles[0][1] * self.lanes, sizes.block * sizes.rows),
            task=sizes.bytes,
            registers=(max(rows * vectors + vectors + 1 for rows, vectors in tiles), self.target.registers),
            loads=sum((rows + vectors) / (rows * vectors) for rows, vectors in tiles) / 2,
        )

    def program(self, config: Mapping[str, int]) -> tvm.IRModule:
        return Program(self.workload, self.sizes(config)).module()
