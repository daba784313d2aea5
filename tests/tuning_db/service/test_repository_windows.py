"""Repositories and the launch: what is published ahead is there from its minute on, and selections with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tuning_db.claims import WORKLOAD, batch, claim
from tests.tuning_db.example import POLICY, TOOLCHAIN
from tests.tuning_db.selecting import STEP
from tests.tuning_db.service.publishing import Hands, prebuilt
from tests.tuning_db.service.running import EARLY, LAUNCH, Answer, Service
from tuning_db.check import check
from tuning_db.published import Address
from tuning_db.records import Key, Status, Trial
from tuning_db.repository.metadata import files_of, loads
from tuning_db.repository.paths import hashed
from tuning_db.selection import Selection
from tuning_db.store import Store


@pytest.fixture
def staged(service: Service, tmp_path: Path) -> Service:
    """A release whose bundle is published ahead, with claims of acme; and the repository of the public."""
    op = {"name": "q", "operator": "linear", "params": {"m": 1}, "calls": 61, "workload": WORKLOAD}
    gone = {"name": "topk", "operator": "topk", "params": {}, "calls": 2, "workload": None}
    model = {"name": "secret", "source": "lab", "step": STEP, "ops": [op, gone]}
    service.ids["r1"] = service.release(models=[model])
    service.invite(service.ids["r1"], "acme")
    for release, who in (("public", "root"), (service.ids["r1"], "lab")):
        hands = Hands(service, release, who)
        hands.begin()
        hands.publish(prebuilt(tmp_path / f"{who}.bundle", who.encode(), name="secret" if who == "lab" else "tiny"))
    service.register("acme")
    service.now = EARLY
    assert service.submit("acme", 1).status == 200
    return service


def metadata(service: Service, release: str, file: str, who: str | None = None) -> Answer:
    """Ask for metadata."""
    return service.get(f"/v1/repositories/{release}/metadata/{file}", who)


def selections(service: Service, release: str) -> dict[str, Selection]:
    """The selections of a repository as anybody gets them, by path."""
    assert metadata(service, release, "timestamp.json").status == 200
    with Store.open(service.db, read_only=True) as store:
        assert check(store) == []
        id = service.ids.get(release, release)
        last = store.metadata(id, "champions")
    assert last
    said = metadata(service, release, f"{last.version}.champions.json").body.decode()
    files = files_of(loads("champions", said).signed)
    return {
        path: Selection.loads(service.get(f"/v1/repositories/{release}/targets/{hashed(path, digest)}").body)
        for path, (digest, _) in files.items()
    }


def test_it_is_there_from_the_launch_on_by_the_clock(staged: Service) -> None:
    files = ("timestamp.json", "1.root.json", "2.targets.json")
    staged.now = LAUNCH - 1e-3
    absent = metadata(staged, "r9", "timestamp.json")
    assert absent.status == 404
    for file in files:
        for release in ("r1", staged.ids["r1"]):
            for who in (None, "acme", "rival", "judge", "user", "other-lab"):
                assert metadata(staged, release, file, who).seen == absent.seen, (file, who)
        assert metadata(staged, "r1", file, "lab").status == 200
    # No cache keeps it meanwhile.
    assert metadata(staged, "r1", "1.root.json", "lab").headers["cache-control"] == "no-store"
    public = selections(staged, "public")
    staged.now = LAUNCH
    for file in files:
        assert metadata(staged, "r1", file).status == 200
    (path,) = selections(staged, "r1")
    assert public == {} and set(selections(staged, "public")) == {path}


def test_what_is_read_ahead_is_in_the_ledger(staged: Service) -> None:
    before = staged.get(f"/v1/ledgers/{staged.ids['r1']}/entries", "lab").json["entries"]
    assert metadata(staged, "r1", "timestamp.json", "lab").status == 200
    after = staged.get(f"/v1/ledgers/{staged.ids['r1']}/entries", "lab").json["entries"][len(before) :]
    assert len(after) == 1 and '"action":"read"' in after[0] and "repository" in after[0]
    assert sum('"action":"publish"' in entry for entry in before) == 2
    public = staged.get("/v1/ledgers/public/entries").json["entries"]
    assert sum('"action":"publish"' in entry for entry in public) == 2
    assert staged.ids["r1"] not in "".join(public)


def test_who_publishes_where(staged: Service) -> None:
    r1 = staged.ids["r1"]
    for release, who, status in (
        (r1, "lab", 200),
        (r1, "root", 200),
        (r1, "other-lab", 404),
        (r1, "acme", 403),
        (r1, "user", 403),
        (r1, None, 401),
        ("public", "root", 200),
        ("public", "lab", 404),
        ("r9", "root", 404),
    ):
        assert staged.get(f"/v1/repositories/{release}", who).status == status, (release, who)
        sent = staged.post(f"/v1/repositories/{release}/metadata", who, {"root": None, "targets": None})
        assert sent.status == (400 if status == 200 else status)
    # What an operator sees of a release to come is in a log, too.
    log = f"{r1}.{staged.ids['root']}"
    with Store.open(staged.db, read_only=True) as store:
        assert [entry.action for entry in store.entries(log)] == ["read"]


def test_selections_have_the_leading_claim_of_each_tier_and_the_champion_of_the_file(staged: Service) -> None:
    staged.invite(staged.ids["r1"], "judge")
    staged.invite(staged.ids["r1"], "late", opens=EARLY)
    staged.register("late")
    slow, fast = claim(2, samples=(4e-3, 4.1e-3, 4.2e-3)), claim(3, samples=(2e-3, 2.1e-3, 2.2e-3))
    judged = staged.submit("late", of=batch(slow, vendor="late", nonce="1" * 32)).json["claims"][0]
    staged.submit("late", of=batch(fast, vendor="late", nonce="2" * 32))
    verdict = {"outcome": "reproduced", "reason": "so it is"}
    assert staged.post(f"/v1/claims/{judged}/verdicts", "judge", verdict).status == 201
    key = Key(WORKLOAD, slow.target.fingerprint, TOOLCHAIN.id, POLICY.id)
    with Store.open(staged.db) as store:
        plan = claim(9).schedule
        store.add_schedule(plan.id, plan.space, plan.version, plan.config)
        own = Trial(key, plan.id, Status.OK, (1e-3, 1.1e-3, 1.2e-3), 1.1e-3, 1e-4, machine="here", author="root")
        store.add_trial(own, crown=True)
    staged.now = LAUNCH - 1
    assert selections(staged, "public") == {}
    staged.now = LAUNCH
    ((path, found),) = selections(staged, "r1").items()
    assert path == Address.of(found).selection
    assert (found.model, found.step, dict(found.missing)) == ("secret", STEP, {"topk": 2})
    (kernel,) = found.kernels
    assert (kernel.names, kernel.workload, kernel.label, kernel.calls) == (("q",), WORKLOAD, "a secret", 61)
    assert [(one.tier, one.trial) for one in kernel.candidates][1:] == [("reproduced", judged), ("measured", own.id)]
    assert kernel.candidates[0].tier == "claimed" and kernel.candidates[0].author == "acme"
    # A verdict changes who leads; it is looked at again after a while, and not at every question.
    refusal = {"outcome": "refused", "reason": "wrong after all"}
    assert staged.post(f"/v1/claims/{judged}/verdicts", "judge", refusal).status == 201
    assert len(next(iter(selections(staged, "r1").values())).kernels[0].candidates) == 3
    staged.now += 61
    tiers = [one.tier for one in next(iter(selections(staged, "r1").values())).kernels[0].candidates]
    assert tiers == ["claimed", "measured"]
