"""How ready each chip is: the best claims of all vendors for each operator, and what they come to."""

from __future__ import annotations

from tuning_db.board.field import Field, chosen, enter
from tuning_db.board.records import Cell, Chip, ChipReadiness, Entry, Model, Readiness
from tuning_db.board.standings import grouped
from tuning_db.board.step import Floors, entry, floor_of, order, rank
from tuning_db.claim import Tier
from tuning_db.leads import Lead
from tuning_db.store import Store
from tuning_db.windows import Viewer

READY = Tier.REPLAYED.rank


def readiness(
    store: Store, viewer: Viewer, release: str, at: float | None = None, target: str | None = None
) -> Readiness | None:
    """Operators by chips; arguments, answer and errors as those of ``board``.

    Who may not know of all vendors is shown what their own claims come to. A chip that the viewer's window is open for
    by name, or that a publisher invites somebody for, is there without claims too.
    """
    field = enter(store, viewer, release, at)
    return None if field is None else readiness_of(field, target)


def readiness_of(field: Field, target: str | None = None) -> Readiness:
    """The readiness of a release that was entered; ``target`` as in ``board``."""
    sections = grouped(field.store.best_leads(field.viewer, field.release.id, field.at))
    fingerprints = {fingerprint for fingerprint, _ in sections} | field.targets()
    chips = {fingerprint: field.chip(fingerprint) for fingerprint in fingerprints}
    found = []
    for model in field.models:
        mine = {op.workload for op in model.operators}
        for fingerprint in sorted(chosen(chips.values(), target)):
            policies = [
                (policy, {toolchain: leads for (_, toolchain), leads in by.items() if mine & leads.keys()})
                for (of, policy), by in sorted(sections.items())
                if of == fingerprint
            ]
            there = [_chip(field, model, chips[fingerprint], policy, by) for policy, by in policies if by]
            found += there or [_nothing(model, chips[fingerprint])]
    return Readiness(field.release, field.models, tuple(found))


def _chip(field: Field, model: Model, chip: Chip, policy: str, by: dict[str, dict[str, Lead]]) -> ChipReadiness:
    setup = field.setups[policy]
    floors = field.floors(model, chip.fingerprint, setup.cache)
    doubts = {one["workload"] for one in field.disputes if (one["target"], one["policy"]) == (chip.fingerprint, policy)}
    entries = {toolchain: entry(model, "", toolchain, leads, floors) for toolchain, leads in by.items()}
    best = min(entries.values(), key=order(chip))
    leads = by[best.toolchain]
    ready = {workload: lead for workload, lead in leads.items() if rank(lead.tier) >= READY}
    usable = entry(model, "", best.toolchain, ready, floors)
    return ChipReadiness(
        model=model.id,
        chip=chip,
        setup=setup,
        best=best,
        cells=tuple(_cell(field, op.workload, leads.get(op.workload), floors, doubts) for op in model.operators),
        ready_calls=usable.calls,
        ready_work=usable.work,
        projected_s=_projected(model, usable, floors),
    )


def _nothing(model: Model, chip: Chip) -> ChipReadiness:
    cells = tuple(Cell(op.workload, "nothing", False, None, None, "") for op in model.operators)
    return ChipReadiness(model.id, chip, None, None, cells, 0.0, 0.0 if chip.peaks != "unknown" else None, None)


def _cell(field: Field, workload: str, lead: Lead | None, floors: Floors, doubts: set[str]) -> Cell:
    disputed = workload in doubts
    if lead is None or lead.median is None:
        return Cell(workload, "disputed" if disputed else "nothing", disputed, None, None, "")
    roofline = floors[workload] / lead.median if floors and floors[workload] else None
    return Cell(workload, str(lead.tier), disputed, lead.median, roofline, field.names[str(lead.holder)])


def _projected(model: Model, usable: Entry, floors: Floors) -> float | None:
    if usable.step_s is not None:
        return usable.step_s
    whole = floor_of(model, floors)
    # Over the sums, so that what takes long counts most: little operators near the roof promise nothing.
    return whole / usable.roofline if whole and usable.roofline else None
