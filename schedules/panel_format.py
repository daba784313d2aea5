"""How weights lie in panels, and how a vector of them is read and multiplied.

A panel holds the weights of ``vectors x lanes`` output columns. Along k it is cut into units; in a unit each vector of
columns has its elements together, in the order in which the chip turns them into operands with the fewest
instructions. An element is a number, or for fp4 a byte of two.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from schedules.llvm_text import Text

DOT = "llvm.x86.avx512bf16.dpbf16ps.512"


@dataclass(frozen=True)
class Format(ABC):
    """One way to store weights and read them back.

    Attributes:
        lanes: columns in a vector, float32 lanes of the chip.

    A vector's unit is stored as ``[quarters, halves, lanes / quarters, together]`` elements: of column
    ``quarter * lanes / quarters + lane``, elements ``half * together + 0, 1, ...`` of the unit.
    """

    lanes: int
    stored: ClassVar[str]
    """Type of an element in memory, by its bits."""
    depth: ClassVar[int]
    """Columns of k in a unit."""
    steps: ClassVar[int]
    """Products of a vector with a row's operand in a unit; ``depth / steps`` columns of k each."""
    quarters: ClassVar[int] = 1
    halves: ClassVar[int] = 1
    together: ClassVar[int] = 1
    factor: ClassVar[float] = 1.0
    """What decoded values are too small by."""
    activation: ClassVar[str] = "float32"
    """Type of a packed activation, by its bits; those of one product are 32 bits."""
    offset: ClassVar[int] = 0
    """What packed activations are too large by: ``sums`` starts at minus this times the sum of the weights."""

    @property
    def elements(self) -> int:
        """Elements of one column in a unit."""
        return self.halves * self.together

    @property
    def parts(self) -> int:
        """Columns of k that one product takes."""
        return self.depth // self.steps

    @property
    def pairs(self) -> bool:
        """Whether those are two bfloat16."""
        return self.activation == "uint16"

    @property
    def integer(self) -> bool:
        """Whether sums of a block are integers."""
        return self.activation in ("int16", "int8", "uint8")

    @property
    def floats(self) -> str:
        """LLVM type of a vector of float32."""
        return f"<{self.lanes} x float>"

    @property
    def sums(self) -> str:
        """LLVM type of the sums of a block."""
        return f"<{self.lanes} x i32>" if self.integer else self.floats

    @property
    def operand(self) -> str:
        """LLVM type of the vectors of ``read``, and of as many activations."""
        return self.floats

    @property
    def declarations(self) -> str:
        """Functions of LLVM that ``read`` and ``product`` call."""
        return ""

    @property
    def unit_bytes(self) -> int:
        """Bytes of a vector's unit."""
        return self.lanes * self.elements * np.dtype(self.stored).itemsize

    def column(self, step: Any, part: Any) -> Any:
        """Which column of k of the unit the ``part`` of a step (0, or 0 and 1 of a pair) is."""
        return step * self.parts + part

    @abstractmethod
    def read(self, text: Text, address: str) -> list[str]:
        """The operands of a vector's unit, one a step."""

    def spread(self, text: Text, address: str) -> str:
        """The activations of one product in all lanes."""
        if self.activation == "float32":
            return text.spread("float", text.load("float", address, 4), self.lanes)
        together = text.spread("i32", text.load("i32", address, 2), self.lanes)
        return text.op(f"bitcast <{self.lanes} x i32> {together} to {self.operand}")

    def product(self, text: Text, row: str, weight: str, total: str) -> str:
        """``total`` and the product of operands of activations and weights."""
        return text.fused(self.floats, row, weight, total)


class Pairs(Format):
    """Products of pairs of bfloat16 by ``dpbf16ps`` of AVX512-BF16."""

    activation = "uint16"

    @property
    def operand(self) -> str:
        return f"<{2 * self.lanes} x bfloat>"

    @property
    def declarations(self) -> str:
        return f"declare {self.floats} @{DOT}({self.floats}, {self.operand}, {self.operand})\n"

    def product(self, text: Text, row: str, weight: str, total: str) -> str:
        kind = self.operand
        return text.op(f"call {self.floats} @{DOT}({self.floats} {total}, {kind} {row}, {kind} {weight})")
