"""Plans for any number of rows from what a repository offers: the schedules of each step, and those of a bundle."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from schedules.operator import Operator, make_operator, operators
from schedules.rows import family, row_count, with_rows
from schedules.workload import Workload
from targets import Target
from tuner.compile import layout_of
from tuner.row_families import Family, Measured, Option
from tuner.row_selecting import PlannedFamily, RowSelection, plan_family
from tuner.task import DEFAULT
from tuning_db.deploy.offer import Offer, gives_way
from tuning_db.selection import MEASURED, RANKS, Candidate, SelectedKernel, Selection


@dataclass
class _Group:
    """Kernels that differ in rows alone.

    Attributes:
        operator: with any number of rows.
        kernels: by rows: at the steps, and in the bundle.
        largest: of the bundle's family, 0 where there is none.
    """

    operator: Operator
    kernels: dict[int, SelectedKernel] = field(default_factory=dict)
    largest: int = 0


def planned(offer: Offer, target: Target) -> tuple[Offer, tuple[PlannedFamily, ...]]:
    """The offer with families: of several steps, and those of the bundle, so that none is lost and the faster is used.

    Args:
        offer: what was found, with the selection of each step.
        target: the chip, which this machine builds for with the toolchain of the offer.

    Returns:
        It, and the families that it has.

    Raises:
        InputError: an operator that is not known here, or a workload that is another than its id says.
        HeadstartError: TVM cannot apply a schedule.
    """
    built = {kernel.workload: kernel for kernel in offer.built.kernels} if offer.built else {}
    families = []
    for group in _groups(offer.steps, offer.built):
        most = max(group.largest, *group.kernels)
        names = tuple(dict.fromkeys(name for kernel in group.kernels.values() for name in kernel.names))
        # What a family of the bundle does without, and nothing is offered for, it goes on without.
        asked = {rows for rows, one in group.kernels.items() if one.workload in built or not group.largest}
        calls = group.kernels[max(group.kernels)].calls
        whole = Family(with_rows(group.operator, most), names, tuple(sorted(asked)), calls)
        families.append(_plan(whole, group, built, target))
    kernels = []
    for kernel in offer.selection.kernels:
        # Parameters may have been left out that are as usual; families go by all of them.
        operator, candidates = _operator(kernel), _allowed(built.get(kernel.workload), kernel)
        params = operator.params() if operator else kernel.params
        kernels.append(replace(kernel, params=params, candidates=tuple(candidates[:1])))
    found = RowSelection.of(replace(offer.selection, kernels=tuple(kernels)), families)
    return replace(offer, selection=found.selection), found.families


def _groups(steps: tuple[Selection, ...], built: Selection | None) -> list[_Group]:
    """What comes with several numbers of rows, or is a family of the bundle already."""
    groups: dict[str, _Group] = {}
    # Of these nothing is offered, unless a step has the same.
    in_bundle = [replace(one, candidates=()) for one in built.kernels if built.family_of(one)] if built else []
    for kernel in (*in_bundle, *(kernel for step in steps for kernel in step.kernels)):
        operator = _operator(kernel)
        if operator is not None and operator.row_parameter:
            groups.setdefault(family(operator), _Group(operator)).kernels[row_count(operator)] = kernel
    for entry in built.families if built else ():
        largest = make_operator(entry.operator, {**entry.params, entry.row_parameter: entry.largest})
        groups[family(largest)].largest = entry.largest
    return [group for group in groups.values() if group.largest or len(group.kernels) > 1]


def _operator(kernel: SelectedKernel) -> Operator | None:
    """What a kernel computes; None where that is a program of its own, or is not known here."""
    return make_operator(kernel.operator, dict(kernel.params)) if kernel.operator in operators() else None


def _plan(whole: Family, group: _Group, built: dict[str, SelectedKernel], target: Target) -> PlannedFamily:
    found, sources = Measured(whole, target), dict[tuple[int, str], Candidate]()
    for rows, kernel in sorted(group.kernels.items()):
        workload = Workload.of(with_rows(whole.operator, rows))
        candidates = _allowed(built.get(kernel.workload), kernel)
        options = [Option(one.schedule, one.seconds, layout_of(workload, one.schedule, target)) for one in candidates]
        sources |= {(rows, one.schedule.id): one for one in candidates}
        default = next((one.default_seconds for one in candidates if one.default_seconds is not None), None)
        if any(option.schedule == DEFAULT for option in options):
            default = next(option.seconds for option in options if option.schedule == DEFAULT)
        elif default is not None:
            options.append(Option(DEFAULT, default, None))
        if default is not None:
            found.default[rows] = default
        found.options[rows] = sorted(options, key=lambda option: option.seconds)
    return plan_family(found, lambda rows, option: sources.get((rows, option.schedule.id)))


def _allowed(built: SelectedKernel | None, offered: SelectedKernel) -> list[Candidate]:
    """What may be used for a workload, the best first: what is offered, and what the bundle has of its publisher."""
    there, chosen = built.only if built else None, offered.only
    if there is not None and there.tier != MEASURED and (chosen is None or chosen.trial != there.trial):
        there = None
    if there is None or chosen is None or there.trial == chosen.trial:
        return [one for one in (chosen or there,) if one]
    if gives_way(there, chosen):
        return [chosen, there]
    return [there, chosen] if RANKS[chosen.tier] >= RANKS[there.tier] else [there]
