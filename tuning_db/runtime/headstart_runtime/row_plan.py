"""Families in a manifest: kernels that differ in how many rows they take, and a plan for any number of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from headstart_runtime.errors import InputError

if TYPE_CHECKING:
    from headstart_runtime.manifest import BundleKernel

# More than any step has; a plan is looked up for each number of rows.
LARGEST = 1 << 20


@dataclass(frozen=True)
class FamilyKernel:
    """The kernel of a family for so many rows, by the id of its workload."""

    rows: int
    workload: str


@dataclass(frozen=True)
class AnyKernel:
    """A function that takes any number of rows from ``first`` to ``last``, with the default schedule.

    It takes the arguments that the kernels of the family do, weights as they are.
    """

    first: int
    last: int
    function: str


@dataclass(frozen=True)
class RowRange:
    """For every number of rows from ``first`` to ``last``: the kernels to run, by their rows, in order.

    Each takes the rows after those of the one before. The last one takes what is left; where that is less than it has,
    it begins earlier and computes some rows again, or runs on a padded copy where there are fewer rows altogether.
    Without any, the function that takes any number of rows does them all.
    """

    first: int
    last: int
    run: tuple[int, ...]


@dataclass(frozen=True)
class BundleFamily:
    """Kernels of one operator that differ in rows alone, and a plan for each number of rows from 1 to ``largest``.

    Attributes:
        names: of the model's operators that it computes.
        operator, params: what it computes; the parameter ``row_parameter``, which counts rows, is left out.
        sliced: names of the arguments whose first axis the rows are.
        kernels: ascending by rows; each is in the manifest's ``kernels`` too.
        any: functions for any number of rows, of ranges that do not overlap.
        plans: of consecutive numbers of rows.
    """

    names: tuple[str, ...]
    operator: str
    params: Mapping[str, Any]
    row_parameter: str
    sliced: tuple[str, ...]
    largest: int
    kernels: tuple[FamilyKernel, ...]
    any: tuple[AnyKernel, ...]
    plans: tuple[RowRange, ...]


class Slice(NamedTuple):
    """Rows that one kernel computes: ``rows`` of them from ``first`` on, padded where the kernel has more.

    ``kernel`` is how many it has, 0 where it takes any number.
    """

    kernel: int
    first: int
    rows: int


def slices(runs: Sequence[Sequence[int]], rows: int) -> list[Slice]:
    """Which rows each kernel gets.

    Args:
        runs: the kernels for each number of rows, from 0 to the largest that there is a plan for; more rows are done in
            pieces of that many.
        rows: how many there are.
    """
    largest, found, first = len(runs) - 1, [], 0
    while first < rows:
        end = min(first + largest, rows)
        if not runs[end - first]:
            found.append(Slice(0, first, end - first))
        for kernel in runs[end - first]:
            # The last of a piece begins earlier where less is left than it has.
            found.append(Slice(kernel, max(0, min(first, end - kernel)), min(kernel, rows)))
            first += kernel
        first = end
    return found


def check_families(families: Sequence[BundleFamily], kernels: Sequence[BundleKernel]) -> None:
    """What types alone do not say of families: that what they name is there and fits, and each row is covered.

    Raises:
        InputError: it does not; the message says where.
    """
    known = {kernel.workload: kernel for kernel in kernels}
    for at, family in enumerate(families):
        where = f"manifest.json: families[{at}]"
        _check_kernels(family, known, where)
        check_plans(family, where)


def _check_kernels(family: BundleFamily, known: Mapping[str, BundleKernel], where: str) -> None:
    counts = [kernel.rows for kernel in family.kernels]
    if not counts or counts != sorted(set(counts)) or counts[0] < 1:
        raise InputError(f"{where}.kernels must be ascending by rows, at least one")
    shapes = set()
    for entry in family.kernels:
        kernel = known.get(entry.workload)
        if kernel is None:
            raise InputError(f"{where}.kernels: no kernel {entry.workload!r} in this bundle")
        named = [a for a in kernel.arguments if a.name in family.sliced]
        if any(a.shape[:1] != (entry.rows,) for a in named):
            raise InputError(f"{where}.kernels: {entry.workload} does not take {entry.rows} rows")
        outputs = [a for a in kernel.arguments if a.role == "output"]
        if not named or named[0].role != "input" or any(a not in named for a in outputs):
            raise InputError(f"{where}.sliced must be all outputs and at least one input")
        if any(a.name in kernel.weights for a in named):
            raise InputError(f"{where}.sliced must not be weights")
        rest = ((a.name, a.role, a.shape[1:] if a in named else a.shape, a.dtype) for a in kernel.arguments)
        shapes.add((tuple(rest), kernel.weights))
    if len(shapes) > 1:
        raise InputError(f"{where}.kernels must take the same arguments but for their rows")


def check_plans(family: BundleFamily, where: str) -> None:
    """That every number of rows from 1 to the largest has a plan, of kernels and functions that the family has.

    Raises:
        InputError: it has not; the message says where, beginning with ``where``.
    """
    counts, at = {kernel.rows for kernel in family.kernels}, 0
    for plan in family.plans:
        if plan.first != at + 1 or plan.last < plan.first or not counts.issuperset(plan.run):
            raise InputError(f"{where}.plans must be of consecutive numbers of rows, by kernels of the family")
        told = f"{where}.plans: {list(plan.run)} does not cover {plan.first} to {plan.last} rows"
        if not plan.run:
            if not any(one.first <= plan.first and plan.last <= one.last for one in family.any):
                raise InputError(told)
        elif not sum(plan.run[:-1]) < plan.first <= plan.last <= sum(plan.run):
            raise InputError(told)
        elif len(plan.run) > 1 and max(plan.run) > plan.first:
            raise InputError(f"{where}.plans: {list(plan.run)} does not fit into {plan.first} rows")
        at = plan.last
    if at != family.largest or family.largest > LARGEST:
        raise InputError(f"{where}.plans must go up to the largest number of rows")
