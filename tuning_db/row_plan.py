"""Plans for any number of rows from kernels of a few: which of them run, one after the other, on which rows.

Rows of one family need nothing of each other (``Operator.row_parameter``), so a kernel for 16 rows runs on any 16
consecutive ones of many. What is left is done by a smaller kernel, or by one that computes some rows a second time;
only where there are fewer rows than the smallest useful kernel has, it runs on a padded copy. Seconds throughout.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

# Measured with torch's tensors on a Zen 4: calling a kernel that takes all rows as they are, one that takes slices of
# them, and what padding costs more than that.
CALL_S, PART_S, PAD_S = 2e-6, 7e-6, 18e-6
# What several kernels in turn take, or a padded one, is an estimate. The kernel for any number of rows is the default
# schedule, which no plan may be worse than, so it gives way only to what promises to be this many times as fast.
SURE = 1.3
# A kernel is left out where no number of rows gets slower by more, or by more than the second in any case.
LOSS, TRIFLE = 0.05, 0.01


@dataclass(frozen=True)
class Costs:
    """What a plan is made of.

    Attributes:
        kernels: seconds of the kernel for each number of rows that there is one for.
        call: seconds that a call takes besides where one kernel does all rows.
        part: seconds that a call of each kernel takes besides where several do.
        pad: seconds that a padded call takes more than another, whatever its rows.
        copy: seconds that a row takes to be copied into a padded array and out of one.
        any: seconds that a kernel for any number of rows takes for each number of them, by that; none beyond its end.
    """

    kernels: Mapping[int, float]
    call: float = CALL_S
    part: float = PART_S
    pad: float = PAD_S
    copy: float = 0.0
    any: Sequence[float] = ()

    def of(self, rows: int) -> float:
        """Seconds of a kernel that is one of several, with its call."""
        return self.kernels[rows] + self.part


@dataclass(frozen=True)
class Range:
    """For every number of rows from ``first`` to ``last``: the kernels to run, by their rows, in order.

    Each takes the rows after those of the one before; the last one takes what is left and, where that is less than it
    has, begins earlier, or runs padded where there are fewer rows altogether. Without any, the kernel for any number of
    rows does them all.
    """

    first: int
    last: int
    run: tuple[int, ...]


class Plans:
    """The best plan for each number of rows from 1 to ``most``.

    Raises:
        ValueError: no kernel, or one that has no rows or takes no time.
    """

    def __init__(self, costs: Costs, most: int) -> None:
        if not costs.kernels or most < 1:
            raise ValueError("a plan needs a kernel and rows")
        if any(rows < 1 or not seconds > 0 for rows, seconds in costs.kernels.items()):
            raise ValueError("kernels have rows and take time")
        self.costs, self.most = costs, most
        self.seconds, self._runs = _cheapest(costs, most)

    def run(self, rows: int) -> tuple[int, ...]:
        """The kernels for so many rows, the largest first; none where that for any number of rows does them."""
        return self._runs[rows]

    def ranges(self) -> tuple[Range, ...]:
        """All plans, numbers of rows with the same kernels together."""
        found: list[Range] = []
        for rows in range(1, self.most + 1):
            if found and found[-1].run == self.run(rows):
                found[-1] = Range(found[-1].first, rows, found[-1].run)
            else:
                found.append(Range(rows, rows, self.run(rows)))
        return tuple(found)

    @property
    def used(self) -> set[int]:
        """Rows of the kernels that some plan has."""
        return {rows for run in self._runs[1:] for rows in run}


def _cheapest(costs: Costs, most: int) -> tuple[list[float], list[tuple[int, ...]]]:
    """Seconds and kernels for each number of rows up to ``most``; the entries of 0 rows are empty.

    While no more rows come than the next larger kernel has, the same kernels fit: for each such stretch the least cost
    of covering so many rows or more, one kernel after the other.
    """
    sizes = sorted(costs.kernels)
    seconds, runs = [0.0] * (most + 1), [()] * (most + 1)  # type: list[float], list[tuple[int, ...]]
    for at, end in enumerate([*(min(size, most + 1) for size in sizes), most + 1]):
        begin = sizes[at - 1] if at else 1
        if begin >= end:
            continue
        covered, last = _cover(costs, sizes[:at], end - 1)
        padded = min(sizes[at:], key=costs.of, default=None)
        for rows in range(begin, end):
            seconds[rows] = covered[rows]
            alone = float("inf") if padded is None else costs.of(padded) + costs.pad + rows * costs.copy
            if padded is not None and alone < seconds[rows]:
                seconds[rows], runs[rows] = alone, (padded,)
                continue
            run, left = [], rows
            while left > 0:
                run.append(last[left])
                left -= last[left]
            runs[rows] = tuple(sorted(run, reverse=True))
    for rows, own in costs.kernels.items():
        if rows <= most and own + costs.call < seconds[rows]:
            seconds[rows], runs[rows] = own + costs.call, (rows,)
    for rows, own in enumerate(costs.any[1 : most + 1], 1):
        if own + costs.call < seconds[rows] * (1.0 if runs[rows] == (rows,) else SURE):
            seconds[rows], runs[rows] = own + costs.call, ()
    return seconds, runs


def _cover(costs: Costs, sizes: Sequence[int], most: int) -> tuple[list[float], list[int]]:
    """For each number of rows: the least seconds to cover it with kernels of these sizes, and a kernel that does."""
    each = [(size, costs.of(size)) for size in sizes]
    covered, last = [0.0] + [float("inf")] * most, [0] * (most + 1)
    for rows in range(1, most + 1):
        for size, seconds in each:
            total = seconds + (covered[rows - size] if rows > size else 0.0)
            if total < covered[rows]:
                covered[rows], last[rows] = total, size
    return covered, last


def chosen(costs: Costs, most: int, budget: int, default: Mapping[int, float]) -> dict[int, float]:
    """The kernels that are worth their place, at most ``budget`` of them.

    One is left out where plans without it are nearly as good: no number of rows takes ``LOSS`` longer than with all of
    them, or, where that would be longer than the default schedule for just these rows, ``TRIFLE``. Where more remain
    than the budget, those go that are missed least.

    Args:
        default: seconds of the default schedule at some numbers of rows; between them it is interpolated.
    """
    full = Plans(costs, most)
    usual = interpolated(default, most) if default else [float("inf")] * (most + 1)
    limits = [
        max((1 + TRIFLE) * best, min((1 + LOSS) * best, plain + costs.call))
        for best, plain in zip(full.seconds, usual, strict=True)
    ]
    kept = {rows: costs.kernels[rows] for rows in sorted(full.used or costs.kernels)}

    def without(rows: int) -> Plans:
        fewer = {size: seconds for size, seconds in kept.items() if size != rows}
        return Plans(replace(costs, kernels=fewer), most)

    def missed(plans: Plans) -> float:
        """The worst of all numbers of rows: seconds over what they were with every kernel."""
        return max(now / best for now, best in zip(plans.seconds[1:], full.seconds[1:], strict=True))

    losses = {rows: missed(without(rows)) for rows in kept} if len(kept) > 1 else {}
    for rows in sorted(losses, key=lambda rows: (losses[rows], rows)):
        plans = without(rows) if len(kept) > 1 else None
        if plans is not None and all(now <= limit for now, limit in zip(plans.seconds, limits, strict=True)):
            del kept[rows]
    while len(kept) > budget:
        del kept[min(kept, key=lambda rows: missed(without(rows)))]
    return kept


def wanted(costs: Costs, most: int, tried: Iterable[int], worth: float = LOSS) -> int | None:
    """The number of rows whose own kernel would gain most over the plan from what there is, None where none would.

    What it would take is interpolated between kernels that were measured.

    Args:
        tried: numbers of rows that were measured, whatever came of it: never wanted again.
        worth: what it must gain at least, a fraction of its time.
    """
    plans, own = Plans(costs, most), interpolated(costs.kernels, most)
    done, best, found = set(tried), 1 + worth, None
    for rows in range(1, most + 1):
        gain = plans.seconds[rows] / (own[rows] + costs.call)
        if gain > best and rows not in done:
            best, found = gain, rows
    return found


def interpolated(seconds: Mapping[int, float], most: int) -> list[float]:
    """Seconds at each number of rows up to ``most``, on straight lines between those given; the entry of 0 is 0.

    Before the first, time falls as rows do, to half of it at most; beyond the last it grows as they do.
    """
    points = sorted(seconds)
    found = [0.0] * (most + 1)
    for rows in range(1, most + 1):
        at = bisect_left(points, rows)
        if at < len(points) and points[at] == rows:
            found[rows] = seconds[rows]
        elif at == len(points):
            found[rows] = seconds[points[-1]] * rows / points[-1]
        elif at == 0:
            found[rows] = seconds[points[0]] * max(0.5, rows / points[0])
        else:
            (low, high), share = points[at - 1 : at + 1], (rows - points[at - 1]) / (points[at] - points[at - 1])
            found[rows] = (1 - share) * seconds[low] + share * seconds[high]
    return found
