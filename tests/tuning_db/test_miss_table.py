"""Misses in a database: told again is told once, told by several adds up, and what is tuned waits no longer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tuning_db.example import TOOLCHAIN, add, fill
from tuning_db.misses import KEPT_S, TOLD, TUNED, Missed
from tuning_db.reasons import Refused
from tuning_db.store import Store

CHIP, OTHER = "c" + "1" * 24, "c" + "2" * 24
NOW = 1.75e9
SOURCES = st.sampled_from(["0" * 32, "1" * 32])


def missed(n: int, count: int = 1, target: str = CHIP) -> Missed:
    return Missed(f"w{n:024x}", "linear", {"m": n}, target, count)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A database for many examples, emptied by each."""
    with Store.open(tmp_path_factory.mktemp("misses") / "headstart.db") as made:
        yield made


@given(st.lists(st.tuples(SOURCES, st.integers(1, 3), st.integers(1, 50)), max_size=12))
def test_the_most_that_each_source_told_is_what_counts(one: Store, told: list[tuple[str, int, int]]) -> None:
    one.execute("DELETE FROM miss")
    for source, n, count in told:
        one.tell_misses(source, [missed(n, count)], NOW)
    most: dict[tuple[int, str], int] = {}
    for source, n, count in told:
        most[n, source] = max(count, most.get((n, source), 0))
    wanted = {n: sum(count for (other, _), count in most.items() if other == n) for n, _ in most}
    found = one.misses()
    assert {each.params["m"]: each.count for each in found} == wanted
    assert [each.count for each in found] == sorted(wanted.values(), reverse=True)


def test_who_told_on_which_chip_and_how_many(store: Store) -> None:
    store.tell_misses("0" * 32, [missed(1, 5), missed(2, 9), missed(1, 3, OTHER)], NOW)
    store.tell_misses("0" * 32, [missed(1, 50)], NOW, account="acme")
    assert [each.count for each in store.misses()] == [55, 9, 3]
    assert store.misses("acme") == [missed(1, 50)]
    assert store.misses(target=OTHER) == [missed(1, 3, OTHER)]
    assert store.misses(target=CHIP, most=1) == [missed(1, 55)]
    assert (store.missed_workloads(CHIP), store.kept_misses("acme"), store.kept_misses("")) == (2, 1, 3)
    # Of one id, what is said to be another operator is another thing.
    store.tell_misses("1" * 32, [Missed(missed(1).workload, "rmsnorm", {}, CHIP, 1000)], NOW)
    assert [each.count for each in store.misses(target=CHIP)] == [1000, 55, 9]


def test_an_account_has_so_many_and_all_of_a_file_or_nothing_is_kept(store: Store) -> None:
    store.tell_misses("0" * 32, [missed(1), missed(2)], NOW, "acme", most=3)
    with pytest.raises(Refused, match="3 misses are kept of an account, and these would make 4"):
        store.tell_misses("1" * 32, [missed(3), missed(4)], NOW, "acme", most=3)
    assert store.kept_misses("acme") == 2
    store.tell_misses("1" * 32, [missed(3)], NOW, "acme", most=3)
    # What was not told again for long makes room.
    store.tell_misses("0" * 32, [missed(1)], NOW + KEPT_S, "acme", most=3)
    store.tell_misses("2" * 32, [missed(5), missed(6)], NOW + KEPT_S + 1, "acme", most=3)
    assert {each.params["m"] for each in store.misses()} == {1, 5, 6}


def test_what_was_fetched_takes_the_place_of_what_was_fetched_before(store: Store) -> None:
    store.tell_misses("0" * 32, [missed(1, 5)], NOW)
    store.replace_misses("https://a.example", [missed(1, 70), missed(2, 3)], NOW)
    store.replace_misses("https://a.example", [missed(1, 8)], NOW)
    assert store.misses() == [missed(1, 13)]


def test_a_miss_waits_until_enough_was_tried(store: Store) -> None:
    (key,) = fill(store)
    store.tell_misses("0" * 32, [Missed(key.workload, "linear", {}, key.target, 2), missed(1, 1, key.target)], NOW)
    for n in range(TUNED - 1):
        add(store, key, n, 1e-3, crown=not n)
    assert store.missed_workloads(key.target, TOOLCHAIN.id) == 2
    add(store, key, TUNED, None)
    assert store.misses(target=key.target, untuned=TOOLCHAIN.id) == [missed(1, 1, key.target)]
    assert store.missed_workloads(key.target, TOOLCHAIN.id) == 1
    # With other tools it is to be tuned again, and it was missed all the same.
    assert store.missed_workloads(key.target, "x0") == 2 == len(store.misses(target=key.target))


VALUES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=70) | st.lists(st.none())
)
WIRE = {"source": "0" * 32, "misses": [missed(1).to_json()]}


@given(st.sampled_from(["source", "workload", "operator", "params", "target", "count", "m"]), VALUES)
def test_what_is_told_is_read_strictly(one: Store, field: str, value: object) -> None:
    entry = missed(1).to_json()
    given = {**WIRE, "misses": [entry]}
    place = given if field == "source" else entry["params"] if field == "m" else entry
    place[field] = value
    try:
        (found,) = TOLD(given)["misses"]
    except ValueError as error:
        assert "\n" not in str(error)
    else:
        # A database keeps it and gives it back.
        one.execute("DELETE FROM miss")
        one.tell_misses(given["source"], [Missed(**found)], NOW)
        assert one.misses() == [Missed(**found)]
