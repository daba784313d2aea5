"""Misses over HTTP: who may tell and see them, that telling twice is telling once, and that it finds nothing out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tuning_db.claims import CHIP, WORKLOAD
from tests.tuning_db.service.running import EARLY, LAUNCH, Service, running
from tuning_db.quotas import Quota
from tuning_db.store import Store

UNHEARD = "w" + "0" * 24


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with running(tmp_path, quota=Quota(misses=3)) as made:
        yield made


def told(*counts: int, source: str = "0" * 32, workload: str = UNHEARD) -> dict[str, Any]:
    misses = [
        {"workload": workload, "operator": "linear", "params": {"m": 1}, "target": f"c{n:024x}", "count": count}
        for n, count in enumerate(counts)
    ]
    return {"source": source, "misses": misses}


def test_telling_again_counts_nothing_twice(service: Service) -> None:
    for _ in range(2):
        answer = service.post("/v1/misses", "user", told(5, 2))
        assert (answer.status, answer.json) == (200, {"source": "0" * 32, "misses": 2})
    assert [miss["count"] for miss in service.get("/v1/misses", "user").json["misses"]] == [5, 2]
    # The file has grown meanwhile, and there is another one.
    service.post("/v1/misses", "user", told(7))
    service.post("/v1/misses", "user", told(1, source="1" * 32))
    found = service.get("/v1/misses", "user").json["misses"]
    assert found[0] == told(8)["misses"][0] and found[1]["count"] == 2
    assert service.get(f"/v1/misses?target=c{1:024x}&count=1", "user").json["misses"] == found[1:]


def test_who_told_and_the_operator_see_them_and_nobody_else(service: Service) -> None:
    with Store.open(service.db) as store:
        other = store.add_account("other-user", "deployer", service.now)
        service.tokens["other-user"] = store.issue_token(other, service.now, 1e6)[1]
        tuner = store.issue_token(store.account("root"), service.now, 1e6, ["misses"])[1]
        service.tokens["tuner"] = tuner
    assert service.post("/v1/misses", "user", told(5)).status == 200
    assert service.post("/v1/misses", "other-user", told(4)).status == 200
    assert [miss["count"] for miss in service.get("/v1/misses", "other-user").json["misses"]] == [4]
    for who in ("root", "tuner"):
        (miss,) = service.get("/v1/misses", who).json["misses"]
        assert miss == told(9)["misses"][0]
    # A token for misses is for nothing else.
    assert service.get("/v1/backup", "tuner").status in (403, 404)
    for who in ("acme", "lab", "judge"):
        for answer in (service.get("/v1/misses", who), service.post("/v1/misses", who, told(1))):
            assert (answer.status, answer.code) == (403, "forbidden")
    for answer in (service.get("/v1/misses"), service.post("/v1/misses", None, told(1))):
        assert (answer.status, answer.code) == (401, "unauthorized")


def test_what_a_release_hides_is_told_of_as_anything_else(service: Service) -> None:
    service.release()
    before = {who: service.get("/v1/releases", who).body for who in ("user", "rival")}
    answers = [service.post("/v1/misses", "user", told(5, workload=id)) for id in (WORKLOAD, UNHEARD)]
    assert answers[0].seen == answers[1].seen
    assert {who: service.get("/v1/releases", who).body for who in ("user", "rival")} == before
    for now in (EARLY, LAUNCH):
        service.now = now
        hidden = service.get(f"/v1/workloads/{UNHEARD}", "user")
        assert hidden.status == 404
        if now == EARLY:
            assert service.get(f"/v1/workloads/{WORKLOAD}", "user").seen == hidden.seen
    # What was told makes nothing of the release known, and it opens as it would have.
    assert service.get(f"/v1/workloads/{WORKLOAD}", "user").status == 200
    # No ledger, that others read, has a word of it.
    with Store.open(service.db, read_only=True) as store:
        assert not store.value("SELECT 1 FROM ledger_entry WHERE actor = 'user'")


def test_more_than_is_kept_of_an_account_is_refused(service: Service) -> None:
    assert service.post("/v1/misses", "user", told(1, 2)).status == 200
    over = service.post("/v1/misses", "user", told(1, 2, source="1" * 32))
    assert (over.status, over.reasons) == (422, {"over_quota"})
    with Store.open(service.db) as store:
        store.set_quota(store.account("user"), misses=4)
    assert service.post("/v1/misses", "user", told(1, 2, source="1" * 32)).status == 200


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"source": "x"}, "source"),
        ({"misses": []}, "1 to 1000"),
        ({"misses": [{**told(1)["misses"][0], "user": "me"}]}, "entry 1"),
        ({"misses": [{**told(1)["misses"][0], "count": 0}]}, "count"),
        ({"misses": [{**told(1)["misses"][0], "workload": "w0"}]}, "workload"),
        ({"misses": [{**told(1)["misses"][0], "target": CHIP.name}]}, "target"),
        ({"misses": [{**told(1)["misses"][0], "params": {"m": [1]}}]}, "params"),
        ({"data": "mine"}, "too many: data"),
    ],
)
def test_what_is_not_in_the_form_is_refused(service: Service, change: dict[str, Any], said: str) -> None:
    answer = service.post("/v1/misses", "user", {**told(1), **change})
    assert (answer.status, answer.code) == (400, "malformed")
    assert said in answer.json["error"]["message"]
    assert service.get("/v1/misses", "root").json == {"misses": []}


def test_a_body_of_any_size_is_not_read_to_its_end(service: Service) -> None:
    assert service.post("/v1/misses", "user", b" " * (2 << 20)).status == 413
