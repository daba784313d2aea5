"""Selections of a repository: what anybody may know of at a moment, and nothing of what is still to be launched."""

from __future__ import annotations

from typing import Any

import pytest

from schedules.schedule import Schedule
from targets.errors import InputError
from tests.tuning_db.example import POLICY, TARGET, TOOLCHAIN, add
from tests.tuning_db.publishing import BUNDLE, bundled, populate, present
from tests.tuning_db.race import EARLY, LATE, LAUNCH, START, Race, hold
from tests.tuning_db.selecting import STEP
from tuning_db.published import Address
from tuning_db.records import Key, Status, Trial
from tuning_db.releases import DAY, Rules
from tuning_db.repository.selections import basis, selections
from tuning_db.repository.uploading import remaining
from tuning_db.selection import Selection
from tuning_db.store import Store
from tuning_db.windows import PUBLIC


@pytest.fixture
def race(store: Store) -> Race:
    """A race whose release has a model at a whole step, of workloads of its own and of one that is public."""
    race = hold(store)
    store.add_model("open", "lab", STEP, [_op(race.shared.workload)], used=START)
    model = {
        "name": "secret",
        "source": "lab",
        "step": STEP,
        "ops": [_op(one.workload) for one in (*race.keys, race.shared)],
    }
    release = store.add_release("v6", race.lab, LAUNCH, Rules(), [model], START + 1)
    store.invite(release, race.early, EARLY)
    return Race(**{**vars(race), "release": release})


def _op(workload: str, calls: int = 1) -> dict[str, Any]:
    return {"name": f"q{workload[:5]}", "operator": "linear", "params": {}, "calls": calls, "workload": workload}


def seen(store: Store, release: str, now: float) -> dict[str, Selection]:
    """Selections by the model's name."""
    found = {path: Selection.loads(text) for path, text in selections(store, basis(store, release, now)).items()}
    assert all(path == Address.of(one).selection for path, one in found.items())
    assert len({one.model for one in found.values()}) == len(found)
    return {one.model: one for one in found.values()}


def tiers(selection: Selection) -> dict[str, list[str]]:
    """Tiers of the candidates, by workload, of those that have any."""
    return {one.workload: [c.tier for c in one.candidates] for one in selection.kernels if one.candidates}


def test_claims_of_a_release_are_in_none_before_its_launch(race: Race) -> None:
    race.submit(race.early, 1e-3, EARLY, race.shared)
    race.submit(race.early, 1e-3, EARLY, race.key)
    # A trial of this file, of what everybody knows, brings a selection of the public model and of no hidden one.
    before = add(race.store, race.shared, 5, 2e-3, crown=True)
    add(race.store, race.key, 6, 2e-3, crown=True)
    for now in (EARLY, LAUNCH - 1e-3):
        assert seen(race.store, race.release.id, now) == {}
        public = seen(race.store, PUBLIC, now)
        assert set(public) == {"open"}
        assert tiers(public["open"]) == {race.shared.workload: ["measured"]}
    for release in (PUBLIC, race.release.id):
        found = seen(race.store, release, LAUNCH)
        assert tiers(found["secret"]) == {
            race.shared.workload: ["claimed", "measured"],
            race.key.workload: ["claimed", "measured"],
        }
        assert ("open" in found) == (release == PUBLIC)
    assert found["secret"].kernels[-1].candidates[1].trial == before.id


def test_a_release_that_is_not_launched_has_none_of_models_that_are(race: Race) -> None:
    model = {"name": "twice", "source": "lab", "step": STEP, "ops": [_op(race.shared.workload), _op(race.key.workload)]}
    first = race.store.add_release("v7", race.lab, LATE, Rules(), [model], START + 2)
    second = race.store.add_release("v8", race.lab, LAUNCH + DAY, Rules(), [model], START + 3)
    add(race.store, race.shared, 5, 2e-3, crown=True)
    assert set(seen(race.store, first.id, LATE)) == {"twice"}
    assert seen(race.store, second.id, LATE) == {}
    assert set(seen(race.store, second.id, LAUNCH + DAY)) == {"twice"}


