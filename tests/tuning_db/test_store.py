"""What goes in comes out; what contradicts itself does not go in."""

from __future__ import annotations

import contextlib
import dataclasses
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from targets.errors import InputError
from tests.tuning_db.example import POLICY, TARGET, TOOLCHAIN, add, fill, schedule, trial
from tuning_db.records import Key, Policy, Status
from tuning_db.store import PAGE, Store


def test_a_trial_comes_out_as_it_went_in(store: Store) -> None:
    key = fill(store)[0]
    first = add(store, key, 1, 1.25e-5, evidence={"ratios": [1.0, 2.5]}, machine="m", author="a", job="j")
    second = add(store, key, 2, None)
    assert store.trial(first.id) == first
    assert list(store.trials()) == [first, second]
    assert store.tried(key) == {first.schedule, second.schedule}
    plan = schedule(1)
    assert store.schedule(plan.id) == tuple(plan.to_json().values())


def test_adding_again_changes_nothing(full: Store) -> None:
    before = list(full.connection.iterdump())
    fill(full, 3)
    plan = schedule(1)
    full.add_schedule(plan.id, "other", 2, {})
    assert list(full.connection.iterdump()) == before


def test_trials_are_chosen_by_what_they_name(store: Store) -> None:
    one, two = fill(store, 2)
    cold = Policy("cold", 2)
    store.add_policy(cold)
    colder = dataclasses.replace(one, policy=cold.id)
    made = [add(store, key, knob) for knob in range(4) for key in (one, two, colder)]
    assert list(store.trials()) == made
    assert list(store.trials(workload=two.workload)) == [t for t in made if t.key == two]
    assert list(store.trials(policy=cold.id)) == [t for t in made if t.key == colder]
    assert list(store.trials(**vars(one))) == [t for t in made if t.key == one]
    assert list(store.trials(target="c0")) == []
    assert list(store.trials(limit=5)) == made[:5]
    assert list(store.trials(limit=0)) == []


def test_trials_are_read_page_by_page_while_others_are_added(store: Store) -> None:
    key = fill(store)[0]
    with store.transaction():
        made = [add(store, key, knob) for knob in range(PAGE + 5)]
    reading = store.trials()
    seen = [next(reading) for _ in range(PAGE)]
    late = add(store, key, PAGE + 5)
    assert [*seen, *reading] == [*made, late]
    assert len(list(store.trials(limit=PAGE + 2))) == PAGE + 2


def test_the_champion_is_the_last_crowned_of_exactly_the_key(store: Store) -> None:
    key, other = fill(store, 2)
    assert store.champion(key) is None
    slow = add(store, key, 1, 2e-3, crown=True)
    add(store, key, 2, 1e-3)
    assert store.champion(key) == slow
    fast = add(store, key, 2, 1e-3, crown=True)
    assert store.champion(key) == fast
    for near in (other, dataclasses.replace(key, policy="p0"), dataclasses.replace(key, toolchain="x0")):
        assert store.champion(near) is None


def test_a_trial_that_failed_is_never_crowned_nor_kept(store: Store) -> None:
    key = fill(store)[0]
    king = add(store, key, 1, crown=True)
    with pytest.raises(ValueError, match="a champion is an ok trial"):
        add(store, key, 2, None, crown=True)
    assert list(store.trials()) == [king]
    assert store.champion(key) == king


def test_nothing_but_an_ok_trial_of_the_key_is_a_champion(store: Store) -> None:
    key, other = fill(store, 2)
    add(store, key, 1, crown=True)
    failed, foreign = add(store, key, 2, None), add(store, other, 1)
    for wrong in (failed.id, foreign.id, "t0"):
        for sql in ("INSERT OR REPLACE INTO champion VALUES (?, ?, ?, ?, ?)",):
            with pytest.raises(sqlite3.IntegrityError, match="champion"):
                store.execute(sql, (*vars(key).values(), wrong))
        with pytest.raises(sqlite3.IntegrityError, match="champion"):
            store.execute("UPDATE champion SET trial = ?", (wrong,))


