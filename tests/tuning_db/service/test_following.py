"""Champions that are sent while others tune: a process that goes on, services that go away, trials that are refused."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from targets.errors import HeadstartError
from tests.cli.session import run, started
from tests.cli.test_submit_command import add
from tests.tuning_db.claims import batch, claim
from tests.tuning_db.service.running import EARLY, Service, running
from tuning_db.batch import Batch
from tuning_db.following import Follower
from tuning_db.sending import Parcel, Sent
from tuning_db.service.limits import NO_RATES, Rates
from tuning_db.submission import sign_batch


def entries(*numbers: int | None) -> list[dict[str, Any]]:
    """Reasons to refuse these trials of a batch, or all of it."""
    return [{"code": "low", "entry": number, "message": "too fast"} for number in numbers]


class Stand:
    """What stands for a service: it answers as it is told, and keeps what it got."""

    def __init__(self, race: Service) -> None:
        self.race = race
        self.there: list[Batch] = []
        self.answers: list[Callable[[Parcel], Sent]] = []
        self.got: list[Parcel] = []
        self.follower = Follower(lambda: self.there, self.sign, self.send, set())

    def sign(self, batch: Batch) -> Parcel:
        return Parcel(batch, sign_batch(batch, self.race.keys["acme"]).dumps())

    def send(self, parcel: Parcel) -> Sent:
        self.got.append(parcel)
        return self.answers.pop(0)(parcel)

    def visit(self, *answers: Callable[[Parcel], Sent]) -> list[tuple[bool, int]]:
        self.answers, self.got = [*answers], []
        told = [(sent.taken, len(sent.parcel.batch.claims)) for sent in self.follower.visit()]
        assert not self.answers
        return told


def take(parcel: Parcel) -> Sent:
    return Sent(parcel, receipt=Path("receipt"))


def refuse(*numbers: int | None) -> Callable[[Parcel], Sent]:
    return lambda parcel: Sent(parcel, reasons=entries(*numbers))


def lose(parcel: Parcel) -> Sent:
    raise HeadstartError("it is away")


def test_only_what_is_new_is_sent(race: Service) -> None:
    stand = Stand(race)
    assert stand.visit() == []
    stand.there = [batch(claim(1), claim(2)), batch(claim(3))]
    assert stand.visit(take, take) == [(True, 2), (True, 1)]
    assert stand.visit() == []
    stand.there = [batch(claim(1), claim(4))]
    assert stand.visit(take) == [(True, 1)]


def test_what_is_refused_does_not_keep_the_rest_from_it(race: Service) -> None:
    stand = Stand(race)
    stand.there = [batch(claim(1), claim(2), claim(3))]
    assert stand.visit(refuse(2), take) == [(False, 3), (True, 2)]
    assert stand.got[1].batch.claims == (claim(1), claim(3))
    assert stand.visit() == []


@pytest.mark.parametrize("reasons", [(None,), (0,), (2,), ()])
def test_a_batch_that_is_refused_as_such_is_tried_again(race: Service, reasons: tuple[int | None, ...]) -> None:
    stand = Stand(race)
    stand.there = [batch(claim(1))]
    for _ in range(2):
        with pytest.raises(HeadstartError, match="the batch is refused"):
            stand.visit(refuse(*reasons))
    assert stand.visit(take) == [(True, 1)]


def test_what_may_have_arrived_is_sent_again_as_it_was(race: Service) -> None:
    stand = Stand(race)
    stand.there = [batch(claim(1))]
    with pytest.raises(HeadstartError, match="it is away"):
        stand.visit(lose)
    first, stand.there = stand.got[0], [batch(claim(1), claim(2))]
    assert stand.visit(take, take) == [(True, 1), (True, 1)]
    assert stand.got[0].data == first.data


@contextlib.contextmanager
def following(folder: Path, service: Service) -> Iterator[subprocess.Popen[str]]:
    """``headstart submit --follow`` in a process of its own, told to end as by Ctrl-C."""
    words = ["--release", "r1", "--key", "acme.key", "--from", "v5.db", "--follow", "0.2s", "--json"]
    url = f"http://127.0.0.1:{service.port}"
    with (folder / "said").open("w") as said:
        process = started(folder, "submit", *words, "--token-file", "acme.token", errors=said, HEADSTART_DB=url)
    try:
        yield process
        process.send_signal(signal.SIGINT)
        process.wait(60)
    finally:
        process.kill()
        process.communicate()


def until(true: Callable[[], object]) -> None:
    """Wait for something that another process does."""
    limit = time.monotonic() + 60
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.05)


def test_a_night_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with running(tmp_path) as service:
        service.invite(service.release(), "acme", opens=EARLY)
        service.now = EARLY
        (tmp_path / "acme.token").write_text(service.tokens["acme"])
        (tmp_path / "acme.token").chmod(0o600)
        url, token = f"http://127.0.0.1:{service.port}", ("--token-file", "acme.token")
        assert run("keys", "new", "acme").code == 0
        assert run("keys", "register", "acme.key", "--db", url, *token).code == 0
        add(tmp_path / "v5.db")

        def claims() -> list[float]:
            rows = service.get("/v1/claims?release=r1", "acme").json["claims"]
            return sorted(row["median"] for row in rows)

        with following(tmp_path, service) as process:
            assert process.stdout
            until(lambda: "Ctrl-C" in (tmp_path / "said").read_text())
            for seconds in (2e-3, 1.5e-3):
                add(tmp_path / "v5.db", seconds)
                told = json.loads(process.stdout.readline())
                assert (told["taken"], told["trials"], told["release"]) == (True, 1, "r1")
            service.limit(Rates(account=0.001))
            until(lambda: service.get("/v1/account", "acme").status == 429)
            add(tmp_path / "v5.db", 1e-3)
            until(lambda: "going on" in (tmp_path / "said").read_text())
            service.limit(NO_RATES)
            assert json.loads(process.stdout.readline())["taken"]
            assert claims() == [seconds * 1.02 for seconds in (1e-3, 1.5e-3, 2e-3)]
            add(tmp_path / "v5.db", 1e-7)  # faster than the chip can be
            assert json.loads(process.stdout.readline())["reasons"][0]["code"] == "below_floor"
        assert process.returncode == 0
        assert {path.suffixes[0] for path in (tmp_path / "receipts").iterdir()} == {".receipt"}
