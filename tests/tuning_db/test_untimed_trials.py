"""Trials on what stood in for a chip: kept, right or wrong, and never in the way of one that was timed."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest

from tests.tuning_db.example import add, fill, schedule, trial
from tuning_db.check import check
from tuning_db.collect import batches_of
from tuning_db.exchange import export, import_lines
from tuning_db.records import Key, Status, Trial
from tuning_db.rules import trial_problem
from tuning_db.store import Store


def untimed(key: Key, knob: int = 0) -> Trial:
    """A right trial without a time."""
    evidence = {"untimed": "emulated:0"}
    return Trial(key, schedule(knob).id, Status.OK, build_s=0.1, evidence=evidence)


def keep(store: Store, made: Trial, knob: int = 0, crown: bool = True) -> Trial:
    plan = schedule(knob)
    store.add_schedule(plan.id, plan.space, plan.version, plan.config)
    store.add_trial(made, crown)
    return made


def test_an_untimed_trial_has_no_samples_and_says_why(store: Store) -> None:
    key = fill(store)[0]
    assert trial_problem(untimed(key)) is None
    assert trial_problem(replace(untimed(key), evidence={})) == "status ok without samples"
    timed = replace(trial(key), evidence={"untimed": "emulated:0"})
    assert trial_problem(timed) == "samples of emulated:0, which stood in for the chip"


def test_it_is_champion_until_one_was_timed_and_never_again(store: Store) -> None:
    key = fill(store)[0]
    first = keep(store, untimed(key))
    assert store.champion(key) == first and store.champions()[0]["median"] is None
    second = keep(store, untimed(key, 1), 1)
    assert store.champion(key) == second
    slow = add(store, key, 2, 100.0, crown=True)
    assert store.champion(key) == slow
    with pytest.raises(ValueError, match="does not fall to a trial that was not"):
        keep(store, untimed(key, 3), 3)
    assert store.champion(key) == slow and check(store) == []


@pytest.mark.parametrize("timed_first", [True, False])
def test_in_a_merge_the_timed_one_stays_whichever_way_it_goes(tmp_path: Path, timed_first: bool) -> None:
    with Store.open(tmp_path / "a.db") as ours, Store.open(tmp_path / "b.db") as theirs:
        key = fill(ours)[0]
        fill(theirs)
        timed, other = (ours, theirs) if timed_first else (theirs, ours)
        fast = add(timed, key, 1, 1e-3, crown=True)
        keep(other, untimed(key))
        file = io.BytesIO()
        export(theirs, file)
        file.seek(0)
        import_lines(ours, file, "theirs")
        assert ours.champion(key) == fast and len(list(ours.trials())) == 2


def test_nobody_can_claim_it(store: Store) -> None:
    keep(store, untimed(fill(store)[0]))
    assert batches_of(store, "vendor") == batches_of(store, "vendor", every=True) == []
