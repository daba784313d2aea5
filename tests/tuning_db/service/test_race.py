"""A race from its creation to its launch, over HTTP."""

from __future__ import annotations

import json

from tests.tuning_db.claims import CHIP, WORKLOAD, batch, claim
from tests.tuning_db.example import POLICY, TARGET, TOOLCHAIN
from tests.tuning_db.service.running import COMPUTATION, EARLY, LATE, LAUNCH, PEOPLE, SERVICE, Service
from tuning_db.check import check
from tuning_db.note import VerifierKey
from tuning_db.receipt import verify_log, verify_receipt
from tuning_db.store import Store

CHAMPION = f"/v1/champion?workload={WORKLOAD}&target={CHIP.fingerprint}&toolchain={TOOLCHAIN.id}&policy={POLICY.id}"
EVERYBODY = [None, *(name for name in PEOPLE if name != "root")]


def done(race: Service, log: str) -> tuple[list[tuple[str, str, str | None]], list[str]]:
    """Actor, action and subject of the entries of a log that is open to everybody, and their texts."""
    texts = race.get(f"/v1/ledgers/{log}/entries").json["entries"]
    found = [json.loads(text) for text in texts]
    return [(entry["actor"], entry["action"], entry["payload"].get("subject")) for entry in found], texts


def test_from_creation_to_launch(race: Service) -> None:
    id, log = race.ids["r1"], f"{race.ids['r1']}.{race.ids['acme']}"
    # The publisher sees it at once, nobody else does.
    for who in EVERYBODY:
        shown = [release["id"] for release in race.get("/v1/releases", who).json["releases"]]
        assert shown == ([id] if who == "lab" else [])
    race.now = EARLY - 1e-6
    assert race.get(f"/v1/releases/{id}", "acme").status == 404
    assert race.submit("acme").reasons == {"unknown_workload"}

    # By the clock alone it opens for acme, to the moment.
    race.now = EARLY
    whole = race.get(f"/v1/releases/{id}", "acme").json
    assert (whole["name"], whole["publisher"], whole["launch"]) == ("r1", "lab", LAUNCH)
    assert [op["workload"] for op in whole["models"][0]["ops"]] == [WORKLOAD]
    assert whole["workloads"] == [{"id": WORKLOAD, "canonical": COMPUTATION["canonical"]}]
    assert race.get(f"/v1/releases/{id}", "late").status == 404

    taken = race.submit("acme")
    assert taken.status == 200, taken.body
    (trial,) = taken.json["claims"]
    known = VerifierKey(f"{SERVICE}/{log}", race.verifier("public").public)
    entry, checkpoint = verify_receipt(json.dumps(taken.json["receipt"]).encode(), known)
    assert (entry.actor, entry.action, entry.payload["claims"]) == ("acme", "submit", [trial])
    # Before it are what acme read: that there is a release, and what is in it.
    assert (entry.payload["batch"], entry.created, checkpoint.size) == (taken.json["batch"], EARLY, 2)

    # The claim is its vendor's and the referees' to see; the publisher sees the time and no more.
    for who in EVERYBODY:
        assert race.get(CHAMPION, who).status == race.get(f"/v1/claims/{trial}", who).status
        assert race.get(CHAMPION, who).status == (200 if who == "acme" else 404), who
    assert race.get(f"/v1/claims/{trial}", "acme").json["schedule"]["config"] == {"mr": 1, "fetch": 1}
    (row,) = race.get(f"/v1/releases/{id}/standings", "lab").json["standings"]
    assert (row["vendor"], row["tier"], row["median"]) == ("acme", "claimed", claim(1).median)

    # Sealed: whoever comes later learns nothing of it, and its log is nobody else's.
    race.now = LATE
    assert race.get(f"/v1/releases/{id}/standings", "late").json == {"standings": [], "disputed": []}
    assert race.get(CHAMPION, "late").status == 404
    for who in EVERYBODY:
        assert race.get(f"/v1/ledgers/{log}/entries", who).status == (200 if who == "acme" else 404), who
        assert race.get(f"/v1/ledgers/{id}/checkpoint", who).status == (200 if who == "lab" else 404), who
    faster = race.submit("late", of=batch(claim(2, samples=(1e-3, 1.01e-3, 1.02e-3)), vendor="late"))
    assert faster.status == 200, faster.body
    assert race.get(CHAMPION, "acme").json["id"] == trial

    # The launch: everything is everybody's, and what proves it too.
    race.now = LAUNCH
    for who in EVERYBODY:
        assert race.get(CHAMPION, who).json["vendor"] == "late", who
        assert [row["vendor"] for row in race.get(f"/v1/releases/{id}/standings", who).json["standings"]] == [
            "late",
            "acme",
        ]
        entries = race.get(f"/v1/ledgers/{log}/entries", who).json
        texts = [text.encode() for text in entries["entries"]]
        assert verify_log(texts, entries["checkpoint"], race.verifier(log)).size == len(texts)
        assert texts == [text.encode() for text in done(race, log)[1]]
    claimed = f"claim {trial}"
    assert done(race, log)[0] == [
        ("acme", "read", "release"),
        ("acme", "submit", None),
        *[("acme", "read", f"champion {trial}"), ("acme", "read", claimed), ("acme", "read", f"champion {trial}")],
        *[("acme", "read", claimed), ("acme", "read", f"champion {trial}")],
    ]
    assert done(race, id)[0] == [
        *[("lab", "create", None), ("lab", "invite", None), ("lab", "invite", None)],
        *[("lab", "read", "releases"), ("lab", "read", "standings")],
    ]
    # What is claimed from now on is in the log of everybody.
    after = race.submit("rival", 3)
    assert json.loads(after.json["receipt"]["entry"])["log"] == "public"
    with Store.open(race.db, read_only=True) as store:
        assert check(store) == []


