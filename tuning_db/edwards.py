"""Whether 32 bytes are an Ed25519 public key that an honest key pair could have.

``cryptography`` takes any 32 bytes, and under a key of small order it takes forged signatures: with the neutral point
as key, one and the same signature is right for every message. A key that passes here is written in the one way that
is right, lies on the curve and is of the large prime order, as every key is that was made of a private one. Figures
and formulas: RFC 8032, section 5.1. (PyNaCl has such a check; a second cryptographic library for it would be more to
trust than these lines.)

Only public values pass through here, so it need not run in constant time.
"""

from __future__ import annotations

from functools import lru_cache

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)

# Homogeneous coordinates (X, Y, Z, T): x = X / Z, y = Y / Z, x y = T / Z.
Point = tuple[int, int, int, int]
NEUTRAL: Point = (0, 1, 1, 0)


@lru_cache(maxsize=4096)
def point_problem(encoding: bytes) -> str | None:
    """What is wrong with the bytes of a public key, None where nothing is; takes some milliseconds, once for each."""
    if len(encoding) != 32:
        return f"has {len(encoding)} bytes, must have 32"
    number = int.from_bytes(encoding, "little")
    y, negative = number & (2**255 - 1), number >> 255
    if y >= P:
        return "is not written in the canonical way"
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * ROOT_OF_MINUS_ONE % P
    if x * x % P != square:
        return "is not a point of the curve"
    if x == 0 and negative:
        return "is not written in the canonical way"
    if x & 1 != negative:
        x = P - x
    point = (x, y, 1, x * y % P)
    if _is_neutral(point) or not _is_neutral(_times(ORDER, point)):
        return "is a point of small or mixed order, which no private key has"
    return None


def _is_neutral(point: Point) -> bool:
    return point[0] == 0 and point[1] == point[2]


def _add(one: Point, other: Point) -> Point:
    """The sum of any two points (section 5.1.4)."""
    a = (one[1] - one[0]) * (other[1] - other[0]) % P
    b = (one[1] + one[0]) * (other[1] + other[0]) % P
    c = 2 * one[3] * other[3] * D % P
    d = 2 * one[2] * other[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _times(scalar: int, point: Point) -> Point:
    total = NEUTRAL
    while scalar:
        if scalar & 1:
            total = _add(total, point)
        point = _add(point, point)
        scalar >>= 1
    return total
