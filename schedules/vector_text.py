"""Functions over vectors of 32-bit lanes, written as LLVM text: loops, loads and stores with tails, ``exp2``.

The text names no instruction of any chip, so the same kernel runs wherever LLVM does, in registers as wide as asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from schedules.llvm_text import Text, splat

# 2**f for |f| <= 1/2: least maximum of the relative error, 2e-7 with rounding, lowest power first.
EXP2 = (1.0, 0.6931470036506653, 0.24022242426872253, 0.05550733581185341, 0.009671512991189957, 0.001326472731307149)
# Adding 1.5 * 2**23 rounds a float32 to an integer, which then is in the low bits.
ROUNDER = 12582912.0
ROLLED = """!0 = distinct !{!0, !1}
!1 = !{!"llvm.loop.unroll.disable"}
"""


def real(value: float) -> str:
    """A float32 constant as LLVM writes it."""
    import numpy as np

    bits = np.float64(np.float32(value)).view(np.uint64)
    return f"0x{int(bits):016X}"


class Function(Text):
    """The body of one function, in single assignment form: every method adds instructions and names its result.

    Attributes:
        lanes: 32-bit lanes of a vector.
        floats, words: LLVM's types of a vector of float32 and of 32-bit integers.
    """

    def __init__(self, lanes: int, arguments: str) -> None:
        super().__init__()
        self.lanes, self.arguments = lanes, arguments
        self.floats, self.words = f"<{lanes} x float>", f"<{lanes} x i32>"
        self.declarations: set[str] = set()
        self.block = "entry"

    def name(self) -> str:
        """A name that is not taken."""
        self.names += 1
        return f"v{self.names}"

    def place(self, base: str, offset: int | str, element: str = "float") -> str:
        """The address ``offset`` elements after ``base``."""
        return self.at(base, offset, element)

    def read(self, kind: str, address: str) -> str:
        """A value at an address that is a multiple of nothing but its elements."""
        return self.load(kind, address, _align(kind))

    def write(self, kind: str, value: str, address: str) -> None:
        """The opposite of ``read``."""
        self.lines.append(f"  store {kind} {value}, ptr {address}, align {_align(kind)}")

    def few(self, element: str, address: str, count: int) -> str:
        """The first ``count`` elements at an address, zeros behind them."""
        kind, value = f"<{self.lanes} x {element}>", "zeroinitializer"
        for at in range(count):
            one = self.read(element, self.place(address, at, element))
            value = self.op(f"insertelement {kind} {value}, {element} {one}, i64 {at}")
        return value

    def store_few(self, element: str, value: str, address: str, count: int, width: int) -> None:
        """Write the first ``count`` elements of a vector of ``width``."""
        kind = f"<{width} x {element}>"
        if count == width:
            self.write(kind, value, address)
            return
        for at in range(count):
            one = self.op(f"extractelement {kind} {value}, i64 {at}")
            self.write(element, one, self.place(address, at, element))

    def everywhere(self, value: str, element: str = "float") -> str:
        """A scalar in all lanes."""
        return self.spread(element, value, self.lanes)

    def constant(self, value: float) -> str:
        """A float32 constant in all lanes."""
        return f"<{', '.join([f'float {real(value)}'] * self.lanes)}>"

    def word(self, value: int) -> str:
        """An integer constant in all lanes."""
        return splat(value, "i32", self.lanes)

    def multiply_add(self, a: str, b: str, c: str) -> str:
        """``a b + c``, fused where the chip can."""
        function = f"{self.floats} @llvm.fmuladd.v{self.lanes}f32"
        self.declarations.add(f"declare {function}({self.floats}, {self.floats}, {self.floats})")
        return self.op(f"call {function}({self.floats} {a}, {self.floats} {b}, {self.floats} {c})")

    def larger(self, a: str, b: str) -> str:
        """The maximum; ``b`` where one is NaN."""
        above = self.op(f"fcmp ogt {self.floats} {a}, {b}")
        return self.op(f"select <{self.lanes} x i1> {above}, {self.floats} {a}, {self.floats} {b}")

    def exp2(self, x: str) -> str:
        """``2**x``, 0 below -126.5, ``2**127`` above 127; NaN stays NaN."""
        # Rounding to -127 makes a biased exponent of zero, which is the number zero.
        for least, bound in ((True, self.constant(-127.0)), (False, self.constant(127.0))):
            beyond = self.op(f"fcmp {'olt' if least else 'ogt'} {self.floats} {x}, {bound}")
            x = self.op(f"select <{self.lanes} x i1> {beyond}, {self.floats} {bound}, {self.floats} {x}")
        whole = self.op(f"fadd {self.floats} {x}, {self.constant(ROUNDER)}")
        rounded = self.op(f"fsub {self.floats} {whole}, {self.constant(ROUNDER)}")
        part = self.op(f"fsub {self.floats} {x}, {rounded}")
        total = self.constant(EXP2[-1])
        for coefficient in EXP2[-2::-1]:
            total = self.multiply_add(total, part, self.constant(coefficient))
        bits = self.op(f"bitcast {self.floats} {whole} to {self.words}")
        bits = self.op(
            f"add {self.words} {self.op(f'shl {self.words} {bits}, {self.word(23)}')}, {self.word(127 << 23)}"
        )
        power = self.op(f"bitcast {self.words} {bits} to {self.floats}")
        return self.op(f"fmul {self.floats} {total}, {power}")

    def widen(self, halves: str) -> str:
        """The float32 bits of a vector of ``i16`` that are bfloat16 bits."""
        words = self.op(f"zext <{self.lanes} x i16> {halves} to {self.words}")
        return self.op(f"shl {self.words} {words}, {self.word(16)}")

    def narrow(self, value: str) -> str:
        """The bfloat16 bits, as ``i16``, of a float32 vector, rounded to nearest even."""
        bits = self.op(f"bitcast {self.floats} {value} to {self.words}")
        odd = self.op(f"and {self.words} {self.op(f'lshr {self.words} {bits}, {self.word(16)}')}, {self.word(1)}")
        bits = self.op(f"add {self.words} {bits}, {self.op(f'add {self.words} {odd}, {self.word(0x7FFF)}')}")
        bits = self.op(f"lshr {self.words} {bits}, {self.word(16)}")
        return self.op(f"trunc {self.words} {bits} to <{self.lanes} x i16>")

    def loop(
        self,
        count: int | str,
        carried: Sequence[tuple[str, str]],
        body: Callable[[str, list[str]], Sequence[str]],
        step: int = 1,
        rolled: bool = False,
    ) -> list[str]:
        """``for i in range(0, count, step)``, which runs at least once.

        Args:
            count: a number or an i64 value.
            carried: type and first value of what a step hands to the next.
            body: writes a step, given ``i`` and the carried values; returns the values after it.
            rolled: the compiler is not to put several steps into one: a full set of registers would spill.

        Returns:
            The carried values after the last step.
        """
        label, before = self.name(), self.block
        index, following = f"%i{label}", f"%n{label}"
        held = [f"%{self.name()}" for _ in carried]
        self.lines += [f"  br label %{label}", f"{label}:"]
        head = len(self.lines)
        self.block = label
        results = list(body(index, held))
        phis = [f"  {index} = phi i64 [ 0, %{before} ], [ {following}, %{self.block} ]"]
        for name, (kind, first), last in zip(held, carried, results, strict=True):
            phis.append(f"  {name} = phi {kind} [ {first}, %{before} ], [ {last}, %{self.block} ]")
        self.lines[head:head] = phis
        more, done = f"%{self.name()}", self.name()
        self.lines.append(f"  {following} = add nuw nsw i64 {index}, {step}")
        self.lines.append(f"  {more} = icmp ult i64 {following}, {count}")
        hint = ", !llvm.loop !0" if rolled else ""
        self.lines += [f"  br i1 {more}, label %{label}, label %{done}{hint}", f"{done}:"]
        self.block = done
        return results

    @property
    def body(self) -> str:
        """Everything between the braces."""
        return "\n".join(["entry:", *self.lines, "  ret void"])


class Library:
    """The functions of one kernel. TVM makes them private and inlines each wherever it is called."""

    def __init__(self) -> None:
        self.definitions: dict[str, str] = {}
        self.declarations: set[str] = set()

    def add(self, name: str, function: Function) -> str:
        """Define a function; returns the name to call it by. Another of that name would be called in its place."""
        self.declarations |= function.declarations
        full = f"headstart_{name}"
        assert full not in self.definitions, f"two functions are called {name}"
        self.definitions[full] = f"define void @{full}({function.arguments}) nounwind {{\n{function.body}\n}}\n"
        return full

    @property
    def text(self) -> str:
        """The module."""
        return "\n".join([*sorted(self.declarations), *self.definitions.values(), ROLLED])


def _align(kind: str) -> int:
    element = kind.rsplit(" x ", maxsplit=1)[-1].rstrip(">")
    return {"i8": 1, "i16": 2, "bfloat": 2, "i32": 4, "float": 4, "i64": 8}[element]
