"""Plans for any number of rows: right whatever the kernels are, and never dearer than a simpler plan."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuning_db.row_plan import SURE, Costs, Plans, chosen, interpolated, wanted

seconds = st.floats(1e-6, 1e-2)
kernels = st.dictionaries(st.integers(1, 60), seconds, min_size=1, max_size=6)
some_costs = st.builds(
    Costs, kernels, st.just(1e-6), st.sampled_from([1e-6, 3e-6]), st.just(2e-6), st.sampled_from([0.0, 1e-4])
)
most_rows = st.integers(1, 70)


def price(costs: Costs, rows: int, run: tuple[int, ...]) -> float:
    if run == (rows,):
        return costs.kernels[rows] + costs.call
    padding = costs.pad + rows * costs.copy if rows < run[-1] else 0.0
    return sum(costs.of(size) for size in run) + padding


@given(some_costs, most_rows)
def test_every_row_is_covered_and_at_the_price_that_is_said(costs: Costs, most: int) -> None:
    plans = Plans(costs, most)
    for rows in range(1, most + 1):
        run = plans.run(rows)
        assert sum(run[:-1]) < rows <= sum(run), "each kernel is needed"
        assert set(run) <= set(costs.kernels)
        assert rows >= max(run) or len(run) == 1, "padded only where nothing else runs"
        assert plans.seconds[rows] == pytest.approx(price(costs, rows, run))


@given(some_costs, most_rows)
def test_no_plan_is_dearer_than_one_kernel_again_and_again(costs: Costs, most: int) -> None:
    plans = Plans(costs, most)
    for rows in range(1, most + 1):
        for size in costs.kernels:
            alone = (size,) * -(-rows // size)
            assert plans.seconds[rows] <= price(costs, rows, alone) * (1 + 1e-9)


@given(some_costs, most_rows, st.integers(1, 60), seconds)
def test_one_more_kernel_makes_no_plan_dearer(costs: Costs, most: int, rows: int, own: float) -> None:
    if rows in costs.kernels:
        return
    more = Plans(replace(costs, kernels={**costs.kernels, rows: own}), most)
    for now, before in zip(more.seconds, Plans(costs, most).seconds, strict=True):
        assert now <= before * (1 + 1e-9)


@given(st.dictionaries(st.integers(1, 6), seconds, min_size=1, max_size=3), st.integers(1, 12))
def test_no_combination_is_cheaper(timed: dict[int, float], rows: int) -> None:
    costs = Costs(timed, 1e-6, 2e-6, 1e-6, 5e-7)

    def least(left: int, sizes: list[int]) -> float:
        return min(costs.of(s) + (least(left - s, sizes) if left > s else 0.0) for s in sizes)

    small = [size for size in timed if size <= rows]
    ways = [least(rows, small)] if small else []
    ways += [price(costs, rows, (size,)) for size in timed if size >= rows]
    assert Plans(costs, rows).seconds[rows] == pytest.approx(min(ways))


@given(some_costs, most_rows)
def test_ranges_say_what_the_plans_are(costs: Costs, most: int) -> None:
    plans = Plans(costs, most)
    told = {rows: r.run for r in plans.ranges() for rows in range(r.first, r.last + 1)}
    assert told == {rows: plans.run(rows) for rows in range(1, most + 1)}
    assert sum(r.last - r.first + 1 for r in plans.ranges()) == most


@given(some_costs, most_rows, st.integers(1, 4), kernels)
def test_kernels_that_are_left_out_are_not_missed(
    costs: Costs, most: int, budget: int, default: dict[int, float]
) -> None:
    full, plain = Plans(costs, most).seconds, interpolated(default, most)
    enough = chosen(costs, most, 100, default)
    for rows, now in enumerate(Plans(replace(costs, kernels=enough), most).seconds[1:], 1):
        assert now <= full[rows] * 1.05 * (1 + 1e-9)
        # What was better than the default still is, but for a trifle.
        assert now <= max(full[rows] * 1.01, plain[rows] + costs.call) * (1 + 1e-9)
    few = chosen(costs, most, budget, default)
    assert 1 <= len(few) <= budget and few.items() <= costs.kernels.items()


def test_what_a_plan_looks_like() -> None:
    costs = Costs({1: 10e-6, 8: 40e-6, 16: 60e-6}, 1e-6, 1e-6, 0.0, 1e-7)
    plans = Plans(costs, 33)
    assert [plans.run(rows) for rows in (1, 2, 5, 8, 9, 16, 17, 24, 25, 33)] == [
        (1,), (1, 1), (8,), (8,), (8, 1), (16,), (16, 1), (16, 8), (16, 8, 1), (16, 16, 1),
    ]  # fmt: skip
    # Three rows are a padded kernel of 8 before they are three of 1; of twenty, four are computed twice.
    assert plans.run(4) == (8,) and plans.run(20) == (16, 8)


def test_the_kernel_that_is_wanted_most_is_where_the_plan_loses_most() -> None:
    costs = Costs({1: 10e-6, 100: 100e-6}, 0.0, 0.0, 0.0, 0.0)
    # Ten times the kernel of one row is as bad as the padded one of a hundred; a kernel of its own would take 18 us.
    assert wanted(costs, 100, costs.kernels) == 10
    assert wanted(costs, 100, [1, 10, 100]) != 10
    assert wanted(Costs({rows: rows * 1e-6 for rows in range(1, 9)}), 8, range(1, 9)) is None


def test_between_and_beyond_what_was_measured() -> None:
    found = interpolated({4: 4.0, 8: 6.0}, 12)
    assert found == [0, 2, 2, 3, 4, 4.5, 5, 5.5, 6, 6.75, 7.5, 8.25, 9]


@given(some_costs, most_rows, st.lists(seconds, max_size=80))
def test_a_kernel_for_any_number_of_rows_runs_where_it_is_cheaper(costs: Costs, most: int, own: list[float]) -> None:
    before, plans = Plans(costs, most), Plans(replace(costs, any=[0.0, *own]), most)
    for rows in range(1, most + 1):
        alone = own[rows - 1] + costs.call if rows <= len(own) else float("inf")
        # What one kernel takes was measured, what several take is an estimate.
        wins = alone < before.seconds[rows] * (1 if before.run(rows) == (rows,) else SURE)
        assert plans.seconds[rows] == (alone if wins else before.seconds[rows])
        assert plans.run(rows) == (() if wins else before.run(rows))


@pytest.mark.parametrize("bad", [{}, {0: 1.0}, {4: 0.0}, {4: float("nan")}])
def test_what_is_no_kernel_is_refused(bad: dict[int, float]) -> None:
    with pytest.raises(ValueError):
        Plans(Costs(bad), 8)
