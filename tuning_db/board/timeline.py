"""How a race went: what each vendor had of a step from when on, who headed the table, who led for which operator."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import groupby

from tuning_db.board.field import Field, chosen, enter
from tuning_db.board.records import Change, Chip, Course, Entry, Leader, Model, Point, Timeline
from tuning_db.board.step import Floors, entry, floor_of, order
from tuning_db.leads import Lead
from tuning_db.store import Store
from tuning_db.windows import Viewer


def timeline(
    store: Store, viewer: Viewer, release: str, at: float | None = None, target: str | None = None
) -> Timeline | None:
    """The race up to a moment, of what the viewer may know; arguments, answer and errors as those of ``board``.

    A point is what was so from then on; what was so for no time is none. Points do not tell of disputes.
    """
    field = enter(store, viewer, release, at)
    return None if field is None else timeline_of(field, target)


def timeline_of(field: Field, target: str | None = None) -> Timeline:
    """The race for a release that was entered; ``target`` as in ``board``."""
    seen = field.viewer, field.release.id, field.release.at
    vendors, best = by_section(field.store.vendors_changes(*seen)), by_section(field.store.best_changes(*seen))
    chips = {fingerprint: field.chip(fingerprint) for fingerprint, _ in vendors}
    wanted = chosen(chips.values(), target)
    courses = []
    for model in field.models:
        for (fingerprint, policy), changes in sorted(vendors.items()):
            if fingerprint in wanted:
                led = best.get((fingerprint, policy), [])
                course = _course(field, model, chips[fingerprint], policy, changes, led)
                courses += [course] if course.series else []
    return Timeline(field.release, field.models, tuple(courses))


def by_section(changes: Iterable[Lead]) -> dict[tuple[str, str], list[Lead]]:
    """Changes by target and policy, in their order."""
    found: dict[tuple[str, str], list[Lead]] = defaultdict(list)
    for one in changes:
        found[one.target, one.policy].append(one)
    return found


def series_of(
    model: Model, chip: Chip, floors: Floors, changes: Iterable[Lead], names: Mapping[str, str]
) -> dict[str, tuple[Point, ...]]:
    """What each vendor had of a step from when on, by name.

    Args:
        model: whose step it is.
        chip: the chip.
        floors: as ``step.entry`` takes them.
        changes: of vendors' leads on the chip under one policy, in the order of time.
        names: of accounts, by id.
    """
    mine, best = {op.workload for op in model.operators}, order(chip)
    of_vendor: dict[str, list[Lead]] = defaultdict(list)
    for one in changes:
        if one.workload in mine:
            of_vendor[one.vendor].append(one)
    found = {}
    for vendor, own in sorted(of_vendor.items(), key=lambda item: names[item[0]]):
        leads: dict[str, dict[str, Lead]] = defaultdict(dict)
        entries: dict[str, Entry] = {}
        points: list[Point] = []
        for since, together in groupby(own, key=lambda one: one.since or 0.0):
            touched = set()
            for one in together:
                touched.add(one.toolchain)
                leads[one.toolchain].pop(one.workload, None)
                if one.trial is not None:
                    leads[one.toolchain][one.workload] = one
            for toolchain in touched:
                entries[toolchain] = entry(model, names[vendor], toolchain, leads[toolchain], floors)
            top = min(entries.values(), key=best)
            if not points or points[-1].entry != top:
                points.append(Point(since, top))
        found[names[vendor]] = tuple(points)
    return found


def _course(field: Field, model: Model, chip: Chip, policy: str, changes: list[Lead], led: list[Lead]) -> Course:
    setup, mine = field.setups[policy], {op.workload for op in model.operators}
    floors = field.floors(model, chip.fingerprint, setup.cache)
    series = series_of(model, chip, floors, changes, field.names)
    return Course(
        model=model.id,
        chip=chip,
        setup=setup,
        floor_s=floor_of(model, floors),
        series=series,
        leaders=_leaders(chip, series),
        changes=tuple(
            Change(
                at=one.since or 0.0,
                workload=one.workload,
                toolchain=one.toolchain,
                vendor=field.names[one.holder] if one.holder else "",
                tier=one.tier,
                seconds=one.median,
                judged=bool(one.judged),
            )
            for one in led
            if one.workload in mine
        ),
    )


def _leaders(chip: Chip, series: Mapping[str, tuple[Point, ...]]) -> tuple[Leader, ...]:
    best, now = order(chip), dict[str, Entry]()
    leaders: list[Leader] = []
    points = sorted((point for own in series.values() for point in own), key=lambda point: point.at)
    for at, together in groupby(points, key=lambda point: point.at):
        for point in together:
            now[point.entry.vendor] = point.entry
        top = min(now.values(), key=best)
        head = Leader(at, top.vendor if top.covered else "", top.covered_s, top.step_s, top.tier)
        if not leaders or replace(leaders[-1], at=at) != head:
            leaders.append(head)
    return tuple(leaders)
