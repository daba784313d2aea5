"""The table in which tuning a model ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from cli._output import console
from targets.units import percent, rate, seconds, times

if TYPE_CHECKING:
    from tuner.summary import Row, Summary

# Narrower than this, the name and the shape of a workload stand one above the other.
WIDE = 96


def print_summary(summary: Summary, database: str, next_commands: Sequence[str]) -> None:
    """Print what a model's workloads came to, their weighted total, what is missing, and what to do next.

    Args:
        summary: of the model.
        database: where the trials are.
        next_commands: commands to try, in full.
    """
    console.print(summary_table(summary, console.width))
    done, every = len(summary.measured) + len(summary.untimed), len(summary.rows)
    if summary.untimed:
        console.print(Text(_untimed(summary)))
        if done < every:
            console.print(f"{every - done} of {every} workloads have none yet: the same command goes on with them.")
    elif done < every:
        console.print(f"{done} of {every} workloads are measured; the step counts those.")
    if summary.missing:
        often = sorted(summary.missing.items(), key=lambda item: -item[1])
        listed = ", ".join(f"{name} ({calls})" for name, calls in often)
        count = "1 operator" if len(often) == 1 else f"{len(often)} operators"
        text = f"Not covered yet: {count} of the model, with calls a step: {listed}"
        console.print(Text(text))
    console.print(Text(f"Database: {database}"), soft_wrap=True)
    if next_commands:
        console.print("Next:")
        for command in next_commands:
            # Never folded or cut: it is there to be copied.
            console.print(Text(f"  {command}"), soft_wrap=True)


def summary_table(summary: Summary, width: int) -> Table:
    """One row a workload, in the summary's order, and the model's step below them, for a terminal of this width."""
    wide = width >= WIDE
    grid = Table(
        title=Text(": ".join(filter(None, (summary.model, summary.setting)))),
        title_justify="left",
        header_style="bold",
        box=SIMPLE_HEAD,
        show_footer=True,
    )
    grid.padding, grid.pad_edge = (0, 0, 0, 1), False
    grid.add_column("operator", footer="one step", overflow="fold")
    if wide:
        grid.add_column("shape and dtype", overflow="fold")
    for header, footer in (
        ("calls a\nstep", ""),
        ("default", seconds(summary.default_s or None)),
        ("tuned", seconds(summary.champion_s or None)),
        ("speed-\nup", times(summary.speedup)),
        ("achieved", ""),
        ("% of\nroof", percent(summary.roofline)),
    ):
        grid.add_column(header, footer=footer, justify="right", no_wrap=True)
    for row in summary.rows:
        name = Text(", ".join(row.names) or row.operator)
        shape = Text(f"{row.operator} {row.label}")
        cells = [name, shape] if wide else [name + Text(f"\n{row.operator} {row.label}", style="dim")]
        figures = [str(row.calls), seconds(row.default_s), "not timed" if row.untimed else seconds(row.champion_s)]
        grid.add_row(*cells, *figures, times(row.speedup), achieved(row), percent(row.roofline))
    return grid


def _untimed(summary: Summary) -> str:
    """Why there are no times, and what there is."""
    names = sorted({row.untimed.partition(":")[0] for row in summary.untimed})
    return (
        f"{len(summary.untimed)} of {len(summary.rows)} workloads have a champion that is right and not timed (tier "
        f"replayed): what stands in for the chip ({', '.join(names)}) does not tell how fast that is. Which of the "
        "right ones it is was guessed, and no bundle takes it."
    )


def achieved(row: Row) -> str:
    """What the champion reaches of the thing that bounds it, arithmetic or traffic."""
    work, unit = row.work
    return rate(work / row.champion_s if row.champion_s else None, unit)
