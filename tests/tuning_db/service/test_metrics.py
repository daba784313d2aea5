"""Figures for Prometheus: what they count, and that nobody else learns of them."""

from __future__ import annotations

import re

import pytest

from tests.tuning_db.claims import batch, claim
from tests.tuning_db.service.publishing import LIFETIMES, Hands
from tests.tuning_db.service.running import EARLY, Service, call
from tuning_db.service.limits import Rates
from tuning_db.service.server import Server


def figures(service: Service) -> dict[str, float]:
    """Every sample, by its name and labels."""
    answer = service.get("/metrics", "root")
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"].startswith("text/plain")
    lines = [line for line in answer.body.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_when_people_must_sign_anew(service: Service) -> None:
    assert not [name for name in figures(service) if "expires" in name]
    Hands(service).begin()
    expires = {role: figures(service)[f"headstart_repository_{role}_expires_timestamp_seconds"] for role in LIFETIMES}
    assert expires == {role: service.now + life for role, life in LIFETIMES.items()}


def test_what_is_counted(race: Service) -> None:
    race.now = EARLY
    before = figures(race)
    assert race.submit("acme", 1).status == 200
    assert race.submit("rival", 2).reasons == {"unknown_workload"}
    below = claim(2, samples=(1e-6, 1.1e-6, 1.2e-6))
    assert race.submit("acme", of=batch(claim(1), below, vendor="acme", nonce="1" * 32)).reasons >= {"below_floor"}
    race.post("/v1/submissions", None, b"{}")
    assert race.get(f"/v1/releases/{race.ids['r1']}", "rival").status == 404
    after = figures(race)
    grew = {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}
    for name, count in {
        'headstart_submissions_total{outcome="taken"}': 1,
        'headstart_submissions_total{outcome="unknown_workload"}': 1,
        'headstart_submissions_total{outcome="below_floor"}': 1,
        'headstart_submissions_total{outcome="unauthorized"}': 1,
        "headstart_claims_total": 1,
        'headstart_requests_total{method="POST",route="/v1/submissions",status="422"}': 2,
        'headstart_requests_total{method="GET",route="/v1/releases/{id}",status="404"}': 1,
        'headstart_request_seconds_count{route="/v1/submissions"}': 4,
    }.items():
        assert grew[name] == count, name
    assert after["headstart_clock_seconds"] == EARLY
    assert after["headstart_writable"] == 1
    assert after["headstart_writer_waiting"] == 0
    assert after["headstart_ledger_entries"] > 3
    for name in ('database_bytes{file="main"}', "disk_free_bytes", "writer_wait_seconds_count"):
        assert after[f"headstart_{name}"] > 0
    assert after["process_open_fds"] > 0


def test_no_label_is_of_anybody(race: Service) -> None:
    race.now = EARLY
    trial = race.submit("acme").json["claims"][0]
    for path in (f"/v1/claims/{trial}", "/v1/releases/r1", f"/{trial}", f"/v1/champion?workload={trial}"):
        for method in ("GET", "PURGE"):
            call(race.port, method, path, race.tokens["acme"])
    text = race.get("/metrics", "root").body.decode()
    for secret in (trial, "acme", "r1", *race.ids.values(), *race.tokens.values(), "PURGE"):
        assert secret not in text
    labels = {match for line in text.splitlines() for match in re.findall(r'(\w+)="', line)}
    assert labels == {"route", "method", "status", "outcome", "file", "le"}


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS", "PUT"])
def test_for_others_it_is_not_there(race: Service, method: str) -> None:
    for who in (None, "acme", "lab", "judge", "user", "wrong"):
        token = race.tokens.get(who, "hst_k_wrong") if who else None
        seen = [call(race.port, method, path, token).seen for path in ("/metrics", "/metricx")]
        assert seen[0] == seen[1]
        assert seen[0][0] == 404
    # Nor does it cost another bucket.
    for token in (race.tokens["acme"], "hst_k_wrong"):
        counts = []
        for path in ("/metrics", "/metricx"):
            race.limit(Rates(account=1, address=2, failures=3))
            counts.append([call(race.port, method, path, token).status for _ in range(14)])
        assert counts[0] == counts[1] == [404] * 12 + [429] * 2


def test_it_is_in_no_document(race: Service) -> None:
    assert b"/metrics" not in call(race.port, "GET", "/v1/openapi.json").body
    assert isinstance(race.server, Server)
