"""A copy that is made while vendors submit: whole, of one commit, for operators alone, and noted where it matters."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import shutil
import threading
from collections import namedtuple
from pathlib import Path
from unittest.mock import Mock

import pytest

from targets.errors import HeadstartError, InputError
from tests.tuning_db.claims import batch, claim
from tests.tuning_db.service.running import EARLY, LAUNCH, Service, call
from tuning_db.backup import fetch
from tuning_db.check import check
from tuning_db.client import connect
from tuning_db.service import backups
from tuning_db.store import Store

Usage = namedtuple("Usage", "total used free")


def left_over(service: Service) -> list[str]:
    """What lies beside the database that is not of it."""
    return sorted(path.name for path in service.db.parent.iterdir() if not path.name.startswith("race.db"))


def test_a_copy_while_four_clients_submit(race: Service, tmp_path: Path) -> None:
    race.now = EARLY
    vendors = ("acme", "late", "rival")
    for vendor in ("rival", "late"):
        race.invite(race.ids["r1"], vendor)
    stop, counts, acknowledged = threading.Event(), dict.fromkeys(range(4), 0), set[str]()

    def work(at: int) -> None:
        vendor, n = vendors[at % 3], 0
        while not stop.is_set() or n < 3:
            n += 1
            made = batch(claim(1000 * at + n), vendor=vendor, nonce=f"{at:016x}{n:016x}")
            answer = race.submit(vendor, of=made)
            assert answer.status == 200, answer.body
            acknowledged.add(answer.json["claims"][0])
            counts[at] = n

    threads = [threading.Thread(target=work, args=[at]) for at in counts]
    for thread in threads:
        thread.start()
    copies = []
    try:
        with connect(f"http://127.0.0.1:{race.port}", race.tokens["root"]) as client:
            for n in range(3):
                there = set(acknowledged)
                copy = tmp_path / f"copy-{n}.db"
                assert fetch(client, copy) == copy.stat().st_size
                copies.append((copy, there))
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    assert min(counts.values()) >= 3
    held = []
    for copy, there in copies:
        assert copy.stat().st_mode & 0o777 == 0o600
        with Store.open(copy) as store:
            assert check(store) == []
            claims = {row["trial"] for row in store.rows("SELECT trial FROM claim")}
            assert there <= claims
            held.append(len(claims))
    assert held == sorted(held)
    assert left_over(race) == ["copy-0.db", "copy-1.db", "copy-2.db"]


def test_who_may(race: Service) -> None:
    race.now = EARLY
    for who in ("acme", "lab", "judge", "user", None):
        assert race.get("/v1/backup", who).status == (403 if who else 401)


def test_its_digest_is_that_of_what_comes(race: Service) -> None:
    answer = race.get("/v1/backup", "root")
    assert (
        answer.headers["content-digest"]
        == f"sha-256=:{base64.b64encode(hashlib.sha256(answer.body).digest()).decode()}:"
    )
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert answer.body.startswith(b"SQLite format 3\0")


def test_whoever_is_in_a_copy_before_the_launch_is_told(race: Service) -> None:
    race.now = EARLY
    race.submit("acme")
    public = race.get("/v1/ledgers/public/checkpoint").body
    logs = {"lab": race.ids["r1"], "acme": f"{race.ids['r1']}.{race.ids['acme']}"}
    assert race.get("/v1/backup", "root").status == 200
    for who, log in logs.items():
        last = json.loads(race.get(f"/v1/ledgers/{log}/entries", who).json["entries"][-1])
        assert (last["actor"], last["action"], last["payload"]) == ("root", "read", {"subject": "backup"})
    # Nobody else sees a number move: late has no log yet, and finds none that began before its window opened.
    assert race.get("/v1/ledgers/public/checkpoint").body == public
    race.now = EARLY + 11 * 86400
    assert race.get(f"/v1/ledgers/{race.ids['r1']}.{race.ids['late']}/entries", "late").json["entries"] == []
    race.now = LAUNCH
    before = race.get("/v1/ledgers/public/checkpoint").body
    assert race.get("/v1/backup", "root").status == 200
    assert race.get("/v1/ledgers/public/checkpoint").body == before


def test_what_is_cut_off_or_changed_is_no_copy(race: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy, made = tmp_path / "copy.db", backups._copy

    def cut(db: Path, folder: Path) -> backups._Made:
        whole, parts = made(db, folder), [b"SQLite format 3\0"]

        def read(size: int) -> bytes:
            if parts:
                return parts.pop()
            raise OSError("the disk is gone")

        whole.file.close()
        return backups._Made(Mock(read=read), whole.size, whole.digest)

    def changed(db: Path, folder: Path) -> backups._Made:
        whole = made(db, folder)
        return backups._Made(whole.file, whole.size, bytes(32))

    with connect(f"http://127.0.0.1:{race.port}", race.tokens["root"]) as client:
        for fault, said in ((cut, "connection was lost"), (changed, "not what was sent")):
            monkeypatch.setattr(backups, "_copy", fault)
            with pytest.raises(HeadstartError, match=said):
                fetch(client, copy)
            assert left_over(race) == []
        monkeypatch.setattr(backups, "_copy", made)
        (tmp_path / "copy.db-wal").touch()
        with pytest.raises(InputError, match="a database in use"):
            fetch(client, copy)


def test_a_client_that_goes_away_leaves_nothing(race: Service) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", race.port, timeout=60)
    connection.request("GET", "/v1/backup", headers={"Authorization": f"Bearer {race.tokens['root']}"})
    connection.sock.recv(100)
    connection.sock.close()
    connection.close()
    assert race.get("/v1/backup", "root").status == 200
    assert left_over(race) == []


def test_no_room_and_no_two_at_once(race: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda folder: Usage(1, 1, race.db.stat().st_size + (1 << 20)))
        answer = race.get("/v1/backup", "root")
    assert (answer.status, answer.code) == (503, "unavailable")
    assert "no room for a copy" in answer.json["error"]["message"]
    begun, go_on, made = threading.Event(), threading.Event(), backups._copy

    def slow(db: Path, folder: Path) -> backups._Made:
        begun.set()
        assert go_on.wait(60)
        return made(db, folder)

    monkeypatch.setattr(backups, "_copy", slow)
    answers = []
    first = threading.Thread(target=lambda: answers.append(call(race.port, "GET", "/v1/backup", race.tokens["root"])))
    first.start()
    assert begun.wait(60)
    assert "another copy is being made" in race.get("/v1/backup", "root").json["error"]["message"]
    # Meanwhile others write.
    race.now = EARLY
    assert race.submit("acme").status == 200
    go_on.set()
    first.join(60)
    assert answers[0].status == 200


def test_what_a_killed_server_left_is_removed(tmp_path: Path) -> None:
    left, other = tmp_path / ".race.db.backup-x", tmp_path / ".other.db.backup-x"
    for folder in (left, other):
        folder.mkdir()
        (folder / "copy").touch()
    backups.sweep(tmp_path / "race.db", None)
    assert not left.exists()
    assert other.exists()
