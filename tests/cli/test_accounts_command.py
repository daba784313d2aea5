"""``headstart accounts`` on a file, and what its tokens open."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.main import main
from tuning_db.store import Store

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def headstart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``headstart`` in a folder: exit code, output, errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEADSTART_DB", raising=False)

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["headstart", *words])
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out, err

    return run


def test_from_nothing_to_a_token_and_back(headstart: Run) -> None:
    code, out, _ = headstart("accounts", "add", "acme", "vendor", "--json")
    account = json.loads(out)
    assert (code, account["role"]) == (0, "vendor")
    made = json.loads(headstart("accounts", "token", "acme", "--scope", "read", "--days", "1", "--json")[1])
    assert 86_000 < made["expires"] - time.time() <= 86_400
    with Store.open("headstart.db") as store:
        opened = store.authenticate(made["token"], time.time())
        assert opened is not None
        assert (opened.id, opened.scopes) == (account["id"], ("read",))
    code, out, _ = headstart("accounts", "list", "--json")
    (row,) = json.loads(out)["accounts"]
    assert (row["name"], [token["id"] for token in row["tokens"]]) == ("acme", [made["id"]])
    assert made["token"] not in out
    assert made["id"] in headstart("accounts", "list")[1].replace("\n", "")
    assert headstart("accounts", "revoke", made["id"])[0] == 0
    with Store.open("headstart.db") as store:
        assert store.authenticate(made["token"], time.time()) is None


def test_a_token_alone_is_printed_for_scripts(headstart: Run) -> None:
    headstart("accounts", "add", "acme", "vendor")
    _, out, err = headstart("accounts", "token", "acme")
    assert out.startswith("hst_")
    assert out.count("\n") == 1
    assert out.strip() not in err
    assert headstart("accounts", "close", "acme")[0] == 0
    with Store.open("headstart.db") as store:
        assert store.authenticate(out.strip(), time.time()) is None


def test_a_quota_of_ones_own(headstart: Run) -> None:
    headstart("accounts", "add", "acme", "vendor")
    assert json.loads(headstart("accounts", "quota", "acme", "--claims", "5", "--requests", "0.5", "--json")[1]) == {
        "account": "acme",
        "quota": {"requests": 0.5, "claims": 5, "bytes": None, "misses": None, "uploads": None},
        "sent": {"claims": 0, "bytes": 0, "misses": 0, "uploads": 0},
    }
    headstart("accounts", "quota", "acme", "--claims", "default", "--bytes", "1000000")
    told = json.loads(headstart("accounts", "quota", "acme", "--json")[1])
    assert told["quota"] == {"requests": 0.5, "claims": None, "bytes": 1_000_000, "misses": None, "uploads": None}
    assert "1,000,000" in headstart("accounts", "quota", "acme")[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add", "Acme", "vendor"), "cannot be a name"),
        (("add", "lab", "vendor"), "already"),
        (("add", "x", "king"), "king"),
        (("token", "nobody"), "no account 'nobody'"),
        (("token", "lab", "--scope", "submit"), "cannot have submit"),
        (("token", "lab", "--days", "0"), "--days"),
        (("token", "lab", "--days", "nan"), "less than ten years"),
        (("revoke", "k0"), "no token k0"),
        (("close", "nobody"), "no account"),
        (("quota", "nobody"), "no account"),
        (("quota", "lab", "--claims", "many"), "neither a number nor 'default'"),
        (("quota", "lab", "--bytes", "-1"), "a quota of bytes"),
        (("quota", "lab", "--requests", "0"), "more than none"),
        (("add", "acme-", "vendor"), "cannot be a name"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(headstart: Run, words: tuple[str, ...], said: str) -> None:
    headstart("accounts", "add", "lab", "publisher")
    code, out, err = headstart("accounts", *words)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err
