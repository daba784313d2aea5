"""Who is ahead: for each model, chip and policy, what each vendor has of a step."""

from __future__ import annotations

from collections import defaultdict

from tuning_db.board.field import Field, chosen, enter
from tuning_db.board.records import Board, Table
from tuning_db.board.step import disputes_of, entry, floor_of, order
from tuning_db.leads import Lead
from tuning_db.store import Store
from tuning_db.windows import Viewer

Sections = dict[tuple[str, str], dict[tuple[str, str], dict[str, Lead]]]


def board(
    store: Store, viewer: Viewer, release: str, at: float | None = None, target: str | None = None
) -> Board | None:
    """The board of a release.

    Times under different policies do not compare, so each has a table. A step runs with one toolchain: a vendor is
    entered with the one that makes its best step.

    Args:
        release: id or name; ``public`` for what was never embargoed.
        at: seconds since 1970; now unless said.
        target: name or fingerprint of the only chip that is wanted.

    Returns:
        None where there is no such release, or none that the viewer could know of.

    Raises:
        InputError: as ``field.enter``.
    """
    field = enter(store, viewer, release, at)
    return None if field is None else board_of(field, target)


def board_of(field: Field, target: str | None = None) -> Board:
    """The board of a release that was entered; ``target`` as in ``board``."""
    sections = grouped(field.store.vendors_leads(field.viewer, field.release.id, field.at))
    chips = {fingerprint: field.chip(fingerprint) for fingerprint, _ in sections}
    wanted = chosen(chips.values(), target)
    tables = []
    for model in field.models:
        mine, disputes = {op.workload for op in model.operators}, disputes_of(model, field.disputes)
        for (fingerprint, policy), by in sorted(sections.items()):
            if fingerprint not in wanted:
                continue
            chip, setup = chips[fingerprint], field.setups[policy]
            floors = field.floors(model, fingerprint, setup.cache)
            best = order(chip)
            found: dict[str, list] = defaultdict(list)
            for (vendor, toolchain), leads in by.items():
                if mine & leads.keys():
                    doubts = disputes[fingerprint, policy, toolchain, vendor]
                    one = entry(model, field.names[vendor], toolchain, leads, floors, doubts)
                    found[vendor].append(one)
            if found:
                entries = sorted((min(of_one, key=best) for of_one in found.values()), key=best)
                tables.append(Table(model.id, chip, setup, floor_of(model, floors), tuple(entries)))
    return Board(field.release, field.models, tuple(tables))


def grouped(leads: list[Lead]) -> Sections:
    """Leads by target and policy, then by vendor and toolchain, then by workload."""
    sections: Sections = defaultdict(lambda: defaultdict(dict))
    for one in leads:
        sections[one.target, one.policy][one.vendor, one.toolchain][one.workload] = one
    return sections
