"""A vendor's trials out of a database."""

from __future__ import annotations

import pytest

import tuning_db.collect
from schedules.schedule import Schedule
from targets.errors import InputError
from tests.tuning_db.example import POLICY, TARGET, TOOLCHAIN, add, fill, schedule, trial
from tuning_db.batch import read_batch
from tuning_db.collect import batches_of
from tuning_db.screening import MAX_PER_KEY
from tuning_db.store import Store


def test_champions(full: Store) -> None:
    (batch,) = batches_of(full, "acme", "r1")
    assert (batch.vendor, batch.release) == ("acme", "r1")
    assert {claim.id for claim in batch.claims} and len(batch.claims) == 2
    champion = full.champion(next(full.trials()).key)
    assert champion is not None
    claim = next(claim for claim in batch.claims if claim.key == champion.key)
    assert (claim.samples, claim.median, claim.spread) == (champion.samples, champion.median, champion.spread)
    assert (claim.target, claim.toolchain, claim.policy) == (TARGET, TOOLCHAIN, POLICY)
    assert claim.schedule == schedule(3)
    assert claim.evidence == {"ratios": [2.0, 1.9]}
    assert read_batch(batch.dumps()) == batch


def test_every_trial_that_counts(full: Store) -> None:
    key = next(full.trials()).key
    add(full, key, 4, 3e-3)
    add(full, key, 4, 2.5e-3)
    short = schedule(5)
    with full.transaction():
        full.add_schedule(short.id, short.space, short.version, short.config)
        full.add_trial(trial(key, 5, None))
    (batch,) = batches_of(full, "acme", workloads=[key.workload[:10]], every=True)
    assert [claim.median for claim in batch.claims] == [1e-3, 2e-3, 2.5e-3]


def test_only_some(full: Store) -> None:
    first, second = (row["workload"] for row in full.champions())
    assert [c.workload for c in batches_of(full, "acme", workloads=[first])[0].claims] == [first]
    model = full.model("tiny")
    assert {c.workload for c in batches_of(full, "acme", model="tiny")[0].claims} <= {
        op["workload"] for op in model["ops"]
    }
    assert len(batches_of(full, "acme", target="example")[0].claims) == 2
    outside = next(id for id in (first, second) if id not in {op["workload"] for op in model["ops"]})
    assert batches_of(full, "acme", model="tiny", workloads=[outside]) == []


@pytest.mark.parametrize("given", [{"model": "none"}, {"workloads": ["w_"]}, {"target": "none"}])
def test_what_is_not_there(full: Store, given: dict[str, object]) -> None:
    with pytest.raises(InputError, match="no "):
        batches_of(full, "acme", **given)  # type: ignore[arg-type]


def test_nothing_to_send(store: Store) -> None:
    fill(store)
    assert batches_of(store, "acme") == batches_of(store, "acme", every=True) == []


def test_as_many_batches_as_it_takes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = fill(store, 3)
    with store.transaction():
        for key in keys:
            for knob in range(MAX_PER_KEY + 2):
                add(store, key, knob, 1e-3 + knob * 1e-6)
    (one,) = batches_of(store, "acme", every=True)
    assert len(one.claims) == 3 * MAX_PER_KEY
    monkeypatch.setattr(tuning_db.collect, "MAX_TRIALS", 60)
    several = batches_of(store, "acme", every=True)
    assert [claim for batch in several for claim in batch.claims] == list(one.claims)
    assert all(len(batch.claims) <= 60 for batch in several)
    assert len({batch.nonce for batch in several}) == len(several)
    monkeypatch.setattr(tuning_db.collect, "MAX_BYTES", 10_000)
    assert all(len(batch.dumps()) <= 10_000 for batch in batches_of(store, "acme", every=True))


def test_names_that_machines_have(store: Store) -> None:
    (key,) = fill(store)
    add(
        store,
        key,
        1,
        crown=True,
        machine="Bücher-" + "x" * 200,
        evidence={"disturbed": ["by cc1plus"], "settled": True},
    )
    (batch,) = batches_of(store, "acme")
    assert batch.claims[0].machine.startswith(r"B\xfccher-xxx") and len(batch.claims[0].machine) == 100
    assert batch.claims[0].evidence == {"settled": True}
    assert batch.claims[0].schedule == Schedule(*store.schedule(schedule(1).id))
