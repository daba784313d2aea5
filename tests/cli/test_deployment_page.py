"""The first half of docs/deployment.md, command for command: a database, a service, and a deployment that pulls."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from headstart_runtime import bundle
from schedules.workload import Workload
from targets import detect
from tests.cli.session import ROOT, Said, folder, run, served
from tests.cli.test_reference import understand
from tuner.frontend.model import Model, ModelOp
from tuner.frontend.step import complete_step
from tuner.frontend.stored import store_model
from tuner.policy import policy_for
from tuner.task import DEFAULT
from tuner.tasks import register
from tuning_db.records import Key, Status, Trial
from tuning_db.store import Store

PAGE = (ROOT / "docs" / "deployment.md").read_text().partition("## Use\n")[0]
URL = "https://race.example"
OPS = (
    ModelOp("up", "linear", {"m": 16, "n": 48, "k": 128, "dtype": "bfloat16", "out": "bfloat16"}, 2),
    ModelOp("norm", "rmsnorm", {"tokens": 16, "dim": 64, "dtype": "float32"}, 2),
)


def lines() -> list[str]:
    """Every command on the page, in order; what stands behind ``#`` is for people."""
    return [line.partition("  #")[0].strip() for line in re.findall(r"^(?:    )?headstart .*$", PAGE, re.M)]


def tuned(db: Path) -> None:
    """A database as tuning leaves it: a model, of which one workload has a champion."""
    model = Model("v5", "a test", complete_step(), OPS)
    target = detect.host()
    policy = policy_for("decode", target)
    with Store.open(db) as store:
        tools = register(store, target, policy)
        store_model(store, model)
        store.add_schedule(DEFAULT.id, DEFAULT.space, DEFAULT.version, {})
        workload: Workload = OPS[0].workload
        key = Key(workload.id, target.fingerprint, tools.id, policy.id)
        store.add_trial(Trial(key, DEFAULT.id, Status.OK, (1e-5,) * 3, 1e-5, 0.0, machine="here"), crown=True)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[tuple[str, Said]]]:
    """What each command said, in a folder that has all of it in the end."""
    path, said = tmp_path_factory.mktemp("page"), []
    with ExitStack() as stack:
        stack.enter_context(folder(path, HEADSTART_CACHE=str(path / "cache")))
        url = ""
        for line in lines():
            command, _, kept = line.partition(" > ")
            program, *words = shlex.split(command)
            assert program == "headstart"
            if words[0] == "tune":
                understand(list(words), stack.enter_context(pytest.MonkeyPatch.context()))
                tuned(path / "v5.db")
                continue
            if words[0] == "serve":
                url = stack.enter_context(served(path, *words[1:]))
                continue
            words = [url if word == URL else word for word in words]
            answer = run(*words, *([] if kept else ["--json"]))
            if line == "headstart rollback" and len(said) < 5:
                assert answer.code == 1  # nothing was there before
                continue
            assert answer.code == 0, (line, answer)
            if kept:
                (path / kept).write_text(answer.out)
                (path / kept).chmod(0o600)
                continue
            said.append((line, answer))
        yield said
        for found in ("v5.bundle", "built.bundle"):
            bundle.verify(path / found)


def test_what_the_page_came_to(told: list[tuple[str, Said]]) -> None:
    pulls = [(line, said.json) for line, said in told if line.split()[1] in ("pull", "rollback")]
    lines, answers = zip(*pulls, strict=True)
    assert len(lines) == 7
    first, locked, there, again, back, locked_again, offline = answers
    assert (first["made"], first["changed"], first["untuned"]) == ("here", True, ["norm"])
    assert (locked["changed"], locked["digest"]) == (False, first["digest"])
    assert (there["made"], there["changed"], there["kernels"]) == ("prebuilt", True, 2)
    assert (again["changed"], again["requests"], again["unchanged_answers"]) == (False, 2, 1)
    assert again["bytes_received"] < 300
    assert (back["digest"], back["requests"]) == (first["digest"], 0)
    assert (locked_again["changed"], locked_again["digest"]) == (False, first["digest"])
    assert (offline["made"], offline["requests"]) == ("here", 0)
    updates = [said.json for line, said in told if line.startswith("headstart update")]
    assert [(update["new"], update["taken"]) for update in updates] == [(False, False)] * 2
