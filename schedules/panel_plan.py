"""A panel schedule with every size worked out."""

from __future__ import annotations

from dataclasses import dataclass

from schedules.panel_floats import Bfloat16Pairs, Float32
from schedules.panel_format import Format
from schedules.panel_product import Product, Shapes
from schedules.panel_tile import Decoder, Tile, module

TILE, LAST, DECODE = "headstart_panel_tile", "headstart_panel_last", "headstart_panel_decode"


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
        ahead: whether a block of a panel is decoded into the first cache once, for all tiles of a task.
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
    ahead: bool

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

    @property
    def decoded(self) -> Format:
        """How a block lies that was decoded ahead."""
        return Bfloat16Pairs(self.format.lanes) if self.format.pairs else Float32(self.format.lanes)

    @property
    def scaled_rows(self) -> bool:
        """Whether scales of activations stand in the sums: pairs of bfloat16 take powers of two without loss only."""
        return self.product.row_scales and self.format.pairs

    @property
    def scratch(self) -> tuple[int, int]:
        """Products along k of a block, and 32-bit words of a panel's operands for each."""
        return self.block // self.format.parts, self.columns

    def tile(self, mr: int) -> Tile:
        """The inner kernel for ``mr`` rows."""
        f, units = self.format, self.block // self.format.depth
        bytes_ = units * self.vectors * f.unit_bytes
        scale = "ue8m0" if self.product.scale == "uint8" else "float32"
        fmt, longer = (self.decoded, f.steps) if self.ahead else (f, 1)
        return Tile(
            fmt, mr, self.vectors, self.mr, units * longer, self.unroll * longer, self.product.group, scale,
            self.panels * self.columns, f.factor, -(-bytes_ // min(self.tiles, self.height)) if self.fetch else 0,
            self.scaled_rows,
        )  # fmt: skip

    def text(self) -> str:
        """LLVM text of the inner kernels."""
        last = self.product.rows % self.mr
        functions = [self.tile(self.mr).define(TILE)] + ([self.tile(last).define(LAST)] if last else [])
        if self.ahead:
            decoder = Decoder(self.format, self.vectors, self.block // self.format.depth)
            functions.append(decoder.define(DECODE))
        return module(self.format, *functions)

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
