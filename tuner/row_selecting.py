"""The selection for a model at several steps: kernels for any number of rows up to the most, and who runs when."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from headstart_runtime.row_plan import AnyKernel, BundleFamily, FamilyKernel, RowRange
from schedules.operator import make_operator
from schedules.rows import family_params, sliced
from targets import Target
from tuner.any_rows import AnyRows, any_name
from tuner.frontend.model import Model
from tuner.policy import policy_for
from tuner.row_families import COPY_RATE, Family, Measured, Option, families_of, measured
from tuner.selecting import select, select_again
from tuner.task import DEFAULT
from tuner.toolchain import chip_toolchain
from tuning_db.records import Policy, Status, Toolchain
from tuning_db.row_plan import TRIFLE, Plans, chosen, interpolated
from tuning_db.selection import MEASURED, Candidate, SelectedKernel, Selection, joined
from tuning_db.store import Store

# Kernels of a family at most.
KERNELS = 32
# The candidate that a measured schedule for so many rows comes from, if any.
Source = Callable[[int, Option], Candidate | None]


@dataclass(frozen=True)
class PlannedFamily:
    """A family, and where a person may want more of it.

    Attributes:
        entry: as selections and manifests have it.
        kernels: of it.
        slower: numbers of rows whose plan takes longer than the default schedule would, as far as was measured.
        unmeasured: numbers of rows that were asked for and have no good trial: plans are a guess there.
    """

    entry: BundleFamily
    kernels: tuple[SelectedKernel, ...]
    slower: tuple[int, ...]
    unmeasured: tuple[int, ...]

    def lacks(self) -> list[str]:
        """What more tuning may mend, in lines."""
        names, found = ", ".join(self.entry.names), []
        if self.slower:
            what = f"{names} at {len(self.slower)} numbers of rows from {self.slower[0]} to {self.slower[-1]}"
            found.append(f"Slower than the default schedule: {what}. More tuning may mend that.")
        if self.unmeasured:
            what = f"{names} at {', '.join(map(str, self.unmeasured))} rows"
            found.append(f"Not measured: {what}. It runs the default schedule there: tune it.")
        return found


@dataclass(frozen=True)
class RowSelection:
    """What to build for a model at several steps.

    Attributes:
        selection: of the step with the most tokens, with the kernels of all of them.
        families: of it, as they were planned.
    """

    selection: Selection
    families: tuple[PlannedFamily, ...] = ()

    @classmethod
    def of(cls, selection: Selection, families: Sequence[PlannedFamily]) -> RowSelection:
        """A selection with the families in place of its own kernels of the same."""
        entries = tuple(one.entry for one in families)
        with_families = replace(selection, families=entries)
        kept = [kernel for kernel in selection.kernels if with_families.family_of(kernel) is None]
        kernels = (*kept, *(kernel for one in families for kernel in one.kernels))
        return cls(replace(with_families, kernels=kernels), tuple(families))


def select_rows(
    store: Store,
    models: Sequence[Model],
    target: Target,
    cache: str | None = None,
    kernels: int = KERNELS,
    layouts: int = 1,
) -> RowSelection:
    """Kernels for a model at one step or several, and plans for the row counts between them.

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
    policy, tools = policy_for(models[-1].step.phase, target, cache), chip_toolchain(target)
    selection = joined(selections, [vars(model.step) for model in models[:-1]])
    families = [_from_store(store, one, target, policy, tools, kernels, layouts) for one in families_of(models)]
    return RowSelection.of(selection, families)


def select_rows_again(store: Store, before: Selection, target: Target) -> RowSelection:
    """The champions and plans of today for what a selection that was made before is of."""
    selection, families = select_again(store, before, target), []
    of_workload = {kernel.workload: kernel for kernel in before.kernels}
    for entry in before.families:
        operator = make_operator(entry.operator, {**entry.params, entry.row_parameter: entry.largest})
        # What was asked for is a kernel still, or was measured and is found again.
        asked = tuple(one.rows for one in entry.kernels)
        family = Family(operator, entry.names, asked, of_workload[entry.kernels[-1].workload].calls)
        families.append(_from_store(store, family, target, before.policy, selection.toolchain))
    return RowSelection.of(selection, families)


def plan_family(found: Measured, source: Source, kernels: int = KERNELS, layouts: int = 1) -> PlannedFamily:
    """Kernels for any number of rows, and who runs when, from what is known of a family.

    Args:
        found: what was measured.
        source: says where a schedule comes from.
        kernels, layouts: as ``select_rows`` takes them.
    """
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
    # What was asked for and is a guess stays, so that planning again starts from the same.
    worth = {*chosen(costs, family.most, kernels, found.default), *unmeasured}
    kept = {rows: costs.kernels[rows] for rows in sorted(worth)}
    plans = Plans(replace(costs, kernels=kept), family.most)
    programs = tuple(one for one in found.general if _uses(plans, one)) if costs.any else ()
    selected = {rows: _selected(family, rows, source(rows, best[rows])) for rows in kept}
    entry = BundleFamily(
        names=family.names,
        operator=operator.name,
        params=family_params(operator),
        row_parameter=operator.row_parameter,
        sliced=sliced(operator),
        largest=family.most,
        kernels=tuple(FamilyKernel(rows, kernel.workload) for rows, kernel in selected.items()),
        any=tuple(AnyKernel(one.first, one.last, any_name(operator, one.first)) for one in programs),
        plans=_ranges(plans, programs),
    )
    usual = found.usual
    slower = tuple(rows for rows in range(1, family.most + 1) if plans.seconds[rows] > (1 + TRIFLE) * usual[rows])
    return PlannedFamily(entry, tuple(selected.values()), slower, unmeasured)


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


def _selected(family: Family, rows: int, candidate: Candidate | None) -> SelectedKernel:
    workload = family.workload(rows)
    return SelectedKernel(
        names=family.names,
        workload=workload.id,
        operator=workload.operator,
        label=workload.label,
        params=dict(workload.params),
        calls=family.calls,
        candidates=(candidate,) if candidate else (),
    )


def _from_store(
    store: Store, family: Family, target: Target, policy: Policy, tools: Toolchain, *limits: int
) -> PlannedFamily:
    """A family by the trials of a database; ``limits`` as ``plan_family`` takes them."""
    found = measured(store, family, target, policy, tools)

    def source(rows: int, option: Option) -> Candidate | None:
        trials = [
            trial
            for trial in store.trials(family.workload(rows).id, target.fingerprint, tools.id, policy.id)
            if trial.schedule == option.schedule.id and trial.status is Status.OK and trial.median is not None
        ]
        if not trials:
            return None
        trial = min(trials, key=lambda trial: trial.median or 0.0)
        return Candidate(
            tier=MEASURED,
            schedule=option.schedule,
            seconds=option.seconds,
            default_seconds=found.default.get(rows),
            trial=trial.id,
            author=trial.author,
            machine=trial.machine,
            created=trial.created,
        )

    return plan_family(found, source, *limits)
