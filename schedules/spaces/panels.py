"""Linear layers on CPUs with the weights laid out in panels: products of a row's element and a vector of columns.

The layout of the weights is part of the schedule and is made once, when they are loaded. A register tile of ``mr``
rows and ``vectors`` of columns reads ``mr + vectors`` values for ``mr * vectors`` products, needs no sums over lanes,
and reads weights in one stream, so it reaches the peak where rows are many and the memory where they are few.
Rows, columns and k need not divide by anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, ClassVar

from schedules.panel_format import Format
from schedules.panel_formats import format_for
from schedules.panel_plan import Plan
from schedules.panel_product import Product, product_of
from schedules.panel_program import program
from schedules.schedule import Schedule
from schedules.space import KnobSpace
from schedules.traits import Traits
from schedules.workload import Workload, numpy_dtype
from targets import Target

if TYPE_CHECKING:
    import tvm

# Instructions in the body of the inner loop above which compiling takes longer than a trial should.
BODY = 512


class Panels(KnobSpace):
    """Knobs: register tile ``mr x vectors``; ``tiles`` of rows and ``panels`` of columns a task; ``block``: columns of
    k between visits to the same sums; ``unroll``; ``split``: tasks that share a sum; ``fetch``: ask for the weights
    that come next; ``rows_outer``: tasks walk through columns (1) or rows (0) first."""

    name: ClassVar[str] = "panels"
    version: ClassVar[int] = 2

    def __init__(self, workload: Workload, target: Target) -> None:
        super().__init__(workload, target)
        product = product_of(workload.instance)
        assert product is not None
        fmt = format_for(product.weight, target)
        assert fmt is not None
        self.product: Product = product
        self.format: Format = fmt

    @classmethod
    def supports(cls, workload: Workload, target: Target) -> bool:
        product = product_of(workload.instance)
        return target.kind == "llvm" and product is not None and format_for(product.weight, target) is not None

    @property
    def grain(self) -> int:
        """What a block of k is a multiple of."""
        return self.product.group or 32

    @property
    def knobs(self) -> dict[str, Sequence[int]]:
        p, lanes = self.product, self.format.lanes
        most = -(-p.k // self.grain) * self.grain
        blocks = {b for b in (64, 128, 256, 384, 512, 1024, 2048, 4096) if b % self.grain == 0 and b < most}
        return {
            "mr": [m for m in (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24) if m <= p.rows],
            "vectors": [v for v in (1, 2, 3, 4, 6, 8) if (v - 1) * lanes < p.n],
            "tiles": [t for t in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64) if t <= p.rows],
            "panels": [w for w in (1, 2, 4, 8, 16, 32, 64) if (w - 1) * lanes < p.n],
            "block": sorted({*blocks, most}),
            "unroll": [1, 2, 4, 8],
            "split": [s for s in (1, 2, 4) if s == 1 or p.k >= 2 * s * self.grain],
            "fetch": [0, 1],
            "rows_outer": [0, 1],
            # What costs something to decode; the operands of others are what memory holds.
            "ahead": [0, 1] if self.format.steps > 1 and p.rows > 1 else [0],
        }

    def allows(self, config: Mapping[str, int]) -> bool:
        mr, vectors, tiles, panels, block = (config[name] for name in ("mr", "vectors", "tiles", "panels", "block"))
        p, f, split = self.product, self.format, config["split"]
        plan = self.plan(config)
        rows = min(tiles, plan.height) * mr
        spare = 1 if f.depth == 1 or plan.ahead else 2
        work = plan.height * plan.width * p.groups
        return (
            # Enough sums to hide the latency of a product, few enough to stay in registers with what they need. A row
            # or two wait for the weights, and narrow panels are those in which many rows want them too.
            mr * vectors >= min(8, max(self.domain["mr"]) * min(2, max(self.domain["vectors"])))
            and mr * vectors + min(mr, vectors) + spare <= self.target.registers
            and config["unroll"] * f.steps * (mr * vectors + 2 * vectors) <= BODY
            and (p.group or block) % (config["unroll"] * f.depth) == 0
            and (tiles == 1 or tiles <= plan.height)
            and (panels == 1 or panels <= plan.width)
            # The sums of a task stay in its second-level cache.
            and rows * panels * plan.columns * 4 <= max(self.target.l2, 1 << 18) // 2
            # Parts of k where there are too few tasks without.
            and (split == 1 or work <= 16 * self.target.cores * tiles * panels)
            and (block * split <= max(p.k, block))
            and (plan.height > tiles or config["rows_outer"] == 0)
            # Decoding ahead is for several tiles, and for what stays in the cache meanwhile.
            and (not plan.ahead or (min(tiles, plan.height) > 1 and 4 * prod(plan.scratch) <= self.target.l2 // 4))
        )

    def seeds(self) -> list[Schedule]:
        base = {"tiles": 64, "split": 1, "fetch": 1, "rows_outer": 0}
        f, wide = self.format, self.target.registers == 32
        shapes = [(12, 2), (4, 4), (8, 3), (6, 4)] if wide else [(6, 2), (4, 3), (4, 2), (5, 2)]
        if self.product.rows <= 2:
            shapes = [(1, 8), (1, 4)]
        visits = [{"block": 512, "panels": 1, "ahead": 0}, {"block": 256, "panels": 4, "ahead": 0}]
        if len(self.domain["ahead"]) > 1:
            visits = [visits[0], {"block": 256, "panels": 1, "ahead": 1}, {"block": 512, "panels": 1, "ahead": 1}]
        unroll = max(1, min(4, 8 // f.steps))
        wanted = [
            base | {"mr": mr, "vectors": vectors, "unroll": unroll} | visit
            for mr, vectors in shapes
            for visit in visits
        ]
        found = [self.nearest(self._fitted(config)) for config in wanted]
        return list(dict.fromkeys(schedule for schedule in found if schedule is not None))[:6]

    def _fitted(self, config: dict[str, int]) -> dict[str, int]:
        """With no more rows, tiles and panels than there are."""
        p = self.product
        mr = min(config["mr"], p.rows)
        if mr > 1 and p.rows > mr:
            # Tiles of one height as nearly as can be: 16 rows are 6, 6 and 4, better 4 times 4.
            count = -(-p.rows // mr)
            mr = -(-p.rows // count)
        height = -(-p.rows // mr)
        width = -(-p.n // (config["vectors"] * self.format.lanes))
        rows = max(1, 128 // mr)
        return config | {"mr": mr, "tiles": min(height, rows), "panels": min(config["panels"], width)}

    def plan(self, config: Mapping[str, int]) -> Plan:
        """A configuration with every size worked out."""
        flags: dict[str, bool] = {name: bool(config[name]) for name in ("fetch", "rows_outer", "ahead")}
        sizes = {name: config[name] for name in ("mr", "vectors", "tiles", "panels", "block", "unroll", "split")}
        return Plan(self.product, self.format, **sizes, **flags)  # type: ignore[arg-type]

    def traits(self, config: Mapping[str, int]) -> Traits:
        p, f, plan = self.product, self.format, self.plan(config)
        rows, columns = min(plan.tiles, plan.height) * plan.mr, min(plan.panels, plan.width) * plan.columns
        width = p.width / p.k * numpy_dtype(p.stored).itemsize
        tasks = -(-plan.height // plan.tiles) * -(-plan.width // plan.panels) * plan.split * p.groups
        return Traits(
            tasks=tasks,
            # A panel's block of k, and that of all rows of the task, which the next panel reads again.
            inner=plan.block * (rows * 4 + plan.columns * (4 if plan.ahead else width)),
            task=p.k / plan.split * (rows * 4 + columns * width) + rows * columns * 4,
            registers=(plan.mr * plan.vectors + plan.vectors + (1 if f.depth == 1 else 2), self.target.registers),
            loads=(plan.mr + plan.vectors) / (plan.mr * plan.vectors),
        )

    def program(self, config: Mapping[str, int]) -> tvm.IRModule:
        return program(self.plan(config))
