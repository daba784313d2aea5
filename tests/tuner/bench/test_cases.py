"""Names of workloads, and what else can be compared on."""

from __future__ import annotations

from pathlib import Path

import pytest

from schedules.operator import make_operator
from schedules.operators.linear import Linear
from schedules.workload import Workload
from targets.errors import InputError
from tuner.bench.cases import select, suites
from tuner.frontend.stored import store_workload
from tuning_db.store import Store


def test_every_named_workload_exists_and_names_are_unique() -> None:
    named: dict[str, tuple[str, dict]] = {}
    for cases in suites().values():
        for case in cases:
            make_operator(case.operator, dict(case.params))
            assert named.setdefault(case.name, (case.operator, dict(case.params))) == (case.operator, case.params)
    assert next(iter(suites())) == "quick" and len(suites()["quick"]) < 6


def test_suites_and_names() -> None:
    assert select(["decode", "rmsnorm-t16"], None, None) == [*suites()["decode"], suites()["small"][0]]
    assert {case.cache for case in select(["decode"], None, "warm")} == {"warm"}


def test_an_operator_with_parameters() -> None:
    (one,) = select(["linear", "m=1", "n=8", "k=16"], None, None)
    assert one.workload == Workload.of(Linear(1, 8, 16)) and one.cache == "cold"
    assert select(["linear:m=1,n=8,k=16"], None, None)[0].workload == one.workload


def test_an_id_of_a_database(tmp_path: Path) -> None:
    with Store.open(tmp_path / "x.db") as store:
        workload = Workload.of(Linear(3, 8, 16))
        store_workload(store, workload)
        assert select([workload.id[:8]], store, None)[0].workload == workload


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nothing"], "'nothing' is no suite"),
        (["m=1"], "m=1 stands for nothing"),
        (["linear", "m=1", "z=2"], "'z=2' is not a parameter"),
        (["linear", "m=1"], "takes m, n, k"),
        (["w123"], "no id in a database"),
    ],
)
def test_words_that_stand_for_nothing(words: list[str], told: str) -> None:
    with pytest.raises(InputError, match=told):
        select(words, None, None)