def test_who_was_first_keeps_the_name(race: Race) -> None:
    add(race.store, race.shared, 5, 2e-3, crown=True)
    model = {
        "name": "open",
        "source": "thief",
        "step": STEP,
        "ops": [_op(race.shared.workload, 9), _op(race.key.workload)],
    }
    thief = race.store.add_release("v7", race.lab, LATE, Rules(), [model], START + 2)
    assert seen(race.store, PUBLIC, LATE)["open"].source == "lab"
    assert seen(race.store, thief.id, LATE)["open"].source == "thief"


def test_each_tier_has_the_fastest_and_its_default(race: Race) -> None:
    race.submit(race.early, 3e-3, EARLY, race.key, 1)
    race.store.invite(race.release, race.late, EARLY)
    fast = race.submit(race.late, 2e-3, EARLY, race.key, 2)
    plan = Schedule("default", 1, {})
    race.store.add_schedule(plan.id, plan.space, plan.version, plan.config)
    for seconds, machine in ((9e-3, "one"), (8e-3, "one"), (1e-3, "two")):
        samples = (seconds,) * 2 + (seconds * 1.1,)
        trial = Trial(race.key, plan.id, Status.OK, samples, seconds, seconds * 0.1, machine=machine, author="me")
        race.store.add_trial(trial)
    own = add(race.store, race.key, 7, 4e-3, crown=True, machine="one", author="me")
    kernel = next(
        one for one in seen(race.store, PUBLIC, LAUNCH)["secret"].kernels if one.workload == race.key.workload
    )
    claimed, measured = kernel.candidates
    assert (claimed.tier, claimed.trial, claimed.default_seconds) == ("claimed", fast, None)
    assert (measured.tier, measured.trial, measured.default_seconds) == ("measured", own.id, 8e-3)


def test_what_changes_selections_changes_what_they_follow_from(race: Race) -> None:
    before = basis(race.store, PUBLIC, LAUNCH).digest
    assert basis(race.store, PUBLIC, LAUNCH + 9).digest == before
    race.submit(race.early, 1e-3, EARLY, race.key)
    hidden = basis(race.store, PUBLIC, LAUNCH - 1).digest
    race.submit(race.early, 9e-4, EARLY, race.key, 1)
    assert basis(race.store, PUBLIC, LAUNCH - 1).digest == hidden
    assert len({before, hidden, basis(race.store, PUBLIC, LAUNCH).digest}) == 3


def test_models_that_can_have_no_path_are_left_out(race: Race) -> None:
    add(race.store, race.shared, 5, 2e-3, crown=True)
    for name, step in (("../root", STEP), ("half", {"phase": "decode"}), ("spaced out", STEP)):
        race.store.add_model(name, "lab", step, [_op(race.shared.workload)], used=LATE)
    assert set(seen(race.store, PUBLIC, LATE)) == {"open"}
    assert Key(race.shared.workload, TARGET.fingerprint, TOOLCHAIN.id, POLICY.id) == race.shared


def test_files_go_with_the_last_bundle_that_has_them(store: Store) -> None:
    populate(store)
    draft = present(store)
    digest, _ = draft.files[BUNDLE]
    blob = store.blob(PUBLIC, digest)
    assert blob
    said = {BUNDLE: b"".join(store.read_blob(PUBLIC, blob)).decode()}
    assert remaining(draft.files, said, []) == draft.files
    assert remaining(draft.files, said, [BUNDLE]) == {}
    for wrong in ({}, {BUNDLE: said[BUNDLE].replace("kernels.so", "kernels.xx")}):
        with pytest.raises(InputError, match="not what was signed"):
            remaining(draft.files, wrong, [])
    with pytest.raises(InputError, match="there is no bundle"):
        remaining(draft.files, said, ["bundles/a/b/c/d/e.json"])
    assert bundled(store, b"x").files == draft.files
