"""``headstart serve``: what it refuses before it serves anything, and how it ends."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cli.main import main
from tests.tuning_db.service.running import call
from tuning_db.keyfile import write_key
from tuning_db.note import SigningKey
from tuning_db.store import Store


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database and a key, in the current folder."""
    monkeypatch.chdir(tmp_path)
    with Store.open(tmp_path / "race.db"):
        pass
    write_key(tmp_path / "service.key", SigningKey.new("race.example"))
    return tmp_path


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    monkeypatch.setattr(sys, "argv", ["headstart", "serve", *words])
    with pytest.raises(SystemExit) as left:
        main()
    out, err = capsys.readouterr()
    assert (left.value.code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--db", "no.db", "--ledger-key", "service.key"), "no database at no.db"),
        (("--db", "race.db", "--ledger-key", "no.key"), "cannot read no.key"),
        (("--db", "race.db", "--ledger-key", "race.db"), "others may read or change race.db"),
        (("--db", "race.db", "--ledger-key", "service.key", "--tls-cert", "x.pem"), "both --tls-cert and --tls-key"),
        (
            ("--db", "race.db", "--ledger-key", "service.key", "--port", "0", "--tls-cert", "x.pem", "--tls-key", "y"),
            "cannot use the certificate x.pem with the key y",
        ),
        (("--db", "race.db", "--ledger-key", "service.key", "--host", "no such host"), "cannot listen on no such host"),
    ],
)
def test_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    assert said in refused(monkeypatch, capsys, *words)


def test_a_port_that_is_taken(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        assert port in refused(monkeypatch, capsys, "--db=race.db", "--ledger-key=service.key", "--port", port)


def test_without_the_extra(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    # This module alone: others that were loaded anew would not be those that other tests have.
    monkeypatch.delitem(sys.modules, "tuning_db.service.server", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    said = refused(monkeypatch, capsys, "--db=race.db", "--ledger-key=service.key")
    assert "pip install 'headstart[serve]'" in said


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_good_order_and_logs_no_secrets(folder: Path, stop: signal.Signals) -> None:
    code = "import sys; from cli.main import main; sys.argv = ['headstart', *sys.argv[1:]]; main()"
    server = subprocess.Popen(
        [sys.executable, "-c", code, "serve", "--db=race.db", "--ledger-key=service.key", "--port=0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": ":".join([str(Path(__file__).parents[2]), *sys.path])},
    )
    assert server.stdout
    told = json.loads(server.stdout.readline())
    assert told["url"] == f"http://127.0.0.1:{told['port']}"
    assert told["verifier_key"].startswith("race.example/public+")
    assert call(told["port"], "GET", "/healthz").json == {"status": "ok", "service": "race.example"}
    call(told["port"], "GET", "/v1/releases/hidden?what=secret", "hst_token_secret")
    server.send_signal(signal.SIGHUP)
    assert call(told["port"], "GET", "/readyz").json == {"status": "ready"}
    server.send_signal(stop)
    out, err = server.communicate(timeout=60)
    assert (server.returncode, out) == (0, "")
    lines = [json.loads(line) for line in err.splitlines()]
    requests = [(line["route"], line["status"]) for line in lines if line["event"] == "request"]
    assert requests == [("/healthz", 200), ("/v1/releases/{id}", 401), ("/readyz", 200)]
    assert "there is no certificate to read again" in [line["event"] for line in lines]
    assert not any(word in err for word in ("secret", "hst_", "hidden"))
