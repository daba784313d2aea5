"""Boards as tables for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli._moment import moment
from cli._output import seconds, table
from targets.units import percent, times

if TYPE_CHECKING:
    from tuning_db.board.records import About, Chip, Model, Setup

PEAKS = {
    "declared": "The peaks of this chip are only declared by vendors: shares of the roof are by their word.",
    "unknown": "The peaks of this chip are not known, so shares of the roof and of the work are not either.",
}


def show_board(board: Any) -> None:
    """Print a ``Board``."""
    models = _models(board)
    for one in board.tables:
        rows = [
            (
                str(place),
                entry.vendor,
                seconds(entry.step_s),
                _covered(entry, models[one.model]),
                percent(entry.work),
                percent(entry.roofline),
                entry.tier or "-",
                ", ".join(f"{percent(share)} {tier}" for tier, share in entry.tiers.items()),
                str(entry.disputed) if entry.disputed else "",
            )
            for place, entry in enumerate(one.entries, 1)
        ]
        columns = (
            "",
            "vendor",
            "step",
            "operators",
            "of the work",
            "of the roof",
            "lowest tier",
            "time by tier",
            "disputed",
        )
        table(_title(models[one.model], one.chip, one.setup), columns, rows, left=2)
        _say_peaks(one.chip)
    _end(board.release, not board.tables)


def show_readiness(readiness: Any) -> None:
    """Print a ``Readiness``: a table of chips, then one of operators by chips, for each model."""
    for model in readiness.models:
        chips = [one for one in readiness.chips if one.model == model.id]
        if not chips:
            continue
        names = [f"{one.chip.name}{f' {_how(one.setup)}' if one.setup else ''}" for one in chips]
        rows = [
            (
                name,
                percent(one.ready_work),
                percent(one.ready_calls),
                seconds(one.projected_s),
                seconds(one.best.step_s if one.best else None),
                percent(one.best.roofline if one.best else None),
            )
            for name, one in zip(names, chips, strict=True)
        ]
        columns = ("chip", "ready by work", "by calls", "projected step", "best step", "of the roof")
        table(f"{model.name}: ready is what was replayed", columns, rows)
        grid = [
            (", ".join(op.names), f"{op.operator} {op.label}", *(_cell(one.cells[at]) for one in chips))
            for at, op in enumerate(model.operators)
        ]
        table(f"{model.name}: operators", ("operator", "shape", *names), grid, left=2 + len(names))
    _end(readiness.release, not readiness.chips)


def show_timeline(timeline: Any) -> None:
    """Print a ``Timeline``: who headed each table from when on."""
    models = _models(timeline)
    for course in timeline.courses:
        rows = [
            (moment(one.at), one.vendor or "nobody", seconds(one.step_s), seconds(one.covered_s), one.tier or "-")
            for one in course.leaders
        ]
        columns = ("from (UTC)", "ahead", "step", "time covered", "lowest tier")
        table(_title(models[course.model], course.chip, course.setup), columns, rows, left=2)
    _end(timeline.release, not timeline.courses)


def show_headstart(start: Any) -> None:
    """Print a ``HeadStart``: who was ready at launch, and when others drew level."""
    models, chips = _models(start), {lap.chip.fingerprint: lap.chip.name for lap in start.laps}
    rows = [
        (
            models[gap.model].name,
            chips[gap.fingerprint],
            gap.early,
            seconds(gap.early_s),
            gap.other,
            seconds(gap.other_s),
            times(gap.ratio),
            "not yet" if gap.days is None else f"{gap.days:.1f} days",
        )
        for gap in start.gaps
    ]
    drawn = ("step", "other", "step then", "ahead", "level after")
    if rows:
        table("Vendors", ("model", "chip", "ready at launch", *drawn), rows, left=3)
    between = [
        (
            models[gap.model].name,
            f"{chips.get(gap.early, gap.early)} ({gap.cache})",
            seconds(gap.early_s),
            chips.get(gap.other, gap.other),
            seconds(gap.other_s),
            times(gap.ratio),
            "not yet" if gap.days is None else f"{gap.days:.1f} days",
        )
        for gap in start.chips
    ]
    if between:
        table("Chips, by their best", ("model", "ready at launch", *drawn), between, left=2)
    if start.laps and not rows:
        alone = ", ".join(f"{lap.entry.vendor} on {lap.chip.name} ({seconds(lap.entry.step_s)})" for lap in start.laps)
        click.echo(f"Ready at launch, with nobody to compare with: {alone}.")
    if not start.laps:
        click.echo(f"Nobody had a whole step at the launch of {start.release.name}.")


def _models(found: Any) -> dict[str, Model]:
    return {model.id: model for model in found.models}


def _title(model: Model, chip: Chip, setup: Setup) -> str:
    phase = model.step.get("phase")
    return f"{model.name}{f' {phase}' if phase else ''} on {chip.name}, {_how(setup)}"


def _how(setup: Setup) -> str:
    return f"{setup.cache}, {setup.threads} thread{'' if setup.threads == 1 else 's'}"


def _covered(entry: Any, model: Model) -> str:
    return f"{entry.covered} of {len(model.operators)}"


def _cell(cell: Any) -> str:
    doubt = ", disputed" if cell.disputed and cell.state != "disputed" else ""
    roof = f" {percent(cell.roofline)}" if cell.roofline is not None else ""
    return f"{cell.state}{roof}{doubt}"


def _say_peaks(chip: Chip) -> None:
    if chip.peaks in PEAKS:
        click.echo(PEAKS[chip.peaks])


def _end(release: About, empty: bool) -> None:
    if empty:
        click.echo(f"Nothing that you may know of has been claimed in {release.name}.")
    elif release.launch > release.at:
        click.echo(
            f"{release.name} launches at {moment(release.launch)} UTC; until then this is as far as you may know."
        )
