"""The race: how long a step takes with each vendor's claims, over the days."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from targets.units import seconds
from tuning_db.pages.charts.frame import Line, frame
from tuning_db.pages.charts.svg import drawing
from tuning_db.pages.words import moment


def race(
    name: str,
    width: int,
    title: str,
    series: Mapping[str, Line],
    kinds: Mapping[str, str],
    now: float,
    launch: float,
    floor: float | None = None,
) -> Markup:
    """A line for each vendor; empty where none has a step without gaps.

    Args:
        name: of the chart, for its ids.
        width: of the whole.
        title: what is raced for.
        series: for each vendor moments, and seconds of a step from then on, None where an operator is missing.
        kinds: the class of each vendor's colour.
        now, launch: moments.
        floor: least possible seconds of a step.
    """
    drawn = {vendor: line for vendor, line in series.items() if any(value for _, value in line)}
    if not drawn:
        return Markup("")
    values = [value for line in drawn.values() for _, value in line if value]
    first = min(at for line in drawn.values() for at, _ in line)
    placed = frame(width, 260 if width >= 480 else 230, (first, now), values)
    parts = [*placed.axes(), *placed.upright(launch, "launch")]
    parts += placed.across(floor, f"least possible {seconds(floor)}") if floor else []
    ends: dict[str, float] = {}
    for vendor, line in drawn.items():
        parts.append(placed.steps(line, kinds[vendor]))
        if last := line[-1][1]:
            ends[vendor] = last
    parts += placed.names(ends, kinds)
    best = min(ends, key=lambda vendor: ends[vendor], default="")
    about = f"Seconds of a step over time, less is better, for {', '.join(drawn)}."
    if best:
        about += f" At {moment(now)} {best} is fastest with {seconds(ends[best])}."
    return drawing(name, width, placed.height, title, about, parts)
