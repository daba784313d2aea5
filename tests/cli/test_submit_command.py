"""``headstart submit`` where not all goes well, and what clients make of servers that are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from schedules.schedule import Schedule
from tests.cli.session import folder, run
from tests.tuning_db.claims import CHIP, WORKLOAD
from tests.tuning_db.example import POLICY, TOOLCHAIN
from tests.tuning_db.service.hostile import hostile, http
from tests.tuning_db.service.running import COMPUTATION, EARLY, Service, running
from tuning_db.keyfile import write_key
from tuning_db.records import Key, Status, Trial
from tuning_db.store import Store

ANSWERS = [b'{"claims": [{}], "next": null, "releases": 7, "id": "\\u001b[2J", "name": []}', b"<html>"]
COMMANDS = [
    "releases list",
    "releases show r1",
    "releases openings r1",
    "releases standings r1",
    "releases invite r1 acme --opens now",
    "releases fetch r1 --to new.db",
    "claims list --all",
    "claims show t1",
    "claims withdraw t1",
    "keys list",
    "keys register acme.key",
    "keys revoke k1",
    "show t1",
    "show w1",
    f"best {WORKLOAD} --target {CHIP.fingerprint}",
    "submit --release r1 --key acme.key",
    "ledger checkpoint",
    "ledger show",
    "ledger export log",
    "ledger verify --key VERIFIER",
]


def add(db: Path, *seconds: float) -> None:
    """Time schedules of the workload; the last one is the champion."""
    plan = Schedule("default", 1, {})
    with Store.open(db) as store, store.transaction():
        store.add_target(CHIP.fingerprint, CHIP.name, CHIP.vendor, CHIP.spec())
        store.add_toolchain(TOOLCHAIN)
        store.add_policy(POLICY)
        store.add_workload(WORKLOAD, **{name: COMPUTATION[name] for name in COMPUTATION})  # type: ignore[arg-type]
        store.add_schedule(plan.id, plan.space, plan.version, plan.config)
        for each in seconds:
            samples = (each, each * 1.02, each * 1.04)
            key = Key(WORKLOAD, CHIP.fingerprint, TOOLCHAIN.id, POLICY.id)
            trial = Trial(key, plan.id, Status.OK, samples, samples[1], each * 0.01, machine="here")
            store.add_trial(trial, crown=True)


@pytest.fixture
def race(tmp_path: Path):  # type: ignore[no-untyped-def]
    with running(tmp_path) as service, folder(tmp_path, HEADSTART_DB=f"http://127.0.0.1:{service.port}"):
        service.invite(service.release(), "acme", opens=EARLY)
        service.now = EARLY
        for name in ("acme", "rival"):
            (tmp_path / f"{name}.token").write_text(f"{service.tokens[name]}\n")
            (tmp_path / f"{name}.token").chmod(0o600)
        assert run("keys", "new", "acme").code == 0
        yield service


def submit(*words: str, who: str = "acme") -> tuple[str, ...]:
    return ("submit", "--release", "r1", "--key", "acme.key", "--from", "v5.db", "--token-file", f"{who}.token", *words)


def test_what_is_there_is_left_out_and_what_is_refused_is_explained(race: Service, tmp_path: Path) -> None:
    add(tmp_path / "v5.db", 2e-3)
    unknown = run(*submit())
    assert unknown.code == 1
    assert "unknown_key: no signature is by a key that is known and valid" in unknown.out
    assert run("keys", "register", "acme.key", "--token-file", "acme.token").code == 0
    add(tmp_path / "fast.db", 1e-7)
    low = run(*submit("--from", "fast.db"))
    assert (low.code, low.err) == (1, "")
    assert "refused, and nothing of it was kept" in low.out
    assert "below_floor: faster than the declared chip can be" in low.out
    assert f"trial 1, {WORKLOAD} in default: " in low.out
    told = run(*submit("--from", "fast.db", "--json"))
    assert (told.code, told.json["batches"][0]["reasons"][0]["code"]) == (1, "below_floor")

    first = run(*submit("--verifier", str(race.verifier("public"))))
    assert first.code == 0, first
    assert "1 claims for r1 taken" in first.out and first.out.endswith("verified\n")
    again = run(*submit("--json"))
    assert (again.code, again.json, again.err) == (0, {"batches": []}, "1 trials are there already, and left out\n")
    add(tmp_path / "v5.db", 1.5e-3)
    assert run(*submit("--json")).json["batches"][0]["taken"]
    # To a vendor that is not invited it is not there.
    assert run(*submit(who="rival")).err == "error: no such thing is open to you\n"


def test_it_needs_a_key_or_an_envelope(race: Service, tmp_path: Path) -> None:
    add(tmp_path / "empty.db")
    for words, said in (
        (("submit", "--from", "none.db", "--key", "acme.key"), "no database at none.db"),
        (("submit",), "--key"),
        (("submit", "--file", "acme.key"), "acme.key: "),
        (("submit", "--key", "acme.key", "--from", "empty.db"), "no champion with 3 samples"),
        (("submit", "--key", "acme.key", "--from", "empty.db", "--every"), "no trial with 3 samples"),
        (("submit", "--key", "acme.key", "--follow", "1s"), "no database at headstart.db"),
        (("submit", "--follow", "1s", "--file", "acme.key"), "goes with neither --file nor --out"),
        (("submit", "--follow", "1s", "--out", "outbox"), "goes with neither --file nor --out"),
        (("submit", "--follow", "0s"), "more than nothing"),
        (("submit", "--vendor", "acme"), "--vendor goes with --out"),
        (("submit", "--verifier", "x"), "NAME+ID+KEY"),
    ):
        told = run(*words, "--token-file", "acme.token")
        assert (told.code, told.out) == (2, "")
        assert said in told.err
        assert told.err.count("\n") == 1


@pytest.mark.parametrize("line", COMMANDS)
def test_no_answer_makes_a_traceback(line: str, tmp_path: Path) -> None:
    from tuning_db.note import SigningKey

    write_key(tmp_path / "service.key", SigningKey.new("race.example"))
    with folder(tmp_path):
        run("keys", "new", "acme")
        verifier = json.loads(run("ledger", "key", "service.key", "--json").out)["key"]
        for answer in ANSWERS:
            with hostile(http(answer)) as (url, got), folder(tmp_path, HEADSTART_DB=url, HEADSTART_TOKEN="hst_x"):
                said = run(*(verifier if word == "VERIFIER" else word for word in line.split()))
            assert got
            assert said.code == 1, (answer, said)
            assert said.out == ""
            assert said.err.startswith("error: ") and said.err.count("\n") == 1, said
            assert said.err.rstrip("\n").isprintable()
            assert "hst_" not in said.err
        assert not (tmp_path / "new.db").exists() and not (tmp_path / "log").exists()
