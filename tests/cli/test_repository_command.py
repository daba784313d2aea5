"""``headstart repository`` as operators meet it: two people who sign, a bundle, other keys."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from cli._passphrase import VARIABLE
from tests.cli.session import Said, run
from tests.tuning_db.service.publishing import prebuilt

FILE = ("--db", "race.db", "--as", "root", "--repository-key", "service.key")
Run = Callable[..., Said]


@pytest.fixture
def headstart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``headstart repository`` in a folder with a database and keys of several people."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    assert run("accounts", "add", "root", "operator", "--db", "race.db").code == 0
    for name in ("anna", "ben", "carol", "service"):
        assert run("keys", "new", name).code == 0
    prebuilt(tmp_path / "tiny.bundle")
    return lambda *words: run("repository", *words)


def test_two_people_begin_publish_and_change_keys(headstart: Run) -> None:
    keys = ("--root-key", "anna.key", "--root-key", "ben.pub", "--targets-key", "anna.key")
    begun = headstart("init", *keys, "--root-threshold", "2", "-o", "first.draft", *FILE)
    assert begun.code == 0, begun.err
    assert "root has 1 of 2 signatures; ben (" in begun.out
    assert "root: 2 of 2 must sign" in begun.out
    early = headstart("send", "first.draft", *FILE)
    assert (early.code, early.out) == (2, "") and "ben (" in early.err
    signed = headstart("sign", "first.draft", "--key", "ben.key", "--yes")
    assert signed.code == 0 and "all signatures" in signed.out
    sent = headstart("send", "first.draft", "-o", "root.json", *FILE)
    assert sent.code == 0, sent.err
    (fingerprint,) = re.findall("[0-9a-f]{64}", sent.out)
    assert headstart("init", *keys, "-o", "x", *FILE).err.startswith("error: there is a repository already")

    told = headstart("publish", "tiny.bundle", "--root", "root.json", "--key", "anna.key", *FILE)
    assert told.code == 0, told.err
    assert "add bundles/tiny/decode-t16-b16-kv4096-tp1-ep1/" in told.out
    again = headstart("publish", "--root", "root.json", "--key", "anna.key", "--json", *FILE).json
    assert (again["root"], again["targets"], len(again["changes"])) == (1, 3, 1)
    stranger = headstart("publish", "tiny.bundle", "--root", "root.json", "--key", "carol.key", *FILE)
    assert stranger.code == 2 and "carol is a key of none of the roles" in stranger.err

    new = ("rotate", "root", "--add", "carol.pub", "--remove", "ben", "--root", "root.json")
    refused = headstart(*new, "--key", "anna.key", *FILE)
    assert refused.code == 2 and "--draft FILE writes it down" in refused.err
    assert headstart(*new, "--key", "anna.key", "--draft", "next.draft", *FILE).code == 0
    for name in ("ben", "carol"):
        said = headstart("sign", "next.draft", "--key", f"{name}.key", "--root", "root.json", "--yes", "--json")
        assert "  root: remove key ben" in "\n".join(said.json["changes"])
    assert said.json["lacking"] == []
    assert headstart("send", "next.draft", *FILE).code == 0

    state = headstart("status", "--json", *FILE).json
    assert state["fingerprint"] == fingerprint and state["online_key_is_used"]
    assert [key.partition(" ")[0] for key in state["roles"]["root"]["keys"]] == ["anna", "carol"]
    assert (state["roles"]["root"]["version"], state["roles"]["targets"]["version"]) == (2, 3)
    (path,) = (path for path in state["files"] if path.startswith("bundles/"))
    shown = headstart("status", *FILE)
    assert path in shown.out and fingerprint in shown.out and "EXPIRED" not in shown.out
    assert headstart("publish", "--remove", path, "--root", "root.json", "--key", "anna.key", *FILE).code == 0
    assert headstart("status", "--json", *FILE).json["files"] == {}
    assert run("db", "check", "--db", "race.db").code == 0


def test_the_key_of_the_service_changes(headstart: Run) -> None:
    keys = ("--root-key", "anna.key", "--targets-key", "ben.key")
    assert headstart("init", *keys, "-o", "root.json", *FILE).code == 0
    other = (*FILE[:-1], "carol.key")
    assert "another key than the root says" in headstart("status", *other).out
    rotate = ("rotate", "online", "--root", "root.json", "--key", "anna.key", "--key", "ben.key")
    assert "already" in headstart(*rotate, *FILE).err
    assert headstart(*rotate, "--threshold", "1", *other).code == 2
    told = headstart(*rotate, *other)
    assert told.code == 0, told.err
    assert "timestamp: add key carol" in told.out and "timestamp: remove key service" in told.out
    assert headstart("status", "--json", *other).json["online_key_is_used"]


def test_what_is_wrong_is_one_line(headstart: Run, tmp_path: Path) -> None:
    Path("empty").write_text("")
    Path("binary").write_bytes(b"\xff")
    Path("other.json").write_text(json.dumps({"a": 1}))
    key = ("--key", "anna.key")
    for words, said in (
        (("status", *FILE), "no repository yet"),
        (("publish", "tiny.bundle", "--root", "empty", *key, *FILE), "there is no|not as it must be|is not the one"),
        (("init", "--root-key", "anna.pub", "--targets-key", "none.key", "-o", "x", *FILE), "none.key"),
        (
            ("init", "--root-key", "anna.key", "--root-key", "anna.pub", "--targets-key", "anna.key", "-o", "x", *FILE),
            "twice",
        ),
        (
            ("init", "--root-key", "anna.key", "--targets-key", "ben.key", "-o", "x", "--release", "r9", *FILE),
            "no such",
        ),
        (("init", "--root-key", "anna.key", "--targets-key", "ben.key", "-o", "x", *FILE[:4]), "--repository-key"),
        (("sign", "binary", *key, "--yes"), "binary: it is no draft"),
        (("sign", "other.json", *key, "--yes"), "other.json: it is no draft"),
        (("send", "none.draft", *FILE), "none.draft"),
    ):
        found = headstart(*words)
        assert found.code != 0 and found.out == "", words
        assert len(found.err.splitlines()) == 1 and re.search(said, found.err), (words, found.err)
    assert not Path("x").exists()
