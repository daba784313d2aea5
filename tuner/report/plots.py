"""The plots of a report, as SVG to put into a page: colours come from the page, text stays text, ids do not clash."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from schedules.dtypes import SHORT
from targets.target import Peaks
from targets.units import rate
from tuner.report.figure import ARITHMETIC, COLOURS, canvas, svg
from tuner.summary import Row
from tuning_db.records import Status, Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Trials drawn as dots in one tuning curve; more would only make the page heavier.
DOTS = 160
# Points of the roofline plot that carry a number.
NUMBERED = 12


def roofline(rows: Sequence[Row], peaks: Peaks | None) -> str:
    """Default and champion of each row at its arithmetic intensity, under the roofs that the rows' arithmetic has.

    Rows that compute nothing or were not measured are left out; empty text where that leaves none.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    drawn = [(at, row) for at, row in enumerate(rows, 1) if row.flops and row.bytes and row.champion_s]
    if not drawn:
        return ""
    kinds = sorted({row.arithmetic for _, row in drawn})
    colour = {kind: ARITHMETIC[min(at, len(ARITHMETIC) - 1)] for at, kind in enumerate(kinds)}
    titles = {}
    with canvas("roofline", 4.8, 3.6) as (figure, axes):
        axes.set_xscale("log")
        axes.set_yscale("log")
        for at, row in drawn:
            assert row.champion_s is not None
            x, tuned = row.flops / row.bytes, row.flops / row.champion_s
            if row.default_s:
                before = row.flops / row.default_s
                axes.plot([x, x], [before, tuned], color=colour[row.arithmetic], linewidth=0.8, alpha=0.55)
                axes.plot(x, before, "o", markersize=4, markerfacecolor="none", color=colour[row.arithmetic])
            axes.plot(x, tuned, "o", markersize=5, color=colour[row.arithmetic], gid=f"point{at}")
            titles[f"point{at}"] = f"{at}. {', '.join(row.names)}: {row.operator} {row.label}, {rate(tuned, 'FLOP/s')}"
        _decades(axes, drawn, peaks, kinds)
        figure.draw_without_rendering()  # so that places on the page are known
        if peaks is not None:
            _roofs(axes, peaks, colour)
        _numbers(axes, drawn)
        axes.set_xlabel("arithmetic intensity, FLOP per byte")
        axes.set_ylabel("FLOP/s")
        return svg(figure, "roofline", f"Roofline plot of {len(drawn)} workloads, default and tuned", titles)


def _decades(axes: Axes, drawn: Sequence[tuple[int, Row]], peaks: Peaks | None, kinds: Sequence[str]) -> None:
    """Limits at whole decades around points and ridges, and ticks without exponents."""
    from matplotlib.ticker import EngFormatter, FuncFormatter, NullFormatter

    xs = [row.flops / row.bytes for _, row in drawn]
    ys = [row.flops / s for _, row in drawn for s in (row.default_s, row.champion_s) if s]
    if peaks is not None:
        tops = [peaks.bound(kind) for kind in kinds]
        xs += [2 * top / peaks.dram for top in tops]
        ys += [1.5 * top for top in tops]
    axes.set_xlim(10 ** math.floor(math.log10(min(xs))), 10 ** math.ceil(math.log10(max(xs)) + 0.01))
    axes.set_ylim(10 ** math.floor(math.log10(min(ys))), 10 ** math.ceil(math.log10(max(ys)) + 0.01))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_major_formatter(EngFormatter(sep=" "))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_formatter(NullFormatter())


