"""Few-bit floats in TIR by integer arithmetic: decode e4m3, e2m1 and ue8m0, encode them.

TVM's own cast from ``float8_e4m3fn`` is wrong on the LLVM target for zeros and subnormals, and none of these formats
has instructions on most chips. All expressions are plain shifts, masks and one multiplication, so they vectorise
anywhere. Formats are those of the OCP Microscaling specification 1.0, section 5.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Format:
    """A sign bit, exponent bits, mantissa bits; no infinities.

    Attributes:
        exponent, mantissa: bits of each.
        bias: exponent bias.
        largest: code of the largest finite value.
    """

    exponent: int
    mantissa: int
    bias: int
    largest: int


E4M3 = Format(4, 3, 7, 0x7E)
E2M1 = Format(2, 1, 1, 0x7)


def decode_e4m3(x: Any) -> Any:
    """The float32 value of a ``float8_e4m3fn`` element.

    The codes of NaN, which saturating encoders never write, come out as +-480: telling them apart would cost two more
    instructions for every weight that is read.
    """
    from tvm import tirx

    # Sign-extended, shifted and masked, the code is a float32 with an exponent too small by 127 - 7.
    code = tirx.Cast("int32", tirx.reinterpret("int8", x))
    bits = (code << tirx.const(20, "int32")) & tirx.const(0x87F00000 - (1 << 32), "int32")
    return tirx.reinterpret("float32", bits) * tirx.const(2.0**120, "float32")


def decode_e2m1(packed: Any, index: Any) -> Any:
    """The float32 value of element ``index`` of a row of ``uint8`` pairs, ``packed`` being its byte.

    The element of even index is in the low four bits.
    """
    from tvm import tirx

    nibble = tirx.Cast("int32", packed) >> (tirx.Cast("int32", index % 2) * 4)
    # Twice the magnitude, 0 1 2 3 4 6 8 12, is looked up in a constant. (Placing the bits in a float32, as for e4m3,
    # makes denormals of every second code, which cost a hundred cycles each on some chips.)
    table = tirx.const(0xC8643210 - (1 << 32), "int32")
    twice = (table >> ((nibble & 7) * 4)) & 15
    value = tirx.reinterpret("int32", tirx.Cast("float32", twice) * tirx.const(0.5, "float32"))
    return tirx.reinterpret("float32", value | ((nibble & 8) << tirx.const(28, "int32")))


def decode_ue8m0(code: Any) -> Any:
    """``2**(code - 127)`` for a ``uint8`` code of 1 to 254; 0 comes out as 0 and the NaN code 255 as infinity."""
    from tvm import tirx

    return tirx.reinterpret("float32", tirx.Cast("int32", code) << tirx.const(23, "int32"))


def encode_ue8m0(x: Any) -> Any:
    """The ``uint8`` exponent plus 127 of the least power of two that is no less than a positive, normal float32."""
    from tvm import tirx

    # The exponent of a float, one more unless it is a power of two.
    bits = tirx.reinterpret("int32", x)
    return ((bits + tirx.const(0x007FFFFF)) >> tirx.const(23)).astype("uint8")


def encode(x: Any, form: Format) -> Any:
    """The code, as ``uint8``, of a float32 value: rounded to nearest even, saturating; NaN becomes the largest code."""
    from tvm import tirx

    def const(value: int) -> Any:
        return tirx.const(value, "int32")

    bits = tirx.reinterpret("int32", x)
    magnitude = tirx.min(bits & const(0x7FFFFFFF), const(0x7F800000))
    drop = 23 - form.mantissa
    # Adding just under half of the last place kept, plus its parity, carries exactly where rounding goes up.
    rounded = magnitude + const((1 << (drop - 1)) - 1) + ((magnitude >> const(drop)) & const(1))
    normal = (rounded >> const(drop)) - const((127 - form.bias) << form.mantissa)
    # Below the least normal: in a float32 of which the last place is one code step, the adder rounds by itself.
    anchor = tirx.const(2.0 ** (24 - form.bias - form.mantissa), "float32")
    anchored = tirx.reinterpret("float32", magnitude) + anchor
    subnormal = tirx.reinterpret("int32", anchored) - tirx.reinterpret("int32", anchor)
    code = tirx.Select(magnitude < const((128 - form.bias) << 23), subnormal, normal)
    code = tirx.min(code, const(form.largest))
    sign_bit = form.exponent + form.mantissa
    sign = (bits >> const(31 - sign_bit)) & const(1 << sign_bit)
    return tirx.Cast("uint8", code | sign)


def encode_e4m3(x: Any) -> Any:
    """``encode`` as a ``float8_e4m3fn`` element."""
    from tvm import tirx

    return tirx.reinterpret("float8_e4m3fn", encode(x, E4M3))
