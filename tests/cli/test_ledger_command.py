"""``headstart ledger`` as a person meets it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.main import main
from tests.cli.test_db import Said
from tests.tuning_db.test_audit import harm
from tests.tuning_db.test_ledger import fill
from tuning_db.store import Store

Run = Callable[..., Said]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Store.open(tmp_path / "headstart.db") as store:
        fill(store)
        fill(store, "r0123", 2)
    return tmp_path


@pytest.fixture
def headstart(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``headstart ledger`` in ``folder``; what goes to ``out`` lands in a file of that name."""
    monkeypatch.chdir(folder)
    monkeypatch.delenv("HEADSTART_DB", raising=False)
    monkeypatch.setattr("cli._output.console._width", 120)

    def run(*words: str, out: str = "") -> Said:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["headstart", "ledger", *words])
            try:
                main()
                code = 0
            except SystemExit as stop:
                code = int(stop.code or 0)
        said = Said(code, *capsys.readouterr())
        if out:
            assert code == 0, said.err
            (folder / out).write_text(said.out)
        return said

    return run


@pytest.fixture
def vkey(headstart: Run) -> str:
    """A key in ``service.key``, and the verifier key of its log ``public``."""
    return headstart("key", "service.key", "--new", "headstart.example").out.strip()


def test_show(headstart: Run) -> None:
    said = headstart("show", "--count", "3")
    assert "public, 11 entries" in said.out
    assert [line.split("│")[1].strip() for line in said.out.splitlines() if "someone" in line] == ["8", "9", "10"]
    assert "2001-09-09 01:46:48" in said.out
    assert '{"n":8}' in said.out
    answer = json.loads(headstart("show", "--log", "r0123", "--start", "1", "--json").out)
    assert (answer["log"], answer["size"]) == ("r0123", 2)
    assert [(one["seq"], one["actor"], one["payload"]) for one in answer["entries"]] == [(1, "someone", {"n": 1})]
    assert json.loads(headstart("show", "--start", "11", "--json").out)["entries"] == []


def test_keys(folder: Path, headstart: Run, vkey: str) -> None:
    assert vkey.startswith("headstart.example/public+")
    assert headstart("key", "service.key").out.strip() == vkey
    other = json.loads(headstart("key", "service.key", "--log", "r0123", "--json").out)
    assert other["key"].startswith("headstart.example/r0123+")
    before = (folder / "service.key").read_bytes()
    said = headstart("key", "service.key", "--new", "other.example")
    assert said.code == 2
    assert "never overwritten" in said.err
    assert (folder / "service.key").read_bytes() == before


def test_checkpoints(headstart: Run, vkey: str) -> None:
    unsigned = headstart("checkpoint").out
    name, size, root = unsigned.splitlines()
    assert (name, size) == ("public", "11")
    signed = headstart("checkpoint", "--key-file", "service.key").out
    assert signed.splitlines()[:4] == ["headstart.example/public", size, root, ""]
    answer = json.loads(headstart("checkpoint", "--key-file", "service.key", "--json").out)
    assert answer == {"log": "public", "size": 11, "root": root, "checkpoint": signed}


def test_a_receipt_and_a_log_verify_offline(folder: Path, headstart: Run, vkey: str) -> None:
    headstart("checkpoint", "--key-file", "service.key", out="old.txt")
    with Store.open(folder / "headstart.db") as store:
        fill(store, number=4)
    headstart("receipt", "3", "--key-file", "service.key", "--since", "11", out="receipt.json")
    assert headstart("export", "public.log", "--key-file", "service.key").out == "public.log: 15 entries of public\n"
    (folder / "headstart.db").unlink()
    said = headstart("verify", "receipt.json", "--key", vkey, "--since", "old.txt")
    assert said.code == 0
    assert said.out == (
        "receipt.json: entry 3 of public (someone did at 2001-09-09 01:46:43 UTC) is in the log of size 15 that "
        "headstart.example/public signed and continues the older checkpoint\n"
    )
    said = headstart("verify", "public.log", "--key", vkey, "--since", "old.txt")
    whole = "whole, the log of size 15 that headstart.example/public signed and continues the older checkpoint"
    assert said.out == f"public.log: {whole}\n"
    receipt = json.loads(headstart("verify", "receipt.json", "--key", vkey, "--json").out)
    assert (receipt["kind"], receipt["entry"]["seq"], receipt["size"]) == ("receipt", 3, 15)
    log = json.loads(headstart("verify", "public.log", "--key", vkey, "--json").out)
    assert {**log, "path": "", "kind": ""} == {
        **{name: value for name, value in receipt.items() if name != "entry"},
        "path": "",
        "kind": "",
    }


@pytest.mark.parametrize("name", ["receipt.json", "public.log"])
def test_what_was_changed_exits_with_1_and_one_line(folder: Path, headstart: Run, vkey: str, name: str) -> None:
    headstart("receipt", "3", "--key-file", "service.key", out="receipt.json")
    headstart("export", "public.log", "--key-file", "service.key", "--json")
    path = folder / name
    path.write_text(path.read_text().replace("someone", "nobody"))
    for words in ((), ("--json",)):
        said = headstart("verify", name, "--key", vkey, *words)
        assert said.code == 1
        assert said.out == ""
        assert said.err.startswith(f"error: {name} does not verify: ")
        assert said.err.count("\n") == 1


