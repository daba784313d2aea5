"""Of what a call was that a bundle has no kernel for: its workload follows from the shapes; an id is not believed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headstart_runtime.misses import Miss, Misses
from schedules.operator import Operator, make_operator, operators
from schedules.workload import Workload
from targets.errors import InputError
from tuner.missed import missed, read_misses, verified, workload_of_miss
from tuning_db.misses import Missed

CHIP = "c" + "0" * 24


def miss_of(operator: Operator, called: Operator) -> Miss:
    """A call with the arrays of one instance where the bundle has another."""
    inputs = tuple((each.dtype, each.shape) for each in Workload.of(called).input_arguments)
    return Miss(operator.name, operator.params(), inputs, CHIP)


@pytest.mark.parametrize("name", [name for name, kind in operators().items() if kind.row_parameter])
def test_another_number_of_rows_is_found(name: str) -> None:
    operator = next(iter(operators()[name].examples()))
    rows = operator.row_parameter
    wanted = make_operator(name, operator.params() | {rows: 3 * operator.params()[rows] + 1})
    assert workload_of_miss(miss_of(operator, wanted)).id == Workload.of(wanted).id


@pytest.mark.parametrize(
    ("name", "params", "changed"),
    [
        ("linear", {"m": 64, "n": 64, "k": 64}, {"m": 48}),
        ("linear", {"m": 64, "n": 64, "k": 64}, {"m": 7, "n": 33, "k": 101}),
        ("linear", {"m": 16, "n": 96, "k": 64}, {"dtype": "bfloat16", "m": 3}),
        ("gqa_attention", {"batch": 3, "queries": 1, "keys": 37, "heads": 6, "kv_heads": 2, "dim": 16}, {"keys": 96}),
    ],
)
def test_other_sizes_and_types_are_found(name: str, params: dict[str, Any], changed: dict[str, Any]) -> None:
    wanted = make_operator(name, params | changed)
    assert workload_of_miss(miss_of(make_operator(name, params), wanted)).id == Workload.of(wanted).id


def test_a_shape_that_the_bundle_has_is_of_what_it_has() -> None:
    operator = make_operator("linear", {"m": 4, "n": 8, "k": 8})
    assert workload_of_miss(miss_of(operator, operator)).id == Workload.of(operator).id


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"operator": "splendid"}, "unknown operator"),
        ({"operator": "primfunc"}, "unknown operator"),
        ({"params": {"m": 1}}, "takes m, n, k"),
        ({"params": {"m": -1, "n": 8, "k": 8}}, "must be a positive int"),
        ({"inputs": (("float32", (4, 8)),)}, "no linear like 4x8x8 fp32 takes float32[4, 8]"),
        ({"inputs": (("float32", (4, 8)), ("float32", (8, 9)))}, "takes"),
        ({"inputs": (("float32", (0, 8)), ("float32", (8, 8)))}, "takes"),
        ({"inputs": (("splendid", (4, 8)), ("float32", (8, 8)))}, "takes splendid"),
        ({"inputs": (("float32", ()), ("float32", ()))}, "takes"),
    ],
)
def test_what_is_a_shape_of_nothing_is_refused(change: dict[str, Any], said: str) -> None:
    operator = make_operator("linear", {"m": 4, "n": 8, "k": 8})
    with pytest.raises(InputError) as refused:
        workload_of_miss(replace(miss_of(operator, operator), **change))
    assert said in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("name", operators())
def test_sizes_that_are_absurd_are_refused_or_made(name: str) -> None:
    """Quickly, and without the memory that they speak of."""
    operator = next(iter(operators()[name].examples()))
    huge = {key: 2**31 if type(value) is int and value > 1 else value for key, value in operator.params().items()}
    try:
        found = workload_of_miss(Miss(name, huge, (("float32", (2**40, 3)),), CHIP))
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert found.operator == name


def test_a_file_comes_to_workloads_and_says_what_is_left_out(tmp_path: Path) -> None:
    counter, said = Misses(), list[str]()
    operator, other = (make_operator("linear", {"m": m, "n": 8, "k": 8}) for m in (4, 6))
    wanted = make_operator("linear", {"m": 5, "n": 8, "k": 8})
    counter.add(miss_of(operator, wanted), 2)
    counter.add(miss_of(other, wanted), 3)
    counter.add(miss_of(operator, other), 1)
    counter.add(replace(miss_of(operator, other), operator="splendid"), 9)
    counter.write(tmp_path / "misses.json")
    found = missed(read_misses(tmp_path / "misses.json"), said.append)
    assert [(each.params["m"], each.count) for each in found] == [(5, 5), (6, 1)]
    assert [verified(each).id for each in found] == [Workload.of(wanted).id, Workload.of(other).id]
    (line,) = said
    assert line.startswith("left out, a miss of splendid, 9 times: unknown operator 'splendid'")
    for path, why in ((tmp_path / "none", "cannot read"), (Path(__file__), "is no file of misses: it is not JSON")):
        with pytest.raises(InputError, match=why):
            read_misses(path)


def test_an_id_that_is_another_is_not_believed() -> None:
    with pytest.raises(InputError, match=r"linear 4x8x8 fp32 is w[0-9a-f]{24}, and not w0{24}"):
        verified(Missed("w" + "0" * 24, "linear", {"m": 4, "n": 8, "k": 8}, CHIP, 1))
