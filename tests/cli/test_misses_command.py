"""Misses from a call to a champion: counted, told to a service, fetched by who tunes for it, tuned."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from headstart_runtime.dispatch import use
from headstart_runtime.misses import Miss, Misses
from schedules.operator import make_operator
from schedules.workload import Workload
from targets import resolve
from tests.cli.session import folder, run
from tests.tuning_db.service.running import Service, running
from tuning_db.misses import Missed
from tuning_db.store import Store

HAS = {"m": 4, "n": 32, "k": 32}
WANTED = Workload.of(make_operator("linear", HAS | {"m": 6}))


def count_misses(path: Path, times: int = 1) -> None:
    """What a program does that calls a bundle with six rows, which has a kernel for four."""
    counter = Misses()
    inputs = (("float32", (6, 32)), ("float32", (32, 32)))
    counter.add(Miss("linear", HAS, inputs, resolve("host").fingerprint), times)
    counter.write(path)


@pytest.fixture
def service(tmp_path: Path):  # type: ignore[no-untyped-def]
    with running(tmp_path) as made, folder(tmp_path):
        with Store.open(made.db) as store:
            tuner = store.issue_token(store.account("root"), made.now, 1e6, ["misses"])[1]
        for name, token in (("user", made.tokens["user"]), ("tuner", tuner)):
            (tmp_path / f"{name}.token").write_text(token)
            (tmp_path / f"{name}.token").chmod(0o600)
        yield made


def test_from_a_call_over_a_service_to_a_champion(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://127.0.0.1:{service.port}"
    has = Workload.of(make_operator("linear", HAS))
    with Store.open("has.db") as store:
        store.tell_misses("0" * 32, [Missed(has.id, "linear", has.params, resolve("host").fingerprint, 1)], 0.0)
    assert run("bundle", "build", "misses", "--db", "has.db", "-o", "has.bundle").code == 0
    # A program with a bundle that has no kernel for six rows.
    x, w = WANTED.inputs(np.random.default_rng(0))
    kernels = use("has.bundle")
    for _ in range(12):
        assert np.array_equal(kernels.apply("linear", (x, w), lambda x, w: x @ w.T), x @ w.T)
    kernels.write_misses("misses.json")
    push = ("misses", "push", "misses.json", "--db", url, "--token-file", "user.token")
    # Nothing goes without a yes; what would go is shown, and is what goes.
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdin", io.StringIO("n\n"))
        shown = run(*push)
    assert (shown.code, shown.err) == (1, "error: nothing was sent\n") and WANTED.id in shown.out
    assert service.get("/v1/misses", "root").json == {"misses": []}
    told = run(*push, "--yes")
    assert told.code == 0, told
    sent = [json.loads(line) for line in told.out.splitlines() if line.startswith("  {")]
    assert sent == service.get("/v1/misses", "root").json["misses"]
    assert (sent[0]["workload"], sent[0]["count"]) == (WANTED.id, 12)
    # A retry counts nothing twice, and what came meanwhile once.
    count_misses(tmp_path / "misses.json", 3)
    assert run(*push, "--yes", "--json").json["told"][0]["misses"][0]["count"] == 15
    listed = run("misses", "list", "--db", url, "--token-file", "user.token", "--json")
    assert [miss["count"] for miss in listed.json["misses"]] == [15]

    fetch = ("misses", "fetch", "--db", url, "--token-file", "tuner.token", "--into", "headstart.db")
    assert "1 workload, missed 15 times" in run(*fetch).out
    assert run(*fetch, "--json").json["misses"] == listed.json["misses"]
    tuned = run("tune", "misses", "--trials", "3", "--json")
    assert tuned.code == 0, tuned
    (row,) = tuned.json["workloads"]
    assert (row["workload"], row["calls"]) == (WANTED.id, 15) and row["champion_s"]
    # Two trials are few: it still waits, and another model says so.
    assert tuned.json["misses"] == 1
    assert run("best", WANTED.id).code == 0
    assert run("bundle", "build", "misses", "-o", "missed.bundle", "--json").json["kernels"] == 1
    # The program takes the new bundle as well, and misses nothing any more.
    kernels = use("has.bundle", "missed.bundle", miss="raise")
    assert np.allclose(kernels.apply("linear", (x, w)), x @ w.T, rtol=1e-4, atol=1e-4) and not kernels.misses.counts


def test_what_is_tuned_is_left_out_and_what_is_no_such_workload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chip = resolve("host").fingerprint
    with folder(tmp_path):
        count_misses(tmp_path / "misses.json")
        assert run("misses", "push", "misses.json", "--yes").code == 0
        with Store.open("headstart.db") as store:
            store.tell_misses("0" * 32, [Missed("w" + "0" * 24, "linear", HAS, chip, 1)], 0.0)
            store.tell_misses("0" * 32, [Missed("w" + "1" * 24, "splendid", {}, chip, 1)], 0.0)
        monkeypatch.setattr("tuning_db.misses.TUNED", 2)
        first = run("tune", "misses", "--trials", "2", "--json")
        assert [row["workload"] for row in first.json["workloads"]] == [WANTED.id]
        assert "linear 4x32x32 fp32 is w" in first.err and "unknown operator 'splendid'" in first.err
        second = run("tune", "misses", "--trials", "1", "--json")
        assert (second.code, second.json["workloads"]) == (0, [])
        assert "1 of the 3 workloads missed" in second.err
        assert run("tune", "misses", "--trials", "1").out.startswith("misses: nothing to tune on ")
        assert "have their shapes already" in run("tune", "misses", "--tokens", "7", "--trials", "1").err


def test_what_is_wrong_is_said_in_a_line(tmp_path: Path) -> None:
    with folder(tmp_path):
        (tmp_path / "bad.json").write_text('{"schema": "headstart-misses/9"}')
        count_misses(tmp_path / "misses.json")
        for words, said in (
            (("show", "none.json"), "cannot read none.json"),
            (("show", "bad.json"), "bad.json is no file of misses: it is not of the schema headstart-misses/1"),
            (("list",), "no database at headstart.db"),
            (("fetch",), "headstart.db is a file"),
            (("list", "--target", "splendid"), "splendid"),
            (("push", "misses.json", "--db", "headstart.db", "--as", "nobody", "--yes"), "headstart.db"),
        ):
            told = run("misses", *words)
            assert (told.code, told.err.count("\n")) == (2, 1), (words, told)
            assert said in told.err
        assert WANTED.id in run("misses", "show", "misses.json").out
        assert not (tmp_path / "headstart.db").exists()
