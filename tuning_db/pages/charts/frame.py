"""What charts over time have in common: axes, lines across, names at the ends of lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from targets.units import DAY, seconds
from tuning_db.pages.charts.scale import Scale, around, day_ticks, log_ticks
from tuning_db.pages.charts.svg import tag, text
from tuning_db.pages.words import day, plain

LEFT, TOP, BOTTOM = 58, 22, 26
# Moments, and a value from then on, or None.
Line = Sequence[tuple[float, "float | None"]]
# Below this width there is no room for names beside the lines; the legend under the chart has them.
NARROW = 480
LINE = 15
LONGEST = 16


@dataclass(frozen=True)
class Frame:
    """The place of a chart of times over days.

    Attributes:
        width, height: of the whole.
        x, y: scales of moments, and of seconds by their logarithm.
        right: where the plot ends and names begin.
    """

    width: int
    height: int
    x: Scale
    y: Scale
    right: float

    @property
    def bottom(self) -> float:
        """Where the axis of days is."""
        return float(self.height - BOTTOM)

    def axes(self) -> list[Markup]:
        """Lines of the grid with what they stand for."""
        few = self.width < NARROW
        parts = []
        for value in log_ticks(self.y, 4 if few else 6):
            y = self.y(value)
            parts += [tag("path", d=f"M{LEFT} {y:.1f}H{self.right:g}", class_="grid")]
            parts += [text(LEFT - 8, y + 4, seconds(value), "end")]
        for value in day_ticks(self.x, 4 if few else 7):
            x = self.x(value)
            parts += [tag("path", d=f"M{x:.1f} {self.bottom:g}v5", class_="axis")]
            parts += [text(x, self.bottom + 19, day(value), "middle")]
        return [*parts, tag("path", d=f"M{LEFT} {self.bottom:g}H{self.right:g}", class_="axis")]

    def across(self, value: float, words: str) -> list[Markup]:
        """A dashed level line, where it is within the chart."""
        if not self.y.low <= value <= self.y.high:
            return []
        y = self.y(value)
        return [
            tag("path", d=f"M{LEFT} {y:.1f}H{self.right:g}", class_="level"),
            text(LEFT + 4, y - 5, words, kind="note"),
        ]

    def upright(self, when: float, words: str) -> list[Markup]:
        """A line at a moment, where it is within the chart."""
        if not self.x.low <= when <= self.x.high:
            return []
        x = self.x(when)
        anchor = "end" if x > self.right - 60 else "start" if x < LEFT + 60 else "middle"
        return [
            tag("path", d=f"M{x:.1f} {TOP - 6}V{self.bottom:g}", class_="moment"),
            text(x, 11, words, anchor, "note"),
        ]

    def steps(self, points: Line, kind: str) -> Markup:
        """A line that stays where it is until the next point, up to the right end; gaps where there is no value."""
        line, before = "", None
        for at, value in points:
            if before is not None:
                line += f"H{self.x(at):.1f}"
            if value is not None:
                line += f"V{self.y(value):.1f}" if before is not None else f"M{self.x(at):.1f} {self.y(value):.1f}"
            before = value
        return tag("path", d=line + (f"H{self.right:g}" if before is not None else ""), class_=f"line {kind}")

    def names(self, ends: Mapping[str, float], kinds: Mapping[str, str]) -> list[Markup]:
        """Names beside the ends of their lines, moved apart where they would lie on one another."""
        if self.width < NARROW:
            return []
        ordered = sorted(ends, key=lambda name: self.y(ends[name]))
        places: list[float] = []
        for name in ordered:
            places.append(max(self.y(ends[name]) + 4, places[-1] + LINE if places else 0.0))
        over = max(0.0, places[-1] - self.bottom) if places else 0.0
        return [
            text(self.right + 8, place - over, _cut(name), kind=f"name {kinds[name]}")
            for name, place in zip(ordered, places, strict=True)
        ]


def frame(width: int, height: int, moments: tuple[float, float], values: Sequence[float]) -> Frame:
    """A frame for values over some time, a day at least.

    Args:
        width, height: of the whole.
        moments: the first and the last.
        values: positive ones that must all be inside.
    """
    first, last = moments
    right = float(width - (12 if width < NARROW else 118))
    x = Scale(first, max(last, first + DAY), LEFT, right)
    return Frame(width, height, x, around(values, height - BOTTOM, TOP), right)


def _cut(name: str) -> str:
    whole = plain(name)
    return whole if len(whole) <= LONGEST else f"{whole[: LONGEST - 1]}…"