def test_trials_cannot_be_changed_or_deleted(full: Store) -> None:
    before = list(full.trials())
    row = full.rows("SELECT * FROM trial LIMIT 1")[0]
    replace = f"INSERT OR REPLACE INTO trial VALUES ({', '.join('?' * len(row))})"
    for sql, values in (
        ("UPDATE trial SET median = 1e-9", ()),
        ("DELETE FROM trial", ()),
        ("DELETE FROM trial WHERE status <> 'ok'", ()),
        (replace, tuple({**row, "median": 1e-9}.values())),
    ):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            full.execute(sql, values)
    assert list(full.trials()) == before


WRONG: dict[str, dict[str, Any]] = {
    "no samples": {"samples": (), "median": None, "spread": None},
    "no median": {"median": None},
    "no spread": {"spread": None},
    "zero": {"samples": (0.0,), "median": 0.0, "spread": 0.0},
    "negative": {"samples": (-1.0,), "median": -1.0, "spread": 0.0},
    "nan": {"samples": (float("nan"),), "median": float("nan"), "spread": 0.0},
    "infinite": {"samples": (float("inf"),), "median": float("inf"), "spread": 0.0},
    "other median": {"median": 0.5e-3},
    "wide": {"spread": 1.0},
    "negative spread": {"spread": -1e-5},
    "ok with error": {"error": "why"},
    "failed with samples": {"status": Status.RUN_ERROR, "error": "why"},
    "failed without reason": {"status": Status.TIMEOUT, "samples": (), "median": None, "spread": None},
    "failed with median": {"status": Status.TIMEOUT, "error": "why", "samples": ()},
    "build time": {"build_s": -1.0},
    "endless build": {"build_s": float("inf")},
    "created": {"created": float("nan")},
}


@pytest.mark.parametrize("fields", WRONG.values(), ids=WRONG)
def test_a_trial_that_contradicts_itself_is_refused(store: Store, fields: dict[str, Any]) -> None:
    key = fill(store)[0]
    good = add(store, key, 1)
    with pytest.raises(ValueError, match=r"^trial t"):
        store.add_trial(dataclasses.replace(trial(key, 1), **fields))
    assert list(store.trials()) == [good]


def test_below_floor_keeps_its_samples(store: Store) -> None:
    key = fill(store)[0]
    add(store, key, 1)
    lie = dataclasses.replace(trial(key, 1, 1e-9), status=Status.BELOW_FLOOR, error="faster than memory")
    store.add_trial(lie)
    assert store.trial(lie.id) == lie


def test_rounding_is_no_contradiction(store: Store) -> None:
    key = fill(store)[0]
    add(store, key, 1)
    same = 1.1e-5
    for spread in (1e-21, -1e-21):
        made = dataclasses.replace(trial(key, 1), samples=(same, same, same), median=same, spread=spread)
        store.add_trial(made)
        assert store.trial(made.id) == made


@pytest.mark.parametrize("field", ["workload", "target", "toolchain", "policy"])
def test_a_trial_names_what_is_there(store: Store, field: str) -> None:
    key = fill(store)[0]
    add(store, key, 1)
    with pytest.raises(ValueError, match="FOREIGN KEY"):
        store.add_trial(trial(dataclasses.replace(key, **{field: "x0"}), 1))
    with pytest.raises(ValueError, match="FOREIGN KEY"):
        store.add_trial(trial(key, 2))
    assert len(list(store.trials())) == 1


def test_the_same_id_twice_is_refused(store: Store) -> None:
    key = fill(store)[0]
    made = add(store, key, 1)
    with pytest.raises(ValueError, match="UNIQUE"):
        store.add_trial(dataclasses.replace(made, build_s=9.0))
    assert list(store.trials()) == [made]