def test_a_window_for_one_target(race: Service) -> None:
    with Store.open(race.db) as store:
        store.add_target(TARGET.fingerprint, TARGET.name, TARGET.vendor, TARGET.spec())
    race.invite(race.ids["r1"], "rival", opens=EARLY, target=TARGET.fingerprint)
    race.now = EARLY
    assert race.get(f"/v1/releases/{race.ids['r1']}", "rival").status == 200
    assert race.submit("rival").reasons == {"unknown_workload"}
    mixed = race.submit("rival", of=batch(claim(1, target=TARGET), claim(2), vendor="rival"))
    assert [(one["code"], one["entry"]) for one in mixed.json["error"]["reasons"]] == [
        ("no_peaks", 1),
        ("unknown_workload", 2),
    ]
    taken = race.submit("rival", of=batch(claim(1, target=TARGET), vendor="rival"))
    assert taken.status == 200
    assert [note["code"] for note in taken.json["notes"]] == ["no_peaks"]


def test_an_open_race_shows_times_and_no_schedules(service: Service) -> None:
    id = service.release(rules={"sealed": False})
    for vendor in ("acme", "late"):
        service.invite(id, vendor)
        service.register(vendor)
    service.now = EARLY
    trial = service.submit("acme").json["claims"][0]
    (row,) = service.get(f"/v1/releases/{id}/standings", "late").json["standings"]
    assert row["vendor"] == "acme"
    assert "schedule" not in row
    assert service.get(f"/v1/claims/{trial}", "late").status == 404


def test_a_referee_of_the_release_judges(race: Service) -> None:
    race.invite(race.ids["r1"], "judge")
    race.now = EARLY
    trial = race.submit("acme").json["claims"][0]
    path, good = f"/v1/claims/{trial}/verdicts", {"outcome": "reproduced", "evidence": {"seconds": [1.5e-3]}}
    assert race.get(f"/v1/claims/{trial}", "judge").json["vendor"] == "acme"
    assert race.post(path, "judge", good).json["tier"] == "reproduced"
    (verdict,) = race.get(f"/v1/claims/{trial}", "acme").json["verdicts"]
    assert (verdict["judge"], verdict["outcome"], verdict["evidence"]) == ("judge", "reproduced", good["evidence"])
    assert race.post(path, "judge", {"outcome": "refused"}).code == "invalid"
    assert race.post(path, "judge", {"outcome": "refused", "reason": "wrong output"}).json["state"] == "refused"
    assert race.get(CHAMPION, "acme").status == 404
    race.now = LAUNCH
    acted = [what for what in done(race, f"{race.ids['r1']}.{race.ids['judge']}")[0] if what[1] != "read"]
    assert acted == [("judge", "judge", None)] * 2


def test_who_may_say_what_of_a_claim(race: Service) -> None:
    race.now = LATE
    trial = race.submit("acme").json["claims"][0]
    path, absent = (f"/v1/claims/{id}/verdicts" for id in (trial, "t" + 28 * "0"))
    for who in ("judge", "rival", "late", "lab", "user", None):
        answers = [race.post(of, who, {"outcome": "withdrawn"}) for of in (path, absent)]
        assert answers[0].seen == answers[1].seen
        assert answers[0].status == (404 if who in ("judge", "rival", "late") else 403 if who else 401)
    assert race.post(path, "acme", {"outcome": "reproduced"}).code == "invalid"
    assert race.post(path, "acme", {"outcome": "perfect"}).code == "malformed"
    assert race.post(path, "acme", {"outcome": "withdrawn", "reason": "a mistake"}).json["state"] == "withdrawn"
    assert race.get(CHAMPION, "acme").status == 404
    with Store.open(race.db, read_only=True) as store:
        assert check(store) == []


def test_a_ledger_shows_that_it_continues(race: Service) -> None:
    race.now = EARLY
    log = f"{race.ids['r1']}.{race.ids['acme']}"
    race.submit("acme", 1)
    kept = race.get(f"/v1/ledgers/{log}/checkpoint", "acme").json["checkpoint"]
    race.submit("acme", 2)
    answer = race.get(f"/v1/ledgers/{log}/checkpoint?old=1", "acme").json
    receipt = race.submit("acme", 3).json["receipt"]
    receipt["checkpoint"] = answer["checkpoint"]
    assert answer["consistency"]["old"] == 1
    assert answer["consistency"]["proof"]
    assert "\n1\n" in kept
    assert "\n2\n" in answer["checkpoint"]
    assert race.get(f"/v1/ledgers/{log}/checkpoint?old=9", "acme").status == 400


