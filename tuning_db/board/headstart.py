"""What a head start was worth: how far ahead who was ready at launch was, and how long others took to draw level.

Claims that were refused or withdrawn since count for nothing, and tiers are today's: referees may take their time, and
who was wrong at launch was not ahead. Where a claim that led is void, what its vendor had led with before counts until
what it led with after.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from targets.errors import InputError
from targets.units import DAY
from tuning_db.board.field import Field, chosen, enter
from tuning_db.board.records import Chip, ChipGap, Entry, Gap, HeadStart, Lap, Model, Point, Setup
from tuning_db.board.step import ahead, order, rank
from tuning_db.board.timeline import by_section, series_of
from tuning_db.claim import STANDING
from tuning_db.leads import Lead
from tuning_db.store import Store
from tuning_db.windows import PUBLIC, Viewer


class _Race(NamedTuple):
    """One model on one chip under one policy: each vendor's entries in time, and the laps of those ready at launch."""

    model: Model
    chip: Chip
    setup: Setup
    series: dict[str, tuple[Point, ...]]
    laps: list[Lap]


def headstart(store: Store, viewer: Viewer, release: str, target: str | None = None) -> HeadStart | None:
    """The head start in a launched release; arguments and answer as those of ``board``.

    Raises:
        InputError: it is not launched; or several open releases have the name.
    """
    field = enter(store, viewer, release)
    return None if field is None else headstart_of(field, target)


def headstart_of(field: Field, target: str | None = None) -> HeadStart:
    """The head start in a release that was entered; ``target`` and errors as those of ``headstart``."""
    launch = field.release.launch
    if field.release.id == PUBLIC or launch > field.viewer.now:
        raise InputError(f"release {field.release.name} has not launched; a head start is counted from a launch on")
    races = _races(field, target)
    gaps = [gap for race in races for lap in race.laps for gap in _gaps(race, lap, launch)]
    return HeadStart(
        field.release,
        field.models,
        tuple(lap for race in races for lap in race.laps),
        tuple(gaps),
        tuple(_chips(races, launch)),
    )


def _races(field: Field, target: str | None) -> list[_Race]:
    sections = by_section(_valid(field))
    chips = {fingerprint: field.chip(fingerprint) for fingerprint, _ in sections}
    wanted, races = chosen(chips.values(), target), []
    for model in field.models:
        for (fingerprint, policy), changes in sorted(sections.items()):
            if fingerprint not in wanted:
                continue
            chip, setup = chips[fingerprint], field.setups[policy]
            floors = field.floors(model, fingerprint, setup.cache)
            series = series_of(model, chip, floors, changes, field.names)
            there = [_at_launch(points, field.release.launch) for points in series.values()]
            early = sorted((one for one in there if one and one.step_s is not None), key=order(chip))
            laps = [Lap(model.id, chip, setup, one) for one in early]
            races += [_Race(model, chip, setup, series, laps)] if series else []
    return races


def _valid(field: Field) -> list[Lead]:
    """Changes of vendors' leads by what is known today: of claims that stand, in their tiers of today."""
    rows = field.store.rows(
        "SELECT DISTINCT h.trial, c.tier FROM lead_history h JOIN claim c ON c.trial = h.trial"
        f" WHERE h.release = ? AND h.vendor <> '' AND c.state = '{STANDING}'",
        (field.release.id,),
    )
    tiers = {row["trial"]: row["tier"] for row in rows}
    changes = field.store.vendors_changes(field.viewer, field.release.id, field.release.at)
    return [one._replace(tier=tiers[one.trial]) for one in changes if one.trial in tiers]


def _at_launch(points: Sequence[Point], launch: float) -> Entry | None:
    """What was there before the launch; a claim of that very moment came with everybody's."""
    before = [point.entry for point in points if point.at < launch]
    return before[-1] if before else None


def _level(early: Entry, points: Sequence[Point], launch: float) -> float | None:
    """When a vendor drew level with what another had at launch."""
    before = [point for point in points if point.at < launch][-1:]
    for point in [*before, *(point for point in points if point.at >= launch)]:
        one = point.entry
        if one.step_s is not None and rank(one.tier) >= rank(early.tier) and not ahead(early, one):
            return max(point.at, launch)
    return None


def _gaps(race: _Race, lap: Lap, launch: float) -> list[Gap]:
    found = []
    for other, points in race.series.items():
        if other == lap.entry.vendor:
            continue
        there = _at_launch(points, launch)
        found.append(
            Gap(
                model=race.model.id,
                fingerprint=race.chip.fingerprint,
                policy=race.setup.policy,
                early=lap.entry.vendor,
                other=other,
                **_figures(lap.entry, there, _level(lap.entry, points, launch), launch),
            )
        )
    return found


def _chips(races: Sequence[_Race], launch: float) -> list[ChipGap]:
    """Between chips, threads and clocks differ anyway, so that only the caches must be treated alike."""
    alike: dict[tuple[str, str], dict[str, list[_Race]]] = defaultdict(lambda: defaultdict(list))
    for race in races:
        alike[race.model.id, race.setup.cache][race.chip.fingerprint].append(race)
    found = []
    for (model, cache), chips in alike.items():
        best = {chip: _best(of_chip) for chip, of_chip in chips.items()}
        for chip, early in best.items():
            for other in chips if early else ():
                if other != chip and early:
                    all_points = [points for race in chips[other] for points in race.series.values()]
                    moments = [_level(early, points, launch) for points in all_points]
                    level = min((moment for moment in moments if moment is not None), default=None)
                    figures = _figures(early, best[other], level, launch)
                    found.append(ChipGap(model=model, cache=cache, early=chip, other=other, **figures))
    return found


def _best(races: Sequence[_Race]) -> Entry | None:
    laps = [lap.entry for race in races for lap in race.laps]
    return min(laps, key=order(races[0].chip), default=None)


def _figures(early: Entry, other: Entry | None, level: float | None, launch: float) -> dict[str, Any]:
    assert early.step_s is not None
    other_s = other.step_s if other else None
    return {
        "early_s": early.step_s,
        "other_s": other_s,
        "ratio": other_s / early.step_s if other_s else None,
        "level": level,
        "days": None if level is None else (level - launch) / DAY,
    }
