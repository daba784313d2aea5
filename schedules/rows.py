"""Operators whose rows need nothing of each other: one for another number of rows, and which arguments have rows.

Any consecutive rows of such an operator's arguments are the arguments of the same operator with fewer rows.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

from schedules.operator import Operator
from schedules.workload import Workload
from targets.digest import canonical_json


def row_count(operator: Operator) -> int:
    """How many rows it has; 0 where its rows are not independent."""
    return getattr(operator, operator.row_parameter) if operator.row_parameter else 0


def with_rows(operator: Operator, rows: int) -> Operator:
    """The same operator for another number of rows.

    Raises:
        InputError: it does not take so many.
    """
    return replace(operator, **{operator.row_parameter: rows})


def family(operator: Operator) -> str:
    """One text for all row counts of an operator and no other: its name and its other parameters, as JSON."""
    return canonical_json([operator.name, family_params(operator)])


def family_params(operator: Operator) -> dict[str, Any]:
    """The parameters but for the number of rows."""
    return {name: value for name, value in operator.params().items() if name != operator.row_parameter}


@lru_cache(256)
def row_arguments(operator: Operator) -> tuple[bool, ...]:
    """Which arguments, inputs then outputs, have the rows on their first axis: those whose shapes follow the row count.

    Raises:
        ValueError: an argument follows it in another way, so the operator must not declare one.
    """
    rows = row_count(operator)
    here, more = (Workload.of(with_rows(operator, count)).arguments for count in (rows, rows + 1))
    found = []
    for one, other in zip(here, more, strict=True):
        follows = one.shape != other.shape
        if follows and (one.shape[0], other.shape[0], one.shape[1:]) != (rows, rows + 1, other.shape[1:]):
            raise ValueError(
                f"{operator.name}: argument {one.name} does not have {operator.row_parameter} as its first extent"
            )
        found.append(follows)
    return tuple(found)


def sliced(operator: Operator) -> tuple[str, ...]:
    """Names of the arguments that have the rows on their first axis, as the program has them."""
    arguments = zip(Workload.of(operator).arguments, row_arguments(operator), strict=True)
    return tuple(argument.name for argument, has_rows in arguments if has_rows)
