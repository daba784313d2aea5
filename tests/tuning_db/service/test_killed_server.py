"""What was acknowledged is there, once, however often the server was killed."""

from __future__ import annotations

import http.client
import json
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from schedules.schedule import Schedule
from targets.digest import digest
from tests.tuning_db.claims import batch, claim
from tests.tuning_db.service.running import COMPUTATION, SERVICE, Answer, call
from tuning_db.check import check
from tuning_db.keyfile import write_key
from tuning_db.keys import PrivateKey
from tuning_db.note import SigningKey
from tuning_db.possession import prove
from tuning_db.store import Store
from tuning_db.submission import sign_batch

KILLS, BATCHES, VENDORS = 3, 20, ("acme", "rival")
DEFAULT = Schedule("default", 1, {})


def serve(folder: Path, *more: str) -> tuple[subprocess.Popen[str], int]:
    """Start ``headstart serve``, perhaps with ``more`` options, and wait until it says its port."""
    server = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "cli.main",
            "serve",
            "--port=0",
            f"--db={folder / 'race.db'}",
            f"--ledger-key={folder / 'service.key'}",
            *more,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert server.stdout
    return server, json.loads(server.stdout.readline())["port"]


def test_acknowledged_claims_survive_sigkill(tmp_path: Path) -> None:
    lucky = random.Random(7)
    write_key(tmp_path / "service.key", SigningKey.new(SERVICE))
    tokens: dict[str, str] = {}
    workload = {**COMPUTATION, "id": digest("w", COMPUTATION["canonical"])}
    with Store.open(tmp_path / "race.db") as store:
        store.add_workload(**workload)
        for name in VENDORS:
            account = store.add_account(name, "vendor", time.time())
            tokens[name] = store.issue_token(account, time.time(), 3600)[1]
    keys = {name: PrivateKey.new(f"{name}-1") for name in VENDORS}
    sent = {
        (name, n): sign_batch(
            batch(
                *(claim(100 * n + i, schedule=DEFAULT) for i in range(3)), vendor=name, release=None, nonce=f"{n:032x}"
            ),
            keys[name],
        ).dumps()
        for name in VENDORS
        for n in range(BATCHES)
    }
    acknowledged: dict[tuple[str, int], Answer] = {}

    def work(name: str, port: int) -> None:
        """Send what has no answer yet, until there is nobody to answer."""
        try:
            for n in range(BATCHES):
                if (name, n) not in acknowledged:
                    answer = call(port, "POST", "/v1/submissions", tokens[name], sent[name, n])
                    assert answer.status == 200, answer.body
                    acknowledged[name, n] = answer
        except (OSError, http.client.HTTPException):
            pass

    unanswered = []
    for at in range(KILLS + 1):
        server, port = serve(tmp_path)
        if not at:
            for name, key in keys.items():
                assert call(port, "POST", "/v1/keys", tokens[name], prove(key, name, SERVICE).dumps()).status == 201
        threads = [threading.Thread(target=work, args=(name, port)) for name in VENDORS]
        for thread in threads:
            thread.start()
        if at < KILLS:
            # Some way into what is left, wherever it is then.
            wanted = len(acknowledged) + lucky.randint(2, 8)
            while len(acknowledged) < wanted and any(thread.is_alive() for thread in threads):
                time.sleep(0.002)
            server.send_signal(signal.SIGKILL)
        for thread in threads:
            thread.join(60)
        unanswered.append(len(sent) - len(acknowledged))
        if at == KILLS:
            # Whatever was acknowledged before a kill is answered in the same words.
            for of, answer in acknowledged.items():
                assert call(port, "POST", "/v1/submissions", tokens[of[0]], sent[of]).seen == answer.seen
            server.send_signal(signal.SIGTERM)
        assert server.wait(60) == (-signal.SIGKILL if at < KILLS else 0)
        assert server.stdout
        server.stdout.close()
    assert unanswered[KILLS - 1] > 0
    assert unanswered[KILLS] == 0

    with Store.open(tmp_path / "race.db", create=False) as store:
        assert check(store) == []
        claims = [row["trial"] for row in store.rows("SELECT trial FROM claim")]
        expected = [trial for answer in acknowledged.values() for trial in answer.json["claims"]]
        assert sorted(claims) == sorted(expected)
        assert len(claims) == len(set(claims)) == 3 * len(sent)
        entries = [entry for entry in store.entries("public") if entry.action == "submit"]
        assert sorted(entry.payload["batch"] for entry in entries) == sorted(
            answer.json["batch"] for answer in acknowledged.values()
        )
