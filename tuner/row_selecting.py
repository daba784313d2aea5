"""The selection for a model at several steps: kernels for any number of rows up to the most, and who runs when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from headstart_runtime.row_plan import AnyKernel, BundleFamily, FamilyKernel, RowRange
from schedules.rows import family_params, row_arguments
from targets import Target
from tuner.any_rows import AnyRows, SelectedFamily
from tuner.frontend.model import Model
from tuner.row_families import COPY_RATE, Measured, Option, families_of, measured
from tuner.selecting import select
from tuner.task import DEFAULT
from tuner.tasks import policy_for
from tuner.toolchain import toolchain
from tuning_db.records import Key, Policy, Status, Toolchain
from tuning_db.row_plan import TRIFLE, Plans, chosen, interpolated
from tuning_db.selection import MEASURED, Candidate, SelectedKernel, Selection
from tuning_db.store import Store

# Kernels of a family at most.
KERNELS = 32


@dataclass(frozen=True)
class RowSelection:
    """What to build for a model at several steps.

    Attributes:
        selection: of the step with the most tokens, with the kernels of all of them.
        families: operators that take any number of rows, by kernels of the selection.
    """

    selection: Selection
    families: tuple[SelectedFamily, ...] = ()


def select_rows(
    store: Store,
    models: Sequence[Model],
    target: Target,
    cache: str | None = None,
    kernels: int = KERNELS,
    layouts: int = 1,
) -> RowSelection:
    """Kernels for a model at several steps, and plans for the row counts between them.

    What differs between the steps in more than rows (attention over a cache, experts) is there for each step.

    Args:
        store: where trials are; nothing is written to it.
        models: the same one at each step, by tokens ascending.
        target: chip that they are for.
        cache: of the policy, ``warm`` or ``cold``; the phase's own if not said.
        kernels: of a family at most.
        layouts: how many times a family may have its weights in memory, each laid out in another way.

    Raises:
        HeadstartError: the model has no operator that Headstart has kernels for.
    """
    selections = [select(store, model, target, cache) for model in models]
    policy, tools = policy_for(models[-1].step.phase, target, cache), toolchain(target)
    families, taken = [], {kernel.workload: kernel for selection in selections for kernel in selection.kernels}
    for family in families_of(models):
        found = measured(store, family, target, policy, tools)
        for rows in family.asked:
            taken.pop(family.workload(rows).id)
        planned, selected = _planned(store, found, policy, tools, kernels, layouts)
        families.append(planned)
        taken |= {kernel.workload: kernel for kernel in selected}
    missing = {name: calls for selection in selections for name, calls in selection.missing.items()}
    merged = replace(selections[-1], kernels=tuple(taken.values()), missing=missing)
    return RowSelection(merged, tuple(families))


def _planned(
    store: Store, found: Measured, policy: Policy, tools: Toolchain, kernels: int, layouts: int
) -> tuple[SelectedFamily, list[SelectedKernel]]:
    """A family, and its kernels."""
    family, operator = found.family, found.family.operator
    allowed = found.layouts(layouts)
    unmeasured = tuple(rows for rows in family.asked if not found.options.get(rows))
    if unmeasured:
        # What was never timed runs the default schedule, with weights as they are, as if that were as good as any.
        known = found.costs(allowed)
        guess = interpolated(known.kernels, family.most) if known else None
        for rows in unmeasured:
            seconds = guess[rows] if guess else family.workload(rows).bytes / COPY_RATE
            found.options[rows] = [Option(DEFAULT, seconds, None)]
        allowed = (*allowed, None)
    best, costs = found.best(allowed), found.costs(allowed)
    assert costs is not None
    kept = chosen(costs, family.most, kernels, found.default)
    plans = Plans(replace(costs, kernels=kept), family.most)
    programs = tuple(one for one in found.general if _uses(plans, one)) if costs.any else ()
    selected = {rows: _selected(store, found, rows, best[rows], policy, tools) for rows in kept}
    arguments = zip(family.workload(family.most).arguments, row_arguments(operator), strict=True)
    entry = BundleFamily(
        names=family.names,
        operator=operator.name,
        params=family_params(operator),
        row_parameter=operator.row_parameter,
        sliced=tuple(argument.name for argument, has_rows in arguments if has_rows),
        largest=family.most,
        kernels=tuple(FamilyKernel(rows, kernel.workload) for rows, kernel in selected.items()),
        any=tuple(AnyKernel(one.first, one.last, f"{family.workload(one.first).id}_any") for one in programs),
        plans=_ranges(plans, programs),
    )
    usual = found.usual
    slower = tuple(rows for rows in range(1, family.most + 1) if plans.seconds[rows] > (1 + TRIFLE) * usual[rows])
    return SelectedFamily(entry, programs, slower, unmeasured), list(selected.values())


def _uses(plans: Plans, one: AnyRows) -> bool:
    return any(not plans.run(rows) for rows in range(one.first, one.last + 1))


def _ranges(plans: Plans, programs: Sequence[AnyRows]) -> tuple[RowRange, ...]:
    """The plans as the manifest has them: a range is of one function for any number of rows only."""
    ranges = []
    for one in plans.ranges():
        starts = [program.first for program in programs if one.first < program.first <= one.last and not one.run]
        ends = [start - 1 for start in starts]
        ranges += [
            RowRange(first, last, one.run) for first, last in zip([one.first, *starts], [*ends, one.last], strict=True)
        ]
    return tuple(ranges)


def _selected(
    store: Store, found: Measured, rows: int, option: Option, policy: Policy, tools: Toolchain
) -> SelectedKernel:
    family = found.family
    workload = family.workload(rows)
    key = Key(workload.id, found.target.fingerprint, tools.id, policy.id)
    trials = [
        trial
        for trial in store.trials(key.workload, key.target, key.toolchain, key.policy)
        if trial.schedule == option.schedule.id and trial.status is Status.OK and trial.median is not None
    ]
    trial = min(trials, key=lambda trial: trial.median or 0.0, default=None)
    candidates: tuple[Candidate, ...] = ()
    if trial is not None:
        candidates = (
            Candidate(
                tier=MEASURED,
                schedule=option.schedule,
                seconds=option.seconds,
                default_seconds=found.default.get(rows),
                trial=trial.id,
                author=trial.author,
                machine=trial.machine,
                created=trial.created,
            ),
        )
    return SelectedKernel(
        names=family.names,
        workload=workload.id,
        operator=workload.operator,
        label=workload.label,
        params=dict(workload.params),
        calls=family.calls,
        candidates=candidates,
    )