def test_a_database_verifies(folder: Path, headstart: Run, vkey: str) -> None:
    headstart("checkpoint", "--key-file", "service.key", out="old.txt")
    with Store.open(folder / "headstart.db") as store:
        fill(store, number=4)
    said = headstart("verify")
    assert [line.rpartition("root ")[0] for line in said.out.splitlines()] == [
        "public: whole, size 15, ",
        "r0123: whole, size 2, ",
    ]
    assert headstart("verify", "--log", "r0123").out.count("\n") == 1
    said = headstart("verify", "--key", vkey, "--since", "old.txt")
    assert said.out.startswith("public: whole, size 15, root ")
    assert said.out.endswith(", continues the older checkpoint\n")
    answer = json.loads(headstart("verify", "--json").out)
    assert [(log["log"], log["size"], log["problems"]) for log in answer["logs"]] == [
        ("public", 15, []),
        ("r0123", 2, []),
    ]


def test_a_database_that_was_changed_exits_with_1(folder: Path, headstart: Run, vkey: str) -> None:
    headstart("checkpoint", "--key-file", "service.key", out="old.txt")
    with Store.open(folder / "headstart.db") as store:
        harm(store, "UPDATE ledger_entry SET actor = 'me' WHERE log = 'public' AND seq = 4")
    said = headstart("verify")
    assert said.code == 1
    assert said.out.startswith("public: entry 4 hashes to ")
    assert "r0123: whole" in said.out
    answer = headstart("verify", "--json")
    assert answer.code == 1
    assert [len(log["problems"]) for log in json.loads(answer.out)["logs"]] == [1, 0]
    with Store.open(folder / "headstart.db") as store:
        harm(store, "DELETE FROM ledger_entry WHERE log = 'public'", "UPDATE ledger SET size = 0 WHERE log = 'public'")
    assert headstart("verify").code == 0
    said = headstart("verify", "--key", vkey, "--since", "old.txt")
    assert said.code == 1
    assert said.out == "public: it has 0 entries, the older checkpoint signs 11: some were taken away\n"


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (("verify", "text"), 2, "give it with --key"),
        (("verify", "--since", "text"), 2, "give it with --key"),
        (("verify", "text", "--key", "x"), 2, "a verifier key is NAME+ID+KEY"),
        (("verify", "text", "--key", "VKEY"), 1, "text does not verify: is not JSON"),
        (("verify", "text", "--key", "VKEY", "--log", "public"), 2, "--log chooses"),
        (("verify", "--key", "VKEY"), 2, "give FILE or --since"),
        (("verify", "--key", "VKEY", "--since", "text"), 1, "checkpoint does not verify"),
        (("verify", "none", "--key", "VKEY"), 2, "No such file"),
        (("verify", "--log", "none"), 2, "no log 'none'; it has public, r0123"),
        (("verify", "--db", "none.db"), 2, "no database at none.db"),
        (("verify", "--db", "text"), 2, "not a Headstart database"),
        (("show", "--db", "none.db"), 2, "no database"),
        (("show", "--log", "none"), 2, "no log 'none'; it has public, r0123"),
        (("show", "--log", "a/b"), 2, "the name of a log"),
        (("checkpoint", "--log", "none"), 2, "no log 'none'"),
        (("export", "x", "--log", "none", "--key-file", "service.key"), 2, "no log 'none'"),
        (("show", "--count", "0"), 2, "--count"),
        (("checkpoint", "--key-file", "none"), 2, "cannot read none"),
        (("checkpoint", "--key-file", "text"), 2, "text holds no signing key"),
        (("checkpoint", "--log", "a/b", "--key-file", "service.key"), 2, "the name of a log"),
        (("receipt", "11", "--key-file", "service.key"), 2, "no entry 11"),
        (("receipt", "1", "--key-file", "service.key", "--since", "12"), 2, "do not begin with 12"),
        (("receipt", "1", "--log", "none", "--key-file", "service.key"), 2, "no log 'none'"),
        (("export", "no/x", "--key-file", "service.key"), 2, "cannot write no/x"),
        (("export", "x", "--log", "a/b", "--key-file", "service.key"), 2, "the name of a log"),
        (("key", "none"), 2, "cannot read none"),
        (("key", "new.key", "--new", "a b"), 2, "no spaces"),
        (("key", "service.key", "--log", "a/b"), 2, "the name of a log"),
    ],
)
def test_bad_input_is_one_line_and_nothing_written(
    folder: Path, headstart: Run, vkey: str, words: tuple[str, ...], code: int, why: str
) -> None:
    (folder / "text").write_text("text\n")
    (folder / "text").chmod(0o600)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    said = headstart(*(vkey if word == "VKEY" else word for word in words))
    assert (said.code, said.out) == (code, "")
    assert why in said.err
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_without_cryptography(headstart: Run, vkey: str, monkeypatch: pytest.MonkeyPatch) -> None:
    headstart("receipt", "3", "--key-file", "service.key", out="receipt.json")
    for name in [name for name in sys.modules if name.partition(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    for words in (
        ("verify", "receipt.json", "--key", vkey),
        ("checkpoint", "--key-file", "service.key"),
        ("receipt", "3", "--key-file", "service.key"),
        ("export", "public.log", "--key-file", "service.key"),
        ("key", "new.key", "--new", "headstart.example"),
    ):
        said = headstart(*words)
        assert said.code == 2
        assert said.out == ""
        assert said.err == (
            "error: signing and verifying needs an optional part of Headstart: pip install 'headstart[serve]'\n"
        )
    for words in (("verify",), ("show",), ("checkpoint",)):
        assert headstart(*words).code == 0