def _roofs(axes: Axes, peaks: Peaks, colours: Mapping[str, str]) -> None:
    """The slope of memory, the dashed one of the caches, and a flat roof for each arithmetic."""
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    highest = max(peaks.bound(kind) for kind in colours)
    wide, high = axes.get_window_extent().size
    # A slope of one in both logarithms, as it looks on the page.
    angle = math.degrees(math.atan2(high / math.log10(top / bottom), wide / math.log10(right / left)))
    for name, speed, style in (("memory", peaks.dram, "-"), ("cache", peaks.cache, "--")):
        if not speed:
            continue
        end = highest / speed
        axes.plot([left, end], [left * speed, highest], style, color=COLOURS["muted"], linewidth=1)
        start = max(left, bottom / speed) * 1.3
        if start < end:
            text = f"{name} {rate(speed, 'B/s')}"
            note = axes.text(start, start * speed * 1.12, text, fontsize=7.5, va="bottom", color=COLOURS["muted"])
            note.set(rotation=angle, rotation_mode="anchor")
    shared: dict[float, list[str]] = {}
    for kind in colours:
        shared.setdefault(peaks.bound(kind), []).append(kind)
    for peak, kinds in shared.items():
        axes.plot([peak / (peaks.cache or peaks.dram), right], [peak, peak], color=colours[kinds[0]], linewidth=1.2)
        text = f"{', '.join(SHORT.get(kind, kind) for kind in kinds)} {rate(peak, 'FLOP/s')}"
        axes.text(right, peak * 1.06, text, ha="right", va="bottom", fontsize=7.5, color=colours[kinds[0]])


def _numbers(axes: Axes, drawn: Sequence[tuple[int, Row]]) -> None:
    """The row numbers of the first points, where there is room for them."""
    taken: list[tuple[float, float]] = []
    for at, row in drawn[:NUMBERED]:
        assert row.champion_s is not None
        x, y = axes.transData.transform((row.flops / row.bytes, row.flops / row.champion_s))
        if all(abs(x - other_x) > 14 or abs(y - other_y) > 11 for other_x, other_y in taken):
            taken.append((x, y))
            point = (row.flops / row.bytes, row.flops / row.champion_s)
            axes.annotate(str(at), point, (4, 3), textcoords="offset points", fontsize=7.5)


def curve(at: int, row: Row, trials: Sequence[Trial], champions: Sequence[tuple[int, float]]) -> str:
    """The throughput of each trial of a row, and of the champion so far, with the default's and the roofline's.

    Args:
        at: number of the row, for ids and the description.
        row: the workload.
        trials: in order; those that failed are crosses at zero.
        champions: number and seconds of each trial that became champion, at least one.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    from_work, unit = row.work
    points = [(n, from_work / t.median) for n, t in enumerate(trials, 1) if t.status is Status.OK and t.median]
    failed = [n for n, t in enumerate(trials, 1) if t.status is not Status.OK]
    steps = [(n, from_work / s) for n, s in champions]
    best = max([value for _, value in points])
    roof = from_work / row.floor_s if row.floor_s else 0.0
    base = from_work / row.default_s if row.default_s else 0.0
    with canvas(f"curve{at}", 2.7, 1.55) as (figure, axes):
        top = max(best, base, roof if roof <= 2.5 * best else 0.0)
        if base:
            axes.axhline(base, color=COLOURS["default"], linewidth=1.1, linestyle=(0, (4, 2)), gid="default")
        if 0 < roof <= top:
            axes.axhline(roof, color=COLOURS["muted"], linewidth=1.1, gid="roof")
        dots = _thin(points)
        axes.plot([n for n, _ in dots], [v for _, v in dots], ".", markersize=3.5, color=COLOURS["tuned"], alpha=0.45)
        crosses = _thin(failed)
        axes.plot(crosses, [0] * len(crosses), "x", markersize=3, color=COLOURS["muted"], clip_on=False)
        steps.append((len(trials), steps[-1][1]))
        axes.step([n for n, _ in steps], [v for _, v in steps], where="post", color=COLOURS["tuned"], linewidth=1.5)
        axes.set_ylim(0, 1.1 * top)
        axes.set_xlim(0.5, max(len(trials), 4) + 0.5)
        _few_ticks(axes, unit)
        words = f"Trials of workload {at}: {len(trials)}, {len(failed)} failed, champion {rate(steps[-1][1], unit)}"
        return svg(figure, f"curve{at}", words, {"default": "default schedule", "roof": "roofline"})


def _few_ticks(axes: Axes, unit: str) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(3))
    power = 10.0 ** (3 * math.floor(math.log10(axes.get_ylim()[1]) / 3))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / power:g}"))
    axes.set_ylabel(rate(power, unit).removeprefix("1.00 "))


def _thin(values: Sequence[Any]) -> Sequence[Any]:
    """Evenly spaced ones, at most ``DOTS``."""
    return values[:: -(-len(values) // DOTS) or 1]
