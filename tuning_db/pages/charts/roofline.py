"""The roofline plot: what each operator reaches on a chip, under what the chip can do."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from targets.units import rate
from tuning_db.pages.charts.scale import Scale
from tuning_db.pages.charts.svg import drawing, tag, text

LEFT, RIGHT, TOP, BOTTOM = 74, 14, 14, 40


@dataclass(frozen=True)
class Spot:
    """An operator: its name, operations for each byte, operations a second, the arithmetic that bounds it."""

    name: str
    intensity: float
    flops: float
    arithmetic: str


def roofline(
    name: str,
    width: int,
    title: str,
    spots: Sequence[Spot],
    peaks: Mapping[str, float],
    memory: float,
    kinds: Mapping[str, str],
) -> Markup:
    """The plot; empty without a spot.

    Args:
        name: of the plot, for its ids.
        width: of the whole.
        title: which chip and model.
        spots: one for each operator that has a time.
        peaks: operations a second at best, by arithmetic.
        memory: bytes a second at best.
        kinds: the class of each arithmetic's colour.
    """
    if not spots:
        return Markup("")
    height = 340 if width >= 480 else 290
    ridges = [peak / memory for peak in peaks.values()]
    xs = [spot.intensity for spot in spots] + [2 * ridge for ridge in ridges]
    ys = [spot.flops for spot in spots] + [6 * peak for peak in peaks.values()]
    x = _decades(xs, LEFT, width - RIGHT)
    y = _decades(ys, height - BOTTOM, TOP)
    parts = _axes(x, y, width, height)
    top = max(peaks.values(), default=0.0)
    if top:
        start = max(x.low, y.low / memory)
        parts.append(tag("path", d=_line(x, y, (start, start * memory), (top / memory, top)), class_="roof"))
        parts.append(_along(x, y, start, memory))
    free = math.inf
    for arithmetic, peak in sorted(peaks.items(), key=lambda item: item[1]):
        parts.append(
            tag("path", d=_line(x, y, (peak / memory, peak), (x.high, peak)), class_=f"roof {kinds[arithmetic]}")
        )
        # Names of roofs that lie close go above one another.
        place = min(y(peak) - 5, free)
        free = place - 13
        words = f"{arithmetic} {rate(peak, 'FLOP/s')}"
        parts.append(text(width - RIGHT, place, words, "end", f"note {kinds[arithmetic]}"))
    for spot in spots:
        said = f"{spot.name}: {rate(spot.flops, 'FLOP/s')}"
        at = {"cx": x(spot.intensity), "cy": y(spot.flops), "r": 4.5}
        parts.append(tag("circle", tag("title", said), **at, class_=f"spot {kinds[spot.arithmetic]}"))
    about = f"{len(spots)} operators by operations for each byte (across) and operations a second (upwards)."
    return drawing(name, width, height, title, about, parts)


def _axes(x: Scale, y: Scale, width: int, height: int) -> list[Markup]:
    parts = []
    for value in _powers(y, 6):
        parts.append(tag("path", d=f"M{LEFT} {y(value):.1f}H{width - RIGHT}", class_="grid"))
        parts.append(text(LEFT - 8, y(value) + 4, rate(value, "").replace(".00", "").strip(), "end"))
    for value in _powers(x, 6):
        parts.append(tag("path", d=f"M{x(value):.1f} {TOP}V{height - BOTTOM}", class_="grid"))
        parts.append(text(x(value), height - BOTTOM + 16, f"{value:,.4g}", "middle"))
    parts.append(tag("path", d=f"M{LEFT} {TOP}V{height - BOTTOM}H{width - RIGHT}", class_="axis", fill="none"))
    middle = (TOP + height - BOTTOM) / 2
    parts.append(text((LEFT + width - RIGHT) / 2, height - 6, "FLOP for each byte", "middle", "note"))
    turned = {"transform": f"rotate(-90 14 {middle:g})", "text_anchor": "middle", "class_": "note"}
    parts.append(tag("text", "FLOP/s", x=14.0, y=middle, **turned))
    return parts


def _along(x: Scale, y: Scale, start: float, memory: float) -> Markup:
    """The name of the slope, written along it."""
    here, there = (x(start), y(start * memory)), (x(start * 10), y(start * memory * 10))
    angle = math.degrees(math.atan2(there[1] - here[1], there[0] - here[0]))
    at = (x(start * 1.6), y(start * 1.6 * memory) - 6)
    turned = f"rotate({angle:.1f} {at[0]:.1f} {at[1]:.1f})"
    return tag("text", f"memory {rate(memory, 'B/s')}", x=at[0], y=at[1], transform=turned, class_="note")


def _line(x: Scale, y: Scale, start: tuple[float, float], end: tuple[float, float]) -> str:
    return f"M{x(start[0]):.1f} {y(start[1]):.1f}L{x(end[0]):.1f} {y(end[1]):.1f}"


def _decades(values: Sequence[float], start: float, end: float) -> Scale:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return Scale(10.0**low, 10.0 ** max(high, low + 1), start, end, log=True)


def _powers(scale: Scale, most: int) -> list[float]:
    first, last = round(math.log10(scale.low)), round(math.log10(scale.high))
    return [10.0**n for n in range(first, last + 1, -(-(last - first) // most) or 1)]
