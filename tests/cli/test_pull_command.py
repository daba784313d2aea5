"""``headstart pull``, ``update`` and ``rollback`` at a terminal."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cli._pull import show_pulled
from tests.cli.session import folder, run
from tests.tuning_db.deploy.depot import LIBRARY, Depot, library
from tests.tuning_db.selecting import ROWS, SELECTION, candidate, kernel
from tuner.pulling import Pulled, Traffic
from tuning_db.deploy.lock import Lock, Origin
from tuning_db.published import Prebuilt

FASTER = replace(SELECTION, kernels=(kernel(1, candidate("reproduced", 5, 5e-4)), kernel(2)))
SLOWER = replace(SELECTION, kernels=(kernel(1, candidate("reproduced", 6, 8e-3)), kernel(2)))


@pytest.fixture
def depot(tmp_path: Path) -> Iterator[Depot]:
    with Depot() as made, folder(tmp_path, HEADSTART_CACHE=str(tmp_path / "cache")):
        made.publish()
        made.sign()
        yield made


ROWS_PULL = ("pull", "tiny", "--prebuilt", "--target", SELECTION.target, "-o", "b")


def answered(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))


def test_pull_update_rollback(depot: Depot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pull = "pull", "tiny", "--from", depot.url, "--target", SELECTION.target, "--prebuilt", "-o", "b"
    said = run(*pull)
    assert said.code == 0
    assert said.out.startswith("b: 2 kernels of tiny for example, built there. ")
    assert "pinned in headstart.lock." in said.out
    assert "Nothing is trusted as far as reproduced for op2: default schedule." in said.out
    assert "Not in Headstart yet: topk" in said.out
    assert "on first use" in said.err
    again = run(*pull)
    assert again.out.startswith("b is up to date: bundle ")
    assert "Nothing new there. 2 requests, 60 B received." in again.out
    assert run("update", "--prebuilt").out.startswith("b is up to date")

    depot.publish(FASTER, b"faster")
    depot.sign()
    answered(monkeypatch, "n\n")
    said = run("update", "--prebuilt")
    assert "4.00x" in said.out
    assert "A step: 6.00 ms now, 1.50 ms then, 4.00x as fast; 1 of 2 kernels are timed." in said.out
    assert library(tmp_path) == LIBRARY
    report = run("update", "--prebuilt", "--json").json
    assert (report["new"], report["taken"], report["step"]["speedup"]) == (True, False, 4.0)
    assert library(tmp_path) == LIBRARY
    answered(monkeypatch, "\n")
    assert run("update", "--prebuilt").code == 0
    assert library(tmp_path) == b"faster"
    said = run("rollback")
    assert (said.code, library(tmp_path)) == (0, LIBRARY)
    assert "requests" not in said.out

    # What got slower, since a claim fell, is not taken for having pressed Enter.
    run("update", "--prebuilt", "--yes")
    depot.publish(SLOWER, b"slower")
    depot.sign()
    answered(monkeypatch, "\n")
    assert "0.06x" in run("update", "--prebuilt").out
    assert library(tmp_path) == b"faster"


def test_what_is_wrong_is_said_in_a_line(depot: Depot, tmp_path: Path) -> None:
    for words, told in (
        (("pull", "-o", "b"), "which model"),
        (("pull", "--locked", "-o", "b"), "headstart.lock is not there"),
        (("update",), "headstart.lock is not there"),
        (("rollback",), "nothing is known on this machine"),
        (("pull", "tiny", "--from", "http://", "-o", "b", "--target", SELECTION.target), "is no URL of a service"),
        (("pull", "tiny", "--from", depot.url, "--root", "absent.json", "-o", "b"), "cannot read absent.json"),
        ((*ROWS_PULL, "--tokens", "4,16", "--from", depot.url), "nothing of tiny for decode-t4-b4-kv4096-"),
        ((*ROWS_PULL, "--tokens", "4,x", "--from", depot.url), "'4,x' is not a number, or several with commas"),
    ):
        said = run(*words)
        assert said.code in (1, 2)
        lines = [line for line in said.err.splitlines() if not line.startswith("trusting ")]
        assert len(lines) == 1 and told in lines[0]
        assert said.out == ""
    assert not (tmp_path / "b").exists()


def test_families_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    lock = Lock(Origin("tiny.db"), "reproduced", "0" * 64, ROWS.chosen("reproduced"), "here", Prebuilt("b" * 64, {}))
    pulled = Pulled(Path("b"), lock, True, Traffic())
    show_pulled(pulled, Path("headstart.lock"), False)
    out = " ".join(capsys.readouterr().out.split())
    assert "op1 │ linear │ 1 to 16 │ 4, 16, any" in out
    assert "Nothing is trusted as far as reproduced for op2: default schedule." in out
    assert "Default schedule for some numbers of rows: op1." in out
    show_pulled(pulled, Path("headstart.lock"), True)
    (family,) = json.loads(capsys.readouterr().out)["families"]
    assert family == {"names": ["op1"], "operator": "linear", "largest": 16, "kernels": [4, 16]}
