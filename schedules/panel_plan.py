"""A panel schedule with every size worked out."""

from __future__ import annotations

from dataclasses import dataclass

from schedules.panel_format import Format
from schedules.panel_product import Product, Shapes
from schedules.panel_tile import Tile, module

TILE, LAST = "headstart_panel_tile", "headstart_panel_last"


@dataclass(frozen=True)
class Plan:
    """How the tiles of a product are visited.

    Attributes:
        product: what is computed.
        format: how the weights lie.
        mr, vectors: register tile: rows, and vectors of columns, which are a panel.
        tiles, panels: of a task.
        block: columns of k between visits to the same sums, whole groups of scales.
        unroll: units of weights in the body of the inner loop.
        split: tasks that share the sums of a tile, each with its part of k.
        fetch: whether a tile asks for its part of the weights that come next.
        rows_outer: whether tasks walk through all columns of some rows first.
    """

    product: Product
    format: Format
    mr: int
    vectors: int
    tiles: int
    panels: int
    block: int
    unroll: int
    split: int
    fetch: bool
    rows_outer: bool

    @property
    def height(self) -> int:
        """Tiles of rows in a group."""
        return -(-self.product.rows // self.mr)

    @property
    def columns(self) -> int:
        """Columns of a panel."""
        return self.vectors * self.format.lanes

    @property
    def width(self) -> int:
        """Panels."""
        return -(-self.product.n // self.columns)

    @property
    def blocks(self) -> int:
        """Blocks of k, padded so that each task has as many."""
        return -(-self.product.k // (self.block * self.split)) * self.split

    @property
    def units(self) -> int:
        """Units of a panel."""
        return self.blocks * self.block // self.format.depth

    @property
    def steps(self) -> int:
        """Products along k, of one column or two."""
        return self.units * self.format.steps

    @property
    def scales(self) -> int:
        """Scales of a column of weights along k."""
        return self.blocks * self.block // self.product.group if self.product.group else 0

    def tile(self, mr: int) -> Tile:
        """The inner kernel for ``mr`` rows."""
        units = self.block // self.format.depth
        bytes_ = units * self.vectors * self.format.unit_bytes
        scale = "ue8m0" if self.product.scale == "uint8" else "float32"
        return Tile(
            self.format, mr, self.vectors, self.mr, units, self.unroll, self.product.group, scale,
            self.panels * self.columns, -(-bytes_ // min(self.tiles, self.height)) if self.fetch else 0,
        )  # fmt: skip

    def text(self) -> str:
        """LLVM text of the inner kernels."""
        last = self.product.rows % self.mr
        tiles = [self.tile(self.mr).define(TILE)] + ([self.tile(last).define(LAST)] if last else [])
        return module(self.format, *tiles)

    def packed(self) -> Shapes:
        """Shape and type of the weights as they are laid out, by name."""
        p, f = self.product, self.format
        unit = (f.quarters, f.halves, f.lanes // f.quarters, f.together)
        found: Shapes = {"WP": ((p.sets, self.width, self.units, self.vectors, *unit), f.stored)}
        if p.group:
            found["SP"] = ((p.sets, self.width, self.scales, self.columns), p.scale)
        if f.offset:
            found["FIRST"] = ((p.sets, self.width, self.blocks, self.columns), "int32")
        return found
