"""The table in which a benchmark ends."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from cli._output import console
from targets.units import percent, rate, seconds, times

if TYPE_CHECKING:
    from tuner.bench.result import CaseResult, Result
    from tuner.bench.statistics import Interval

# Narrower than this, the table leaves out how far ratios went either way.
WIDE = 110


def print_result(result: Result) -> None:
    """Print a benchmark: ratios by workload, their means, who did not take part, how cold it was."""
    console.print(bench_table(result, console.width))
    for line in remarks(result):
        console.print(Text(line))


def bench_table(result: Result, width: int) -> Table:
    """One row a workload: time of tuned, its share of the roofline, times of the others over it.

    Args:
        width: of the terminal, in columns.
    """
    others = [name for name in result.titles if name != "tuned"]
    count = f"{len(result.cases)} workload{'s' * (len(result.cases) != 1)}"
    grid = Table(
        title=Text(f"{result.machine['name']}: time over Headstart's, above 1.00x Headstart is faster"),
        title_justify="left",
        header_style="bold",
        box=SIMPLE_HEAD,
        show_footer=True,
    )
    grid.padding, grid.pad_edge = (0, 0, 0, 1), False
    grid.add_column("workload", footer=f"geometric mean, {count}", overflow="fold", min_width=18)
    grid.add_column("tuned", justify="right", no_wrap=True, min_width=7)
    grid.add_column("% of\nroof", footer=percent(_middle(result.roofline)), justify="right", min_width=4)
    if any(case.best_torch for case in result.cases):
        grid.add_column("best\ntorch", footer=times(_middle(result.best_torch)), justify="right", no_wrap=True)
    for name in others:
        header, footer = name.replace("-", "-\n"), times(_middle(result.geomean(name)))
        grid.add_column(header, footer=footer, justify="right", no_wrap=True)
    for case in result.cases:
        tuned = case.by_name.get("tuned")
        cells = [Text(case.name) + Text(f"\n{case.operator} {case.label}, {case.cache}", style="dim")]
        cells += [Text(seconds(tuned.seconds if tuned else None)), Text(percent(_median(case.roofline("tuned"))))]
        if len(grid.columns) > len(others) + 3:
            cells.append(_ratio(case, case.best_torch or "", width))
        grid.add_row(*cells, *(_ratio(case, name, width) for name in others))
    return grid


def remarks(result: Result) -> list[str]:
    """What must be known to read the table."""
    lines = [f"absent: {name}: {reason}" for name, reason in result.absent.items()]
    lines += [f"not compared: {name}: {reason}" for name, reason in result.skipped.items()]
    for case in result.cases:
        for peer in case.peers:
            if peer.error:
                lines.append(f"{case.name}: {peer.name} {peer.status}: {textwrap.shorten(peer.error, 160)}")
        stand_ins = {f"{peer.name} is {peer.note}" for peer in case.peers if peer.stand_in}
        if stand_ins:
            lines.append(f"{case.name}: {', '.join(sorted(stand_ins))}, in place of the same types")
        lines += _machine(case)
    return lines


def _machine(case: CaseResult) -> list[str]:
    """Whether it was cold, and whether it was quiet."""
    dram, cold, warm = (_median(values) for values in (case.roof.dram, case.roof.cold, case.roof.warm))
    lines = []
    if case.cache == "cold":
        lines.append(
            f"{case.name}: as many bytes as it has are read at {rate(cold, 'B/s')} after the eviction, at "
            f"{rate(warm, 'B/s')} right after; memory gives {rate(dram, 'B/s')}"
        )
    if case.disturbance > 0.1:
        lines.append(f"{case.name}: other programs took up to {percent(case.disturbance)} of the machine; run it again")
    if case.awake > 0.05:
        lines.append(f"{case.name}: peers that should have slept took up to {percent(case.awake)} of a CPU")
    return lines


def _ratio(case: CaseResult, name: str, width: int) -> Text:
    """The median ratio to tuned, its range below it; a word where there is none."""
    values = case.ratio(name)
    if values:
        gone = f"\n{times(min(values))} to {times(max(values))}" if width >= WIDE else ""
        return Text(times(_median(values))) + Text(gone.replace("x", ""), style="dim")
    found = next((peer for peer in case.peers if peer.name == name), None)
    return Text(found.status if found is not None and found.status in ("failed", "wrong") else "-")


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def _middle(interval: Interval | None) -> float | None:
    return interval.median if interval else None