def test_what_a_dying_compiler_says_is_kept_as_far_as_it_is_text(store: Store) -> None:
    key = fill(store)[0]
    add(store, key, 1)
    for said, kept in (("a\0b", "a?b"), ("half \ud83d", "half ?"), ("two\nlines Ж", "two\nlines Ж")):
        made = dataclasses.replace(trial(key, 1, None), error=said)
        store.add_trial(made)
        assert store.trial(made.id).error == kept


@settings(max_examples=50, deadline=None)
@given(samples=st.lists(st.floats(1e-9, 1e3), min_size=1, max_size=9), build=st.floats(0, 1e6))
def test_every_float_survives(tmp_path_factory: pytest.TempPathFactory, samples: list[float], build: float) -> None:
    path = tmp_path_factory.getbasetemp() / "floats.db"
    with Store.open(path) as store:
        key = fill(store)[0]
        add(store, key, 1)
        ordered = sorted(samples)
        middle = (ordered[len(ordered) // 2] + ordered[(len(ordered) - 1) // 2]) / 2
        made = dataclasses.replace(
            trial(key, 1), samples=tuple(samples), median=middle, spread=ordered[-1] - ordered[0], build_s=build
        )
        store.add_trial(made)
        assert store.trial(made.id) == made


def test_workloads_by_prefix(store: Store) -> None:
    keys = fill(store, 20)
    ids = sorted(key.workload for key in keys)
    assert store.workload(ids[0])["id"] == ids[0]
    assert store.workload(ids[0])["params"]["k"] == 64
    assert store.workload(ids[0][:-1])["id"] == ids[0]
    with pytest.raises(InputError, match=rf"20 workloads start with 'w': {ids[0]} \(linear .* and 12 more"):
        store.workload("w")
    for unknown in ("w%", "_", "", "'", "zz", ids[0] + "0"):
        with pytest.raises(InputError, match=r"workloads? (''|start)" if unknown == "" else "no workload"):
            store.workload(unknown)
    assert {row["id"] for row in store.workloads()} == set(ids)


def test_targets_by_fingerprint_or_name(store: Store) -> None:
    with pytest.raises(InputError, match="it has none"):
        store.target("example")
    fill(store)
    assert store.target("example")["spec"] == TARGET.spec() | {"features": list(TARGET.features)}
    assert store.target(TARGET.fingerprint)["name"] == "example"
    other = dataclasses.replace(TARGET, cores=4)
    store.add_target(other.fingerprint, other.name, other.vendor, other.spec())
    with pytest.raises(InputError, match=f"2 targets.*{other.fingerprint}"):
        store.target("example")
    with pytest.raises(InputError, match=r"no target 'zen9' .*example"):
        store.target("zen9")


def test_unknown_ids(store: Store) -> None:
    with pytest.raises(InputError, match="no trial t0"):
        store.trial("t0")
    with pytest.raises(InputError, match="no schedule s0"):
        store.schedule("s0")


def test_training_rows(full: Store) -> None:
    rows = list(full.training_rows(kind="llvm"))
    assert [row["median"] for row in rows] == [2e-3, None, 1e-3, 5e-3]
    assert rows[0]["params"] == full.workload(rows[0]["workload"])["params"]
    assert [row["config"]["knob"] for row in rows] == [1, 2, 3, 1]
    assert rows[1]["status"] == "build_error"
    assert all(isinstance(row["evidence"], dict) and isinstance(row["samples"], list) for row in rows)
    assert list(full.training_rows(fingerprints={TARGET.fingerprint})) == rows
    assert list(full.training_rows(newest=1)) == rows[-1:]
    for none in ({"kind": "cuda"}, {"fingerprints": set()}, {"newest": 0}):
        assert list(full.training_rows(**none)) == []  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "call",
    [
        lambda store, key: store.champion(key),
        lambda store, key: store.trial("t0"),
        lambda store, key: store.tried(key),
        lambda store, key: list(store.trials(**vars(key))),
        lambda store, key: store.workload("w0"),
    ],
    ids=["champion", "trial", "tried", "trials", "workload"],
)
def test_lookups_read_by_index(full: Store, call: Any) -> None:
    key = Key("w0", TARGET.fingerprint, TOOLCHAIN.id, POLICY.id)
    asked: list[str] = []
    full.connection.set_trace_callback(asked.append)
    with contextlib.suppress(InputError):
        call(full, key)
    full.connection.set_trace_callback(None)
    plans = [row["detail"] for row in full.rows(f"EXPLAIN QUERY PLAN {asked[0]}")]
    assert plans
    assert all(plan.startswith(("SEARCH", "USE TEMP B-TREE", "CORRELATED")) for plan in plans), plans
    assert not any("PRIMARY KEY (rowid>?)" in plan for plan in plans), plans


def test_a_model_is_the_one_last_used(full: Store) -> None:
    model = full.model("tiny")
    assert model["step"] == {"phase": "decode", "tokens": 16}
    assert [op["name"] for op in model["ops"]] == ["layer.q", "layer.magic", "layer.k"]
    time.sleep(0.002)
    prefill = full.add_model("tiny", "catalogue", {"phase": "prefill", "tokens": 512}, [])
    assert full.model("tiny")["id"] == prefill
    assert full.model("tiny", {"phase": "decode", "tokens": 16}) == model
    assert full.model(model["id"]) == model
    time.sleep(0.002)
    assert full.add_model("tiny", "catalogue", model["step"], model["ops"]) == model["id"]
    assert full.model("tiny")["id"] == model["id"]
    assert [one["id"] for one in full.models()] == sorted([prefill, model["id"]])
    with pytest.raises(InputError, match=r"no model 'huge'.*tiny"):
        full.model("huge")
    with pytest.raises(InputError, match="not at this step"):
        full.model("tiny", {"phase": "idle"})


def test_champions_of_a_model_in_its_order(full: Store) -> None:
    rows = full.champions(model=full.model("tiny")["id"])
    assert [(row["position"], row["name"], row["calls"], row["median"]) for row in rows] == [(0, "layer.q", 61, 1e-3)]
    assert rows[0]["config"] == schedule(3).config
    assert rows[0]["samples"][0] == 1e-3
    assert len(full.champions()) == 2
    assert full.champions(target="c0") == []
    assert [row["median"] for row in full.champions(workload=rows[0]["workload"], policy=POLICY.id)] == [1e-3]


def test_cost_models_the_latest_and_a_few_before(store: Store) -> None:
    assert store.load_cost_model("example", "llvm") is None
    for n in range(6):
        store.save_cost_model("example", "llvm", n, {"n": n}, bytes([n]))
    store.save_cost_model("example", "cuda", 9, {}, b"other")
    latest = store.load_cost_model("example", "llvm")
    assert latest is not None
    assert (latest["blob"], latest["trained_on"], latest["metrics"]) == (b"\5", 5, {"n": 5})
    assert store.value("SELECT count(*) FROM cost_model") == 4


def test_jobs(store: Store) -> None:
    job = store.start_job({"model": "tiny"})
    started = store.jobs()[0]
    assert (started["state"], started["spec"]) == ("running", {"model": "tiny"})
    time.sleep(0.002)
    store.heartbeat(job)
    assert store.jobs()[0]["heartbeat"] > started["heartbeat"]
    store.finish_job(job, "interrupted")
    assert store.jobs()[0]["state"] == "interrupted"
    with pytest.raises(ValueError, match="not lost"):
        store.finish_job(job, "lost")


def test_a_reader_sees_what_a_writer_committed(tmp_path: Path) -> None:
    with Store.open(tmp_path / "x.db") as writer, Store.open(tmp_path / "x.db", read_only=True) as reader:
        key = fill(writer)[0]
        made = add(writer, key, 1, crown=True)
        assert reader.champion(key) == made
