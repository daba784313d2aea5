"""What a client asks besides the race itself: lists of claims, champions of a workload, who is invited, receipts."""

from __future__ import annotations

import json

from tests.tuning_db.claims import CHIP, WORKLOAD, batch, claim
from tests.tuning_db.example import POLICY, TOOLCHAIN
from tests.tuning_db.service.running import EARLY, LATE, LAUNCH, Service
from tuning_db.receipt import verify_receipt


def listed(race: Service, who: str | None, query: str = "") -> list[str]:
    """Ids of claims, page by page."""
    found, after = [], ""
    while True:
        page = race.get(f"/v1/claims?count=2{query}{after}", who).json
        found += [row["id"] for row in page["claims"]]
        if page["next"] is None:
            return found
        assert page["next"] == found[-1]
        after = f"&after={page['next']}"


def test_claims_are_listed_page_by_page(race: Service) -> None:
    race.invite(race.ids["r1"], "judge")
    race.now = LATE
    ours = race.submit("acme", of=batch(*(claim(n) for n in range(1, 6)), nonce="1" * 32)).json["claims"]
    theirs = race.submit("late", 7).json["claims"]
    assert listed(race, "acme") == listed(race, "acme", "&release=r1&vendor=acme") == ours[::-1]
    assert listed(race, "judge", "&release=r1") == theirs + ours[::-1]
    assert listed(race, "judge", "&vendor=late") == theirs
    # Nobody else can tell that there is something, nor whose.
    for who in ("lab", "late"):
        assert listed(race, who, "&vendor=acme") == listed(race, who, "&vendor=nobody") == []
    assert listed(race, None) == listed(race, "rival") == []
    assert race.get(f"/v1/claims?after={ours[0]}", "late").status == 404
    (row,) = race.get("/v1/claims", "late").json["claims"]
    assert (row["vendor"], row["tier"], row["state"], row["workload"]) == ("late", "claimed", "standing", WORKLOAD)
    assert not {"samples", "config"} & set(row)
    race.now = LAUNCH
    assert listed(race, None) == listed(race, "rival", "&release=r1") == theirs + ours[::-1]
    assert listed(race, None, "&release=public") == []
    # What was shown before is in the log of whom it was shown to.
    log = race.get(f"/v1/ledgers/{race.ids['r1']}.{race.ids['judge']}/entries").json["entries"]
    assert {json.loads(text)["payload"]["subject"] for text in log} == {"claims"}


def test_champions_of_a_workload(race: Service) -> None:
    race.now = EARLY
    (trial,) = race.submit("acme").json["claims"]
    path = f"/v1/champions?workload={WORKLOAD}&target={CHIP.fingerprint}"
    (row,) = race.get(path, "acme").json["champions"]
    assert (row["id"], row["toolchain"], row["policy"]) == (trial, TOOLCHAIN.id, POLICY.id)
    assert row["versions"] == dict(TOOLCHAIN.versions)
    assert row["timing"] == {"cache": "warm", "threads": 2, "clock": "wall"}
    race.now = LATE
    for who in (None, "late", "rival", "lab"):
        assert race.get(path, who).status == 404
    (faster,) = race.submit("late", of=batch(claim(2, samples=(1e-3, 1.01e-3, 1.02e-3)), vendor="late")).json["claims"]
    assert [row["id"] for row in race.get(path, "acme").json["champions"]] == [trial]
    race.now = LAUNCH
    assert [row["id"] for row in race.get(path).json["champions"]] == [faster]
    assert race.get(path.replace(CHIP.fingerprint, "c0")).status == 404


def test_a_workload_is_shown_to_whom_it_is_open(race: Service) -> None:
    path = f"/v1/workloads/{WORKLOAD}"
    race.now = EARLY
    for who, status in ((None, 404), ("late", 404), ("rival", 404), ("acme", 200), ("lab", 200)):
        assert race.get(path, who).status == status, who
    assert race.get(path, "acme").json == {"id": WORKLOAD, "canonical": "a computation"}
    race.now = LAUNCH
    assert race.get(path).status == 200
    log = race.get(f"/v1/ledgers/{race.ids['r1']}.{race.ids['acme']}/entries").json["entries"]
    assert [json.loads(text)["payload"]["subject"] for text in log] == [f"workload {WORKLOAD}"] * 2


def test_openings_are_the_publishers_to_see(race: Service) -> None:
    path = "/v1/releases/r1/openings"
    assert race.get(path, "lab").json["openings"] == [
        {"name": "acme", "role": "vendor", "target": "", "opens": EARLY},
        {"name": "late", "role": "vendor", "target": "", "opens": LATE},
    ]
    race.now = LAUNCH
    for who, status in ((None, 401), ("acme", 403), ("user", 403), ("other-lab", 404)):
        assert race.get(path, who).status == status, who


def test_a_receipt_of_any_entry(race: Service) -> None:
    race.now = EARLY
    race.submit("acme")
    race.get("/v1/releases/r1", "acme")
    log = f"{race.ids['r1']}.{race.ids['acme']}"
    first = race.get(f"/v1/ledgers/{log}/checkpoint", "acme").json["checkpoint"]
    race.get("/v1/releases/r1", "acme")
    answer = race.get(f"/v1/ledgers/{log}/receipts/0?old=2", "acme")
    entry, signed = verify_receipt(answer.body, race.verifier(log), first)
    assert (entry.action, signed.size) == ("submit", 3)
    assert race.get(f"/v1/ledgers/{log}/receipts/3", "acme").code == "invalid"
    for path in (f"/v1/ledgers/{log}/receipts/0", f"/v1/ledgers/{log}/receipts/-1"):
        assert race.get(path, "late").status in (400, 404)
