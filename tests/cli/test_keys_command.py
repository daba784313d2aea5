"""``headstart keys`` as a vendor meets it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

import cli._passphrase
from cli._passphrase import VARIABLE
from cli.main import main
from tests.tuning_db.claims import SEED, key
from tuning_db.keys import PrivateKey, read_public

SECRET = "correct horse battery"


class Said(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def headstart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Said]:
    """Run ``headstart keys`` in a folder, with nobody at a terminal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)

    def run(*words: str, **environment: str) -> Said:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["headstart", "keys", *words])
            for name, value in environment.items():
                patch.setenv(name, value)
            try:
                main()
                code = 0
            except SystemExit as stop:
                code = int(stop.code or 0)
        return Said(code, *capsys.readouterr())

    return run


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_new_and_show(tmp_path: Path, headstart: Callable[..., Said]) -> None:
    said = headstart("new", "acme-2026")
    assert said.code == 0
    public = read_public(tmp_path / "acme-2026.pub")
    assert public.line in said.out.splitlines() and public.id in said.out
    assert (tmp_path / "acme-2026.key").stat().st_mode & 0o777 == 0o600
    for file in ("acme-2026.pub", "acme-2026.key"):
        assert headstart("show", file).out == f"{public.id}  {public.line}\n"
    shown = json.loads(headstart("show", "acme-2026.pub", "acme-2026.key", "--json").out)
    assert shown == {"keys": [{"id": public.id, "name": "acme-2026", "public": public.line}] * 2}


def test_json_and_a_folder(tmp_path: Path, headstart: Callable[..., Said]) -> None:
    (tmp_path / "keys").mkdir()
    answer = json.loads(headstart("new", "acme", "--folder", "keys", "--json").out)
    assert answer["private_file"] == "keys/acme.key" and answer["public_file"] == "keys/acme.pub"
    assert answer["public"] == read_public(tmp_path / "keys" / "acme.pub").line
    assert "PRIVATE" not in json.dumps(answer)


@pytest.mark.parametrize("words", [(), ("--encrypt",)])
def test_a_passphrase_from_the_environment(tmp_path: Path, headstart: Callable[..., Said], words: tuple[str]) -> None:
    said = headstart("new", "acme", *words, **{VARIABLE: SECRET})
    assert said.code == 0 and SECRET not in said.out + said.err
    assert b"ENCRYPTED" in (tmp_path / "acme.key").read_bytes()
    assert headstart("show", "acme.key", **{VARIABLE: SECRET}).code == 0
    wrong = headstart("show", "acme.key", **{VARIABLE: "incorrect horse"})
    assert wrong.code == 2 and "not its passphrase" in wrong.err and "incorrect" not in wrong.err
    assert headstart("show", "acme.pub").code == 0


def test_a_passphrase_that_is_typed(
    tmp_path: Path, headstart: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, object]] = []

    def prompt(text: str, **given: object) -> str:
        asked.append(given)
        return SECRET

    monkeypatch.setattr(sys, "stdin", type("Terminal", (), {"isatty": staticmethod(lambda: True)})())
    monkeypatch.setattr(cli._passphrase.click, "prompt", prompt)
    assert headstart("new", "acme", "--encrypt").code == 0
    assert headstart("show", "acme.key").code == 0
    assert [given["confirmation_prompt"] for given in asked] == [True, False]
    assert all(given["hide_input"] and given["err"] for given in asked)
    assert PrivateKey.read(tmp_path / "acme.key", SECRET.encode).public == read_public(tmp_path / "acme.pub")
    assert headstart("new", "plain").code == 0
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("words", "environment", "why"),
    [
        (("new", "Acme"), {}, "the name of a key must be at most 64 lower-case"),
        (("new", "../acme"), {}, "the name of a key must be"),
        (("new", "taken"), {}, "taken.key: File exists"),
        (("new", "half"), {}, "half.pub: File exists"),
        (("new", "acme", "--folder", "none"), {}, "is not a folder"),
        (("new", "acme", "--encrypt"), {}, f"no terminal to ask for it at; set {VARIABLE}"),
        (("new", "acme"), {VARIABLE: ""}, f"{VARIABLE} is empty"),
        (("new", "acme"), {VARIABLE: "short"}, "a passphrase has 12 to 1000 characters"),
        (("show", "none"), {}, "cannot read none: No such file"),
        (("show", "text"), {}, "text: a public key is one line"),
        (("show", "taken.key"), {}, "taken.key: a public key is one line"),
        (("show", "open.key"), {}, "chmod 600"),
        (("show",), {}, "Missing argument"),
    ],
)
def test_bad_input_is_one_line_and_nothing_written(
    tmp_path: Path, headstart: Callable[..., Said], words: tuple[str, ...], environment: dict[str, str], why: str
) -> None:
    (tmp_path / "text").write_text("text")
    (tmp_path / "taken.key").write_text("precious")
    (tmp_path / "half.pub").write_text("precious")
    secret, public = key("open").write(tmp_path)
    secret.chmod(0o644)
    public.unlink()
    before = files(tmp_path)
    said = headstart(*words, **environment)
    assert said.code == 2
    assert said.err.startswith("error: ") and said.err.count("\n") == 1
    assert why in said.err
    assert said.out == ""
    assert files(tmp_path) == before


def test_without_the_extra(headstart: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    for name in [name for name in sys.modules if name.startswith("cryptography.")]:
        monkeypatch.setitem(sys.modules, name, None)
    said = headstart("new", "acme")
    assert said.code == 2
    assert "pip install 'headstart[serve]'" in said.err


def test_a_secret_is_never_shown(tmp_path: Path, headstart: Callable[..., Said]) -> None:
    key("acme").write(tmp_path)
    for words in (("show", "acme.key"), ("show", "acme.key", "--json"), ("new", "acme")):
        said = headstart(*words)
        text = (tmp_path / "acme.key").read_text()
        assert not [line for line in text.splitlines()[1:-1] if line in said.out + said.err]
        assert SEED.hex() not in said.out + said.err
