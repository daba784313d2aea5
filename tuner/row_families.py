"""Families of a model at several steps: operators that differ in rows alone, and what the database measured of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from schedules.operator import Operator, make_operator
from schedules.rows import family, family_params, row_arguments, row_count, with_rows
from schedules.schedule import Schedule
from schedules.workload import Workload
from targets import Target
from targets.errors import HeadstartError, InputError
from tuner.any_rows import AnyRows, any_rows
from tuner.compile import layout_of
from tuner.frontend.model import Model
from tuner.task import DEFAULT, Task, read_task
from tuning_db.records import Policy, Toolchain
from tuning_db.row_plan import CALL_S, Costs, Plans, interpolated
from tuning_db.store import Store

# Schedules of one workload whose layout of weights is looked at, the fastest first: each must be lowered.
LOOKED_AT = 12
# A champion beat the others in turn; one that was timed alone must have been this much faster to go before it.
TRUST = 1.1
# What a plan weighs that takes longer than the default schedule.
WORSE = 10.0
# Bytes a second at which rows are copied into a padded array and out of one.
COPY_RATE = 5e9


@dataclass(frozen=True)
class Family:
    """Operators of a model at several steps that differ in their rows alone.

    Attributes:
        operator: at the most rows that were asked for.
        names: in the model.
        asked: numbers of rows, ascending.
        calls: of one step.
    """

    operator: Operator
    names: tuple[str, ...]
    asked: tuple[int, ...]
    calls: int

    @property
    def most(self) -> int:
        """The most rows that were asked for."""
        return row_count(self.operator)

    def workload(self, rows: int) -> Workload:
        """Its computation of so many rows."""
        return Workload.of(with_rows(self.operator, rows))


@dataclass(frozen=True)
class Option:
    """A schedule that was measured.

    Attributes:
        seconds: the best median of its trials.
        layout: id of how it wants the weights; None as they are.
    """

    schedule: Schedule
    seconds: float
    layout: str | None


@dataclass
class Measured:
    """What was measured of a family.

    Attributes:
        options: by rows: the best first.
        default: by rows: seconds of the default schedule.
    """

    family: Family
    target: Target
    options: dict[int, list[Option]] = field(default_factory=dict)
    default: dict[int, float] = field(default_factory=dict)

    @cached_property
    def general(self) -> list[AnyRows]:
        """Programs of the default schedule for any number of rows."""
        return any_rows(self.family.operator, self.family.most, self.target)

    def take(self, rows: int, task: Task) -> None:
        """Take up all trials of the workload of so many rows."""
        if task.default_s is not None:
            self.default[rows] = task.default_s
        found = {example.schedule: task.seconds[example.schedule.id] for example in task.examples}
        good = {schedule: seconds for schedule, seconds in found.items() if seconds is not None}
        ranked = sorted(good, key=lambda schedule: good[schedule] / (TRUST if schedule == task.champion else 1.0))
        chosen = dict.fromkeys([*ranked[:LOOKED_AT], *([DEFAULT] if DEFAULT in good else [])])
        self.options[rows] = [
            Option(schedule, good[schedule], layout_of(task.workload, schedule, self.target)) for schedule in chosen
        ]

    def best(self, layouts: Iterable[str | None]) -> dict[int, Option]:
        """For each number of rows the schedule to use of those that want the weights in one of these layouts."""
        allowed = set(layouts)
        first = {rows: next((o for o in all_ if o.layout in allowed), None) for rows, all_ in self.options.items()}
        return {rows: option for rows, option in sorted(first.items()) if option is not None}

    def costs(self, layouts: Iterable[str | None]) -> Costs | None:
        """What plans are made of with these layouts; None where no kernel has one of them."""
        allowed = set(layouts)
        best = {rows: option.seconds for rows, option in self.best(allowed).items()}
        if not best:
            return None
        return Costs(best, copy=self._row_bytes / COPY_RATE, any=self._any() if None in allowed else ())

    @property
    def usual(self) -> list[float]:
        """Seconds of a call of the default schedule for just so many rows, by rows; where nothing is known, no end."""
        most = self.family.most
        known = interpolated(self.default, most) if self.default else [float("inf")] * (most + 1)
        return [seconds + CALL_S for seconds in known]

    def _any(self) -> list[float]:
        """Seconds of the default schedule for any number of rows, by rows."""
        if not self.default:
            return []
        usual, own = interpolated(self.default, self.family.most), [float("inf")] * (self.family.most + 1)
        for one in self.general:
            own[one.first : one.last + 1] = usual[one.first : one.last + 1]
        return own

    @property
    def _row_bytes(self) -> float:
        """Bytes of a row of all arguments that have rows."""
        operator = self.family.operator
        arguments = zip(Workload.of(operator).arguments, row_arguments(operator), strict=True)
        return sum(argument.nbytes for argument, has_rows in arguments if has_rows) / row_count(operator)

    def layouts(self, count: int = 1) -> tuple[str | None, ...]:
        """The ``count`` layouts of the weights with which the plans for all numbers of rows cost least together.

        A number of rows weighs as much as there are fewer of its size: each doubling of them the same. Where the
        default schedule would be faster than the plan, it weighs ten times that.
        """
        known = sorted({option.layout for found in self.options.values() for option in found}, key=str)
        every = self.costs(known)
        if every is None:
            return ()
        most = self.family.most
        least, usual = Plans(every, most).seconds, self.usual
        chosen: list[str | None] = []

        def dearness(layout: str | None) -> float:
            costs = self.costs([*chosen, layout])
            seconds = Plans(costs, most).seconds if costs else [float("inf")] * (most + 1)
            weights = (WORSE if seconds[rows] > usual[rows] else 1.0 for rows in range(1, most + 1))
            return sum(weight * seconds[at] / least[at] / at for at, weight in enumerate(weights, 1))

        while len(chosen) < min(count, len(known)):
            chosen.append(min((layout for layout in known if layout not in chosen), key=dearness))
        return tuple(chosen)


def families_of(models: Sequence[Model]) -> list[Family]:
    """The families of a model at several steps; an operator with as many rows at each step is none."""
    found: dict[str, dict[int, tuple[Operator, list[str], int]]] = {}
    for model in models:
        here: dict[str, tuple[Operator, list[str], int]] = {}
        for op in model.ops:
            operator = op.workload.instance if op.tunable else None
            if operator is None or not operator.row_parameter:
                continue
            key = family(operator)
            _, names, calls = here.get(key, (operator, [], 0))
            here[key] = operator, [*names, op.name], calls + op.calls
        for key, (operator, names, calls) in here.items():
            found.setdefault(key, {})[row_count(operator)] = operator, names, calls
    families = []
    for by_rows in found.values():
        if len(by_rows) > 1:
            operator, _, calls = by_rows[max(by_rows)]
            every = tuple(dict.fromkeys(name for _, names, _ in by_rows.values() for name in names))
            families.append(Family(operator, every, tuple(sorted(by_rows)), calls))
    return families


def measured(store: Store, family: Family, target: Target, policy: Policy, tools: Toolchain) -> Measured:
    """What the database has of a family, at any number of rows up to the most; writes nothing."""
    found = Measured(family, target)
    for rows in _known_rows(store, family):
        if rows <= family.most:
            task = read_task(store, family.workload(rows), target, policy, tools)
            if task.seconds:
                found.take(rows, task)
    return found


def _known_rows(store: Store, family: Family) -> Iterator[int]:
    """Numbers of rows of which the database has a workload."""
    operator = family.operator
    for row in store.rows("SELECT params FROM workload WHERE operator = ? ORDER BY id", (operator.name,)):
        try:
            other = make_operator(operator.name, json.loads(row["params"]))
        except InputError:
            continue
        if family_params(other) == family_params(operator):
            yield row_count(other)


def moved(found: Measured, task: Task, rows: int, layouts: Sequence[str | None], count: int) -> list[Schedule]:
    """Schedules to try for so many rows: the default, then the best of its neighbours as they are most alike here.

    First those that want the weights in one of the layouts.
    """
    best = found.best(layouts)
    near = sorted(best, key=lambda other: abs(other - rows) / max(other, rows))
    candidates = [best[other].schedule for other in near]
    candidates += [found.options[other][0].schedule for other in near]
    schedules: list[Schedule] = []
    for schedule in candidates:
        there = _moved(task, schedule)
        if there is not None and there not in schedules:
            schedules.append(there)
        if len(schedules) == 2 * count:
            break
    fits = {schedule: _fits(task, schedule, found.target, layouts) for schedule in schedules}
    return [DEFAULT, *sorted(schedules, key=lambda schedule: not fits[schedule])[:count]]


def elsewhere(found: Measured, task: Task, rows: int) -> list[Schedule]:
    """What is best for other numbers of rows in a layout of the weights that was not tried for so many, moved here."""
    known = {option.layout for option in found.options.get(rows, ())}
    schedules: dict[str | None, Schedule] = {}
    for other, options in sorted(found.options.items(), key=lambda item: abs(item[0] - rows)):
        if other == rows or not options or options[0].layout in {*known, *schedules}:
            continue
        there = _moved(task, options[0].schedule)
        if there is not None and _fits(task, there, found.target, [options[0].layout]):
            schedules[options[0].layout] = there
    return list(schedules.values())


def _moved(task: Task, schedule: Schedule) -> Schedule | None:
    """The schedule that is most like one of another number of rows; None where there is none."""
    space = task.spaces.get(schedule.space)
    return space.nearest(schedule.config) if space is not None and space.version == schedule.version else None


def _fits(task: Task, schedule: Schedule, target: Target, layouts: Sequence[str | None]) -> bool:
    try:
        return layout_of(task.workload, schedule, target) in layouts
    except HeadstartError:
        return False
