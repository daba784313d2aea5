"""``headstart board`` on a file."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cli._output import console
from cli.main import main
from tests.tuning_db.board_race import LAUNCH, hold
from tuning_db.claim import Outcome
from tuning_db.store import Store

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def headstart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``headstart`` beside a race that was over long ago: exit code, output, errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEADSTART_DB", raising=False)
    monkeypatch.setattr(console, "width", 160)
    with Store.open("headstart.db") as store:
        course = hold(store)
        for op in range(4):
            course.say("judge", course.claim("acme", op, 1e-3), Outcome.REPLAYED)
            course.claim("crane", op, 2e-3, chip=1)
        course.now = LAUNCH + 86400
        for op in range(4):
            course.say("judge", course.claim("brick", op, 0.9e-3), Outcome.REPLAYED)

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["headstart", *words])
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out, err

    return run


@pytest.mark.parametrize(
    ("view", "words"),
    [
        ("board", ["v5 decode on zen4", "brick", "115 ms", "only declared"]),
        ("readiness", ["zen4 warm", "layer.3, layer.again", "replayed"]),
        ("timeline", ["acme", "128 ms", "replayed"]),
        ("headstart", ["1.0 days", "2.00x", "not yet"]),
    ],
)
def test_for_people_and_for_programs(headstart: Run, view: str, words: list[str]) -> None:
    code, out, _ = headstart("board", "v5", "--view", view)
    assert code == 0
    assert [word for word in words if word not in out] == []
    code, out, _ = headstart("board", "v5", "--view", view, "--json")
    assert (code, json.loads(out)["release"]["name"]) == (0, "v5")
    code, out, _ = headstart("board", "v5", "--view", view, "--target", "zen4", "--json")
    assert "crane" not in out


def test_what_is_not_there(headstart: Run) -> None:
    code, out, err = headstart("board", "v9")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert headstart("board", "v5", "--target", "h100")[1].startswith("Nothing that you may know of")
    assert headstart("board", "public", "--view", "headstart")[2].endswith("counted from a launch on\n")
