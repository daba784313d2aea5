"""What is said of workloads and chips in one release is not told in another."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import pytest

from targets.digest import digest
from targets.errors import InputError
from tests.tuning_db.claims import CHIP
from tests.tuning_db.example import TARGET, add, fill, schedule, trial
from tests.tuning_db.race import EARLY, LATE, LAUNCH, START, Race
from tuning_db.claim import Claim
from tuning_db.exchange import export
from tuning_db.releases import DAY, Release, Rules
from tuning_db.store import Store
from tuning_db.windows import PUBLIC, Viewer


def words(label: str, flops: int, text: str = "told twice") -> dict[str, Any]:
    return {"operator": "linear", "label": label, "params": {}, "canonical": text, "flops": flops, "bytes": 64}


def released(store: Store, name: str, launch: float, said: dict[str, Any]) -> Release:
    """A release of one workload, by a publisher of that name."""
    lab = store.add_account(f"lab-{name}", "publisher", START)
    op = {"name": name, "operator": "linear", "params": {}, "calls": 1, "workload": digest("w", said["canonical"])}
    model = {"name": name, "source": "lab", "step": {}, "ops": [op]}
    return store.add_release(name, lab, launch, Rules(), [model], START, [said])


def exported(store: Store, now: float) -> dict[str, dict[str, Any]]:
    file = io.BytesIO()
    export(store, file, now)
    lines = [json.loads(line) for line in file.getvalue().splitlines()]
    return {line.get("id", line.get("fingerprint")): line for line in lines if line["kind"] in ("workload", "target")}


def test_each_release_has_the_words_of_its_publisher(store: Store) -> None:
    id = digest("w", "told twice")
    secret = released(store, "secret", LAUNCH + DAY, words("a secret", 1))
    other = released(store, "other", LAUNCH, words("mine", 2))
    for release, flops in ((secret, 1), (other, 2)):
        said = store.said(release.id, id, START)
        assert said is not None and said["flops"] == flops
    # For everybody it is what is public, whoever said something first.
    public = store.said(PUBLIC, id, LAUNCH)
    assert public is not None and (public["label"], public["flops"]) == ("mine", 2)
    assert exported(store, LAUNCH)[id]["label"] == "mine"
    store.add_workload(id, **words("measured here", 3))
    assert store.workload(id)["label"] == "measured here"
    assert store.said(secret.id, id, START) == {**said_of(words("a secret", 1))}


def said_of(whole: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in whole.items() if name != "canonical"}


def test_what_the_database_knows_itself_counts_for_everybody(store: Store) -> None:
    (key,) = fill(store)
    released(store, "late", LAUNCH, words("theirs", 9, "computation 0"))
    said = store.said(PUBLIC, key.workload, START)
    assert said is not None and said["flops"] == 0
    assert store.workload(key.workload)["label"] == "16x0x64 fp32"
    assert store.said(PUBLIC, "w0", START) is None


def test_a_workload_of_no_model_is_not_taken(store: Store) -> None:
    lab = store.add_account("lab", "publisher", START)
    model = {"name": "m", "source": "lab", "step": {}, "ops": []}
    with pytest.raises(InputError, match=r"workload 1 .* is in none of the models"):
        store.add_release("r", lab, LAUNCH, Rules(), [model], START, [words("stray", 1)])
    assert store.workloads() == []


def test_a_chip_is_called_by_what_may_be_known_of_it(race: Race) -> None:
    store, chip = race.store, CHIP.fingerprint
    for vendor, name, at in (("early", "secret-x1", EARLY), ("late", "plain", LATE)):
        account = getattr(race, vendor)
        store.declare(race.release.id, account.id, replace(CHIP, name=name))
        store.declare(race.release.id, account.id, replace(CHIP, name="another"))
        add_claim(race, account.id, chip, at)
    assert store.target(chip)["name"] == chip
    assert "secret" not in json.dumps(store.target(chip))

    def called(viewer: Viewer) -> list[str]:
        return [target.name for target in store.declared(viewer, race.release.id).get(chip, [])]

    assert called(Viewer(LATE, race.early.id)) == ["secret-x1"]
    assert called(Viewer(LATE, race.late.id)) == ["plain"]
    assert called(Viewer(LATE, race.lab.id)) == ["secret-x1", "plain"]
    assert called(Viewer(LATE, race.uninvited.id)) == called(Viewer(LAUNCH - 1)) == []
    assert called(Viewer(LAUNCH)) == ["secret-x1", "plain"]
    assert [store.knows_target(chip, now) for now in (LATE, LAUNCH)] == [False, True]
    assert [store.knows_target(of, LATE) for of in (TARGET.fingerprint, "c0")] == [True, False]
    store.add_target(chip, CHIP.name, CHIP.vendor, CHIP.spec())
    assert store.target(chip)["name"] == CHIP.name
    assert store.knows_target(chip, LATE)


def add_claim(race: Race, vendor: str, chip: str, at: float) -> None:
    key = replace(race.key, target=chip)
    made, plan = trial(key, 1), schedule(1)
    race.store.add_schedule(plan.id, plan.space, plan.version, plan.config)
    race.store.add_claim(Claim(made, race.release.id, vendor, "b0", at))


def test_no_search_makes_use_of_claims_to_come(race: Race) -> None:
    store = race.store
    own = add(store, race.shared, 1, 2e-3)
    of_release = add(store, race.key, 1, 2e-3)
    claims = [race.submit(race.early, 1e-3, EARLY, key, 2) for key in (race.shared, race.key)]
    public = race.submit(race.uninvited, 1e-3, LATE, race.shared, 3, release=PUBLIC)
    for now, wanted in (
        (LAUNCH - 1, [own.id, public]),
        (LAUNCH, [own.id, of_release.id, *claims, public]),
    ):
        assert [row["trial"] for row in store.training_rows(now=now)] == wanted
        for newest in range(1, 6):
            assert [row["trial"] for row in store.training_rows(newest=newest, now=now)] == wanted[-newest:]
    early = [trial.id for trial in store.trials(now=LAUNCH - 1)]
    assert early == [own.id, of_release.id, public]
    assert len(list(store.trials(now=LAUNCH))) == 5
