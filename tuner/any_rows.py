"""The default schedule of an operator for any number of rows: its program with the row count as a variable.

A small operator has no time to lose on a second kernel, so what is in between the row counts that were measured needs a
kernel of its own. The default schedule makes the same program for most of them, but for the number itself. That number
is made a variable where it stands in the program of some prime number of rows. It is taken only if another prime gives
the same program, and if with the variable replaced it is the program of the default schedule for just so many rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import tvm_ffi

from schedules.lower import lower
from schedules.operator import Operator
from schedules.rows import with_rows
from schedules.workload import Workload
from targets import Target
from tuner.task import DEFAULT

if TYPE_CHECKING:
    import tvm
    from tvm.ir import Var
    from tvm.tirx import PrimFunc

# Primes that are tried: one may be a number that the program has anyway.
PRIMES = 5
# How many times the most rows primes are looked for up to.
BEYOND = 4


@dataclass(frozen=True)
class AnyRows:
    """A program for every number of rows from ``first`` to ``last``; ``rows`` is its variable."""

    first: int
    last: int
    program: PrimFunc
    rows: Var

    def module(self, name: str) -> tvm.IRModule:
        """What to compile: a function of this name, which reads the number of rows off its arguments."""
        import tvm

        return tvm.IRModule({name: self.program.with_attr("global_symbol", name)})

    def exact(self, rows: int) -> PrimFunc:
        """The program for just so many rows."""
        from tvm.ir import Var
        from tvm.tirx import IntImm

        number = IntImm("int32", rows)
        return tvm_ffi.structural_map(self.program, (Var, lambda var: number if var.same_as(self.rows) else var))


def any_name(operator: Operator, first: int) -> str:
    """The name in a library of the program whose range begins with so many rows."""
    return f"{Workload.of(with_rows(operator, first)).id}_any"


def any_rows(operator: Operator, most: int, target: Target) -> list[AnyRows]:
    """Programs for consecutive ranges of rows up to ``most``, each what the default schedule makes for just so many.

    The default schedule runs loops in parallel where they are long enough, so there is one program for few rows and one
    for many, or several. A single row has a program of its own, and is left out.
    """

    @cache
    def exact(rows: int) -> PrimFunc:
        return lower(Workload.of(with_rows(operator, rows)), DEFAULT, target)["main"]

    found = []
    # The last range goes on beyond the most, where there are primes enough.
    for first, last in _alike(2, BEYOND * most, lambda rows: _shape(exact(rows))):
        if first > most:
            break
        found.append(_general(first, min(last, most), last, exact))
    return [one for one in found if one is not None]


def _alike(first: int, last: int, shape: Callable[[int], object]) -> Iterator[tuple[int, int]]:
    """Consecutive ranges, the longest that bisection finds whose ends have one shape."""
    while first <= last:
        low, high = first, last
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if shape(middle) == shape(first) else (low, middle - 1)
        yield first, low
        first = low + 1


def _shape(program: PrimFunc) -> tuple[str, ...]:
    """The kinds of its loops."""
    from tvm.tirx import For

    kinds: list[str] = []
    tvm_ffi.structural_walk(program.body, (For, lambda loop: kinds.append(str(loop.kind))))
    return tuple(kinds)


def _general(first: int, last: int, end: int, exact: Callable[[int], PrimFunc]) -> AnyRows | None:
    """The program of a range; None where there is none that is right at its ends and halfway.

    Args:
        end: up to which other numbers of rows have a program like those of the range.
    """
    from tvm.tirx import Var

    rows = Var("rows", "int32")
    for one, other in pairwise(_primes(first, end)):
        made = _replaced(exact(one), one, rows)
        if not tvm_ffi.structural_equal(made, _replaced(exact(other), other, rows)):
            continue
        found = AnyRows(first, last, made, rows)
        if all(tvm_ffi.structural_equal(found.exact(at), exact(at)) for at in (first, (first + last) // 2, last)):
            return found
    return None


def _replaced(program: PrimFunc, number: int, variable: Var) -> PrimFunc:
    """The program with a variable wherever it has that number."""
    from tvm.tirx import IntImm

    return tvm_ffi.structural_map(program, (IntImm, lambda it: variable if int(it.value) == number else it))


def _primes(first: int, last: int) -> list[int]:
    """The largest few primes of a range: the larger, the less likely to be a number that the program has anyway."""
    primes = (n for n in range(last, max(first, 5) - 1, -1) if all(n % d for d in range(2, int(n**0.5) + 1)))
    return [prime for prime, _ in zip(primes, range(PRIMES), strict=False)]