def test_only_its_publisher_invites_to_a_release(race: Service) -> None:
    path, invitation = f"/v1/releases/{race.ids['r1']}/invitations", {"account": "rival", "opens": EARLY}
    for now in (EARLY, LAUNCH):
        race.now = now
        assert race.post(path, "other-lab", invitation).code == "not_found"
    assert race.post(path, "lab", invitation | {"account": "user"}).code == "invalid"
    assert race.post(path, "lab", invitation | {"account": "nobody"}).code == "invalid"
    assert race.post("/v1/releases/r9/invitations", "lab", invitation).code == "not_found"


def test_what_a_referee_is_to_judge(race: Service) -> None:
    race.invite(race.ids["r1"], "judge")
    race.now = LATE
    path = f"/v1/pending?target={CHIP.fingerprint}"
    mine = race.submit("acme").json["claims"][0]
    faster = batch(claim(2, samples=(1e-3, 1.01e-3, 1.02e-3)), vendor="late")
    theirs = race.submit("late", of=faster).json["claims"][0]
    first, second = race.get(path, "judge").json["pending"]
    assert (first["claim"]["id"], second["claim"]["id"]) == (mine, theirs)
    assert first["claim"]["schedule"]["config"] == {"mr": 1, "fetch": 1}
    assert first["workload"] == {"id": WORKLOAD, **COMPUTATION}
    assert (first["target"]["cores"], first["toolchain"], first["policy"]) == (
        CHIP.cores,
        dict(TOOLCHAIN.versions),
        POLICY.to_json(),
    )
    assert (first["incumbent"]["id"], second["incumbent"]) == (theirs, None)
    # Nobody else has anything to judge, whoever they are, nor the referee before its window.
    for who in EVERYBODY:
        assert race.get(path, who).status == (200 if who == "judge" else 403 if who else 401), who
    assert [race.get(f"{path}&{query}", "judge").status for query in ("limit=1", "limit=0", "since=nan")] == [
        200,
        400,
        400,
    ]
    # What was judged is handed out no more, unless it is asked for again.
    race.now = LATE + 10
    verdict = {"outcome": "refused", "reason": "wrong", "evidence": {"incumbent": {"claim": theirs, "samples": [1.0]}}}
    assert race.post(f"/v1/claims/{mine}/verdicts", "judge", verdict).status == 201
    assert [one["claim"]["id"] for one in race.get(path, "judge").json["pending"]] == [theirs]
    again = race.get(f"{path}&since={LATE + 11}", "judge").json["pending"]
    assert [one["claim"]["id"] for one in again] == [mine, theirs]
    # Its vendor is not told against whom it was timed, nor that there was anybody; from the launch on all are.
    assert race.get(f"/v1/claims/{mine}", "acme").json["verdicts"][0]["evidence"] == {}
    assert race.get(f"/v1/claims/{mine}", "judge").json["verdicts"][0]["evidence"] == verdict["evidence"]
    race.now = LAUNCH
    assert race.get(f"/v1/claims/{mine}", "acme").json["verdicts"][0]["evidence"] == verdict["evidence"]
    seen = [subject for actor, action, subject in done(race, f"{race.ids['r1']}.{race.ids['judge']}")[0] if subject]
    assert seen.count(f"pending {mine}") == 4
    assert seen.count(f"pending {theirs}") == 5


def test_referees_who_disagree_are_seen_to(race: Service) -> None:
    with Store.open(race.db) as store:
        account = store.add_account("second", "referee", race.now)
        race.tokens["second"] = store.issue_token(account, race.now, 1e7)[1]
    for who in ("judge", "second"):
        race.invite(race.ids["r1"], who)
    race.now = LATE
    trial = race.submit("acme").json["claims"][0]
    path, standings = f"/v1/claims/{trial}/verdicts", f"/v1/releases/{race.ids['r1']}/standings"
    assert race.post(path, "judge", {"outcome": "reproduced"}).json["disputed"] is False
    assert race.get(standings, "acme").json["disputed"] == []
    after = race.post(path, "second", {"outcome": "refused", "reason": "wrong"}).json
    assert (after["state"], after["disputed"]) == ("refused", True)
    for who in ("acme", "lab", "judge"):
        found = race.get(standings, who).json
        assert [(row["claim"], row["vendor"]) for row in found["disputed"]] == [(trial, "acme")], who
        assert found["standings"] == []
    assert race.get(standings, "late").json["disputed"] == []
    assert race.post(path, "second", {"outcome": "replayed"}).json["disputed"] is False
    assert race.get(standings, "acme").json["disputed"] == []
