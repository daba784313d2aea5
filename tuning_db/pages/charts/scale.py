"""From values to places, and where the ticks are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from targets.units import DAY

STEPS = (1, 2, 5, 7, 14, 30, 60, 90, 180, 365, 730, 1825, 3650)


@dataclass(frozen=True)
class Scale:
    """Values from ``low`` to ``high`` at places from ``start`` to ``end``, by their logarithms where ``log``."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The place of a value; one that is outside is put at the nearer end."""
        value = min(max(value, self.low), self.high)
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def around(values: Sequence[float], start: float, end: float, room: float = 1.15) -> Scale:
    """A scale by logarithms with some room around positive values, at least half a decade of them."""
    low, high = min(values) / room, max(values) * room
    if high / low < 3:
        middle = math.sqrt(high * low)
        low, high = middle / math.sqrt(3), middle * math.sqrt(3)
    return Scale(low, high, start, end, log=True)


def log_ticks(scale: Scale, most: int) -> list[float]:
    """Round values within a scale: whole decades, or 1, 2 and 5 of each where there is room."""
    first, last = math.floor(math.log10(scale.low)), math.ceil(math.log10(scale.high))
    decades = [10.0**n for n in range(first, last + 1)]
    best: list[float] = []
    for digits in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8)):
        found = [digit * decade for decade in decades for digit in digits if scale.low <= digit * decade <= scale.high]
        if len(found) <= most or not best:
            best = found
    return best[:: -(-len(best) // most) or 1]


def day_ticks(scale: Scale, most: int) -> list[float]:
    """Beginnings of days (UTC) within a scale, evenly spaced, at most ``most``."""
    days = (scale.high - scale.low) / DAY
    step = next((step for step in STEPS if days / step <= most), STEPS[-1])
    first = math.ceil(scale.low / (step * DAY)) * step * DAY
    count = int((scale.high - first) // (step * DAY)) + 1 if first <= scale.high else 0
    return [first + n * step * DAY for n in range(count)]
