"""A key that is revoked from a time in the past: what it signed since leads nobody, and nothing else changes."""

from __future__ import annotations

import json

import pytest

from targets.errors import InputError
from tests.tuning_db.claims import batch, claim
from tests.tuning_db.service.running import EARLY, LAUNCH, Service
from tuning_db.check import check
from tuning_db.revocation import revoke
from tuning_db.store import Store

SLOW, FAST = (2e-3, 2.1e-3, 2.2e-3), (1e-3, 1.1e-3, 1.2e-3)


@pytest.fixture
def leaked(race: Service) -> Service:
    """acme has claimed something slow under each of two keys, and something fast under the first one an hour later."""
    race.now = EARLY
    race.ids["before"] = sent(race, 1, SLOW)
    first = race.keys["acme"]
    race.register("acme")
    race.now += 3600
    race.ids["other"] = sent(race, 2, SLOW)
    race.keys["acme"], race.keys["second"] = first, race.keys["acme"]
    race.ids["after"] = sent(race, 3, FAST)
    race.now += 3600
    return race


def sent(race: Service, n: int, samples: tuple[float, ...]) -> str:
    """The claim of a batch."""
    answer = race.submit("acme", of=batch(claim(n, samples=samples), vendor="acme", nonce=f"{n:032x}"))
    assert answer.status == 200, answer.body
    return str(answer.json["claims"][0])


def states(race: Service) -> dict[str, tuple[str, str]]:
    """State and reason of each claim, as acme sees it; the file is whole."""
    with Store.open(race.db, read_only=True) as store:
        assert check(store) == []
    found = {name: race.get(f"/v1/claims/{race.ids[name]}", "acme").json for name in ("before", "other", "after")}
    return {name: (row["state"], row["reason"]) for name, row in found.items()}


def leader(race: Service) -> str:
    """Whose claim it is that leads."""
    with Store.open(race.db, read_only=True) as store:
        (trial,) = {row["trial"] for row in store.rows("SELECT trial FROM lead")}
    return next(name for name, id in race.ids.items() if id == trial)


def test_what_it_signed_since_is_withdrawn(leaked: Service) -> None:
    id = leaked.keys["acme"].public.id
    assert leader(leaked) == "after"
    answer = leaked.delete(f"/v1/keys/{id}?since={EARLY + 1}", "acme")
    assert (answer.status, answer.json["withdrawn"]) == (200, [leaked.ids["after"]])
    stands, gone = ("standing", ""), ("withdrawn", f"key {id} is revoked from before it came")
    assert states(leaked) == {"before": stands, "other": stands, "after": gone}
    assert leader(leaked) == "before"
    assert leaked.submit("acme", 4).reasons == {"unknown_key"}
    # Its log says so, to acme and from the launch on to everybody.
    log = f"{leaked.ids['r1']}.{leaked.ids['acme']}"
    entry = json.loads(leaked.get(f"/v1/ledgers/{log}/entries", "acme").json["entries"][-4])
    assert (entry["actor"], entry["action"]) == ("acme", "revoke")
    told = {"claims": [leaked.ids["after"]], "key": id, "since": EARLY + 1}
    assert {name: entry["payload"][name] for name in told} == told
    # Once more changes nothing; an earlier date takes the rest, a later one gives nothing back.
    for since, revoked, withdrawn in (
        (EARLY + 1, EARLY + 1, []),
        (EARLY, EARLY, [leaked.ids["before"]]),
        (EARLY + 3600, EARLY, []),
    ):
        answer = leaked.delete(f"/v1/keys/{id}?since={since}", "acme").json
        assert answer == {"id": id, "revoked": revoked, "withdrawn": withdrawn}
    assert leader(leaked) == "other"
    assert [state for state, _ in states(leaked).values()] == ["withdrawn", "standing", "withdrawn"]


def test_deadlines_do_not_keep_what_a_thief_sent(leaked: Service) -> None:
    leaked.now = LAUNCH + 300 * 86400
    late = leaked.post(f"/v1/claims/{leaked.ids['after']}/verdicts", "acme", {"outcome": "withdrawn"})
    assert "can no longer be withdrawn" in late.json["error"]["message"]
    answer = leaked.delete(f"/v1/keys/{leaked.keys['acme'].public.id}?since={EARLY + 1}", "acme")
    assert answer.json["withdrawn"] == [leaked.ids["after"]]
    assert leader(leaked) == "before"
    entry = json.loads(leaked.get("/v1/ledgers/public/entries").json["entries"][-1])
    assert entry["action"] == "revoke"


def test_who_may(leaked: Service) -> None:
    path = f"/v1/keys/{leaked.keys['acme'].public.id}?since={EARLY}"
    absent = f"/v1/keys/k000000000000000000000000?since={EARLY}"
    for who, status in (("rival", 404), ("lab", 403), ("judge", 403), (None, 401)):
        assert leaked.delete(path, who).seen == leaked.delete(absent, who).seen
        assert leaked.delete(path, who).status == status
    for since in (leaked.now + 1, -1, "nan", "inf", "yesterday"):
        assert leaked.delete(f"/v1/keys/{leaked.keys['acme'].public.id}?since={since}", "acme").status == 400
    assert [state for state, _ in states(leaked).values()] == ["standing"] * 3
    assert len(leaked.delete(path, "root").json["withdrawn"]) == 2
    log = f"{leaked.ids['r1']}.{leaked.ids['acme']}"
    actors = [json.loads(text)["actor"] for text in leaked.get(f"/v1/ledgers/{log}/entries", "acme").json["entries"]]
    assert actors.count("root") == 2


def test_all_or_nothing(leaked: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("broken")

    id = leaked.keys["acme"].public.id
    with Store.open(leaked.db) as store:
        acme, size = store.account("acme"), store.size(f"{leaked.ids['r1']}.{leaked.ids['acme']}")
        monkeypatch.setattr(Store, "append", broken)
        with pytest.raises(RuntimeError):
            revoke(store, acme, id, EARLY, acme, leaked.now)
        assert [row["revoked"] for row in store.keys(acme)] == [None, None]
        assert store.size(f"{leaked.ids['r1']}.{leaked.ids['acme']}") == size
        assert store.value("SELECT count(*) FROM verdict") == 0
        with pytest.raises(InputError, match="has no key"):
            revoke(store, store.account("rival"), id, EARLY, acme, leaked.now)


def test_a_check_finds_what_should_have_been_withdrawn(leaked: Service) -> None:
    with Store.open(leaked.db) as store:
        store.revoke_key(store.account("acme"), leaked.keys["acme"].public.id, EARLY + 1)
        (finding,) = check(store)
    assert finding.where == f"claim {leaked.ids['after']}"
    assert "was revoked before it came" in finding.problem
