"""A referee at a real service: it takes claims, sends verdicts, and goes on where it was."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.referee import command
from schedules.operators.linear import Linear
from schedules.workload import Workload
from targets import detect
from targets.host import host
from targets.target import Peaks
from tests.tuner.referee.cases import row
from tests.tuning_db.claims import batch, claim
from tests.tuning_db.service.running import EARLY, LATE, Service, running
from tuner.referee.docket import Claimed
from tuner.referee.loop import Referee
from tuner.task import DEFAULT
from tuner.toolchain import toolchain
from tuning_db.client import connect
from tuning_db.records import Policy

LAYER = Workload.of(Linear(4, 64, 128))
OTHER = Workload.of(Linear(4, 8, 32))


@pytest.fixture
def race(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A release of two layers, one of which its publisher misdescribes, and claims of two vendors for this chip."""
    monkeypatch.setitem(host().__dict__, "measured", Peaks({"float32": 1e18}, 1e18, 1e18))
    with running(tmp_path) as service:
        said = [row(LAYER), row(OTHER, params={"m": 4, "n": 8, "k": 33})]
        ops = [
            {"name": f"q{n}", "operator": "linear", "params": one["params"], "calls": 1, "workload": one["id"]}
            for n, one in enumerate(said)
        ]
        model = {"name": "m", "source": "lab", "step": {"phase": "decode"}, "ops": ops}
        words = [{name: value for name, value in one.items() if name != "id"} for one in said]
        service.ids["r1"] = service.release(models=[model], workloads=words)
        for who in ("acme", "late", "judge"):
            service.invite(service.ids["r1"], who)
        for who in ("acme", "late"):
            service.register(who)
        service.now = EARLY
        yield service


def submit(race: Service, who: str, workload: Workload, seconds: float) -> str:
    chip = detect.host()
    samples = (seconds, 1.01 * seconds, 1.02 * seconds)
    made = claim(
        workload=workload.id, target=chip, toolchain=toolchain(chip), policy=Policy("warm", chip.cores),
        schedule=DEFAULT, samples=samples, evidence={},
    )  # fmt: skip
    taken = race.submit(who, of=batch(made, vendor=who, nonce=secrets.token_hex(16)))
    assert taken.status == 200, taken.body
    return str(taken.json["claims"][0])


def test_from_claim_to_verdict(race: Service) -> None:
    honest = submit(race, "acme", LAYER, 0.5)
    lie = submit(race, "late", LAYER, 2e-9)
    strange = submit(race, "acme", OTHER, 0.5)
    with connect(f"http://127.0.0.1:{race.port}", race.tokens["judge"]) as client:
        referee = Referee(client, detect.host().fingerprint)
        found = {one.claimed.id: one for one in referee.once()}
        assert list(found) == [honest, lie, strange]
        assert list(referee.once()) == []  # a verdict is sent once
    assert found[honest].ruling.outcome.value == "reproduced"
    assert found[honest].tier == "reproduced"
    # How far it is off can only be told where nothing else runs on the machine.
    assert found[lie].ruling.cause.value in ("not_reproduced", "disturbed")
    assert found[strange].ruling.cause.value == "other_workload"
    json.dumps([one.to_json() for one in found.values()], allow_nan=False)

    shown = race.get(f"/v1/claims/{honest}", "acme").json
    (verdict,) = shown["verdicts"]
    assert (shown["tier"], shown["disputed"], verdict["judge"]) == ("reproduced", False, "judge")
    evidence = verdict["evidence"]
    assert len([one for one in evidence["cases"] if one["inputs"] == "seed"]) == 3
    assert {"samples", "default", "median", "claimed", "machine", "toolchain", "sandbox", "takes"} <= set(evidence)
    assert "def main(" in evidence["program"]
    # It was timed against the lie, which led; its vendor is not told so, the referee is.
    assert "incumbent" not in evidence
    told = race.get(f"/v1/claims/{honest}", "judge").json["verdicts"][0]["evidence"]["incumbent"]
    assert told["claim"] == lie
    assert len(told["samples"]) == len(told["ratios"]) == len(evidence["samples"])
    assert race.get(f"/v1/claims/{lie}", "late").json["verdicts"][0]["reason"].startswith(found[lie].ruling.cause.value)


def test_the_command(race: Service, tmp_path: Path) -> None:
    strange = submit(race, "acme", OTHER, 0.5)
    token = tmp_path / "judge.token"
    token.write_text(race.tokens["judge"])
    token.chmod(0o600)
    given = ["--db", f"http://127.0.0.1:{race.port}", "--token-file", str(token), "--once"]
    told = CliRunner().invoke(command, [*given, "--json"], catch_exceptions=False)
    (line,) = told.stdout.splitlines()
    assert (json.loads(line)["claim"], json.loads(line)["outcome"]) == (strange, "unjudged")
    # Judged again on request, once; the verdicts of then stay.
    race.now = LATE
    again = CliRunner().invoke(command, [*given, "--again"], catch_exceptions=False).stdout
    assert "other_workload" in again and "1 judged: 1 unjudged" in again
    assert len(race.get(f"/v1/claims/{strange}", "acme").json["verdicts"]) == 2


def test_what_is_withdrawn_meanwhile_ends_nothing(race: Service) -> None:
    strange = submit(race, "acme", OTHER, 0.5)
    with connect(f"http://127.0.0.1:{race.port}", race.tokens["judge"]) as client:
        referee = Referee(client, detect.host().fingerprint)
        (pending,) = client.get("/v1/pending", target=referee.target)["pending"]
        judged = referee.judge(Claimed.of_json({**pending, "claim": {**pending["claim"], "id": "t" + 28 * "0"}}))
        assert (judged.state, judged.untaken) == ("", "no such thing is open to you")
        assert [one.claimed.id for one in referee.once()] == [strange]


def test_once_or_watch() -> None:
    answer = CliRunner().invoke(command, [])
    assert "say --once or --watch SECONDS" in str(answer.exception)
