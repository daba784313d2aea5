"""Boards over HTTP: who gets which, what is written down of it, and what is wrong is said."""

from __future__ import annotations

import pytest

from tests.tuning_db.claims import WORKLOAD, batch, claim
from tests.tuning_db.service.running import EARLY, LATE, LAUNCH, Service

VIEWS = ("board", "readiness", "timeline")


def test_a_race_on_its_boards(race: Service) -> None:
    id = race.ids["r1"]
    race.invite(id, "judge")
    race.now = EARLY
    trial = race.submit("acme").json["claims"][0]
    race.now = LATE
    fast = batch(claim(2, samples=(1e-3, 1.01e-3, 1.02e-3)), vendor="late")
    assert race.submit("late", of=fast).status == 200
    vendors = {"acme": ["acme"], "late": ["late"], "judge": ["late", "acme"], "lab": ["late", "acme"]}
    for who, wanted in vendors.items():
        (table,) = race.get(f"/v1/releases/{id}/board", who).json["tables"]
        assert [entry["vendor"] for entry in table["entries"]] == wanted, who
        assert table["entries"][-1]["step_s"] == pytest.approx(61 * (1.01e-3 if who == "late" else claim(1).median))
        assert table["chip"]["peaks"] == "declared"
        assert list(race.get(f"/v1/releases/{id}/timeline", who).json["courses"][0]["series"]) == sorted(wanted)
    for who in ("rival", None, "user"):
        for view in (*VIEWS, "headstart"):
            answer = race.get(f"/v1/releases/{id}/{view}", who)
            assert answer.seen == race.get(f"/v1/releases/r9/{view}", who).seen
            assert answer.status == 404
    (cell,) = race.get("/v1/releases/r1/readiness", "lab").json["chips"][0]["cells"]
    assert (cell["workload"], cell["state"], cell["vendor"]) == (WORKLOAD, "claimed", "late")
    verdict = {"outcome": "reproduced"}
    assert race.post(f"/v1/claims/{trial}/verdicts", "judge", verdict).status == 201
    (cell,) = race.get("/v1/releases/r1/readiness", "lab").json["chips"][0]["cells"]
    assert (cell["state"], cell["vendor"]) == ("reproduced", "acme")
    assert race.get("/v1/releases/r1/headstart", "acme").code == "invalid"

    race.now = LAUNCH + 86400
    for view in VIEWS:
        anybody = race.get(f"/v1/releases/r1/{view}")
        assert anybody.body == race.get(f"/v1/releases/r1/{view}", "rival").body
        # As it was on the first day.
        then = race.get(f"/v1/releases/r1/{view}?at={EARLY}").json
        assert "late" not in str(then), view
        assert race.get(f"/v1/releases/r1/{view}?at={race.now + 1}").code == "invalid"
        assert race.get(f"/v1/releases/r1/{view}?at=soon").status == 400
    start = race.get("/v1/releases/r1/headstart").json
    assert [(gap["early"], gap["other"]) for gap in start["gaps"]] == [("acme", "late"), ("late", "acme")]
    entries = race.get(f"/v1/ledgers/{id}/entries").json["entries"]
    assert {view for view in VIEWS for text in entries if f'"subject":"{view}"' in text} == set(VIEWS)
