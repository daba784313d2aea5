"""What the page of a release draws: board, readiness, race, head start and roofline, of what the viewer may know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from schedules.operator import make_operator
from targets import Target
from targets.errors import InputError
from tuning_db.board.field import enter
from tuning_db.board.headstart import headstart_of
from tuning_db.board.readiness import readiness_of
from tuning_db.board.records import Cell, ChipReadiness, Course, HeadStart, Model
from tuning_db.board.standings import board_of
from tuning_db.board.timeline import timeline_of
from tuning_db.pages.charts.race import race
from tuning_db.pages.charts.roofline import Spot, roofline
from tuning_db.pages.rows import ops_of
from tuning_db.pages.series import kinds
from tuning_db.releases import Release
from tuning_db.store import Store
from tuning_db.windows import Viewer

WIDTHS = {"wide": 560, "narrow": 358}
# Shares of the roofline from which a cell is a shade deeper.
SHADES = (0.1, 0.25, 0.4, 0.6, 0.8)
ROWS = 100


def drawn(store: Store, viewer: Viewer, release: Release, chips: Mapping[str, Target]) -> dict[str, Any]:
    """Everything on the page that follows from claims; ``chips`` as ``rows.chips_of`` has them."""
    field = enter(store, viewer, release.id)
    assert field  # the caller has found the release open to the viewer
    standings, ready, courses = board_of(field), readiness_of(field).chips, timeline_of(field).courses
    vendors = {entry.vendor for table in standings.tables for entry in table.entries if entry.vendor}
    vendors |= {vendor for course in courses for vendor in course.series}
    of = kinds(vendors)
    ahead = headstart_of(field) if release.launch <= viewer.now else None
    return {
        "models": standings.models,
        "names": {model.id: model.name for model in standings.models},
        "sizes": {model.id: len(model.operators) for model in standings.models},
        "vendors": sorted(vendors),
        "kinds": of,
        "tables": standings.tables,
        "ready": ready,
        "heat": shade,
        "races": [one for nth, course in enumerate(courses) if (one := _race(nth, course, release, viewer.now, of))],
        "gaps": _gaps(ahead, ready) if ahead else [],
        "roofs": _roofs(ops_of(store, viewer, release.id), chips, standings.models, ready),
    }


def shade(cell: Cell) -> str:
    """The classes of a cell of the heat map."""
    split = " split" if cell.disputed or cell.state == "disputed" else ""
    if cell.roofline is None:
        return ("none" if cell.seconds is None else "level") + split
    return f"h{sum(cell.roofline >= least for least in SHADES)}{split}"


def _race(nth: int, course: Course, release: Release, now: float, of: dict[str, str]) -> dict[str, Any] | None:
    """The chart of a course, and its table; None where nobody has a step without gaps."""
    series = {vendor: [(p.at, p.entry.step_s) for p in points] for vendor, points in course.series.items() if vendor}
    title = f"The race on {course.chip.name}"
    charts = {
        name: race(f"race-{nth}-{name}", width, title, series, of, now, release.launch, course.floor_s)
        for name, width in WIDTHS.items()
    }
    if not charts["wide"]:
        return None
    rows: list[dict[str, Any]] = [
        {"at": point.at, "vendor": vendor, "seconds": point.entry.step_s, "tier": point.entry.tier}
        for vendor, points in course.series.items()
        for point in points
        if vendor and point.entry.step_s is not None
    ]
    rows.sort(key=lambda row: -row["at"])
    vendors = sorted({row["vendor"] for row in rows})
    left_out = len(rows) - len(rows[:ROWS])
    return {
        **{"chip": course.chip, "setup": course.setup, "drawn": charts},
        **{"rows": rows[:ROWS], "left_out": left_out, "vendors": vendors},
    }


def _gaps(ahead: HeadStart, ready: Sequence[ChipReadiness]) -> list[dict[str, Any]]:
    names = {one.chip.fingerprint: one.chip.name for one in ready}
    return [{**vars(gap), "chip": names.get(gap.fingerprint, gap.fingerprint)} for gap in ahead.gaps]


def _roofs(
    rows: Sequence[dict[str, Any]],
    chips: Mapping[str, Target],
    models: Sequence[Model],
    ready: Sequence[ChipReadiness],
) -> list[dict[str, Any]]:
    """A plot for each chip whose peaks are known and for which there are times."""
    ops = {(op["model"], op["workload"]): op for op in rows}
    by_id = {model.id: model for model in models}
    plots = []
    for nth, chip in enumerate(ready):
        target = chips.get(chip.chip.fingerprint)
        peaks = target.peaks if target else None
        spots = [
            Spot(", ".join(op.names), row["flops"] / row["bytes"], row["flops"] / cell.seconds, _arithmetic(row))
            for op, cell in zip(by_id[chip.model].operators, chip.cells, strict=True)
            if (row := ops[chip.model, op.workload])["flops"] and row["bytes"] and cell.seconds
        ]
        if peaks is None or not spots:
            continue
        roofs = {spot.arithmetic: peaks.bound(spot.arithmetic) for spot in spots}
        of, title = kinds(roofs), f"Roofline of {chip.chip.name}"
        charts = {
            name: roofline(f"roof-{nth}-{name}", width, title, spots, roofs, peaks.dram, of)
            for name, width in WIDTHS.items()
        }
        plots.append({"chip": chip.chip, "drawn": charts, "spots": spots, "kinds": of})
    return plots


def _arithmetic(op: dict[str, Any]) -> str:
    try:
        return make_operator(op["operator"], dict(op["params"])).arithmetic
    except InputError:
        return "float32"
