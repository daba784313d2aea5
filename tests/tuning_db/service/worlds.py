"""Two services with one past and one clock, where only one has a hidden release and all the work that is done in it.

Whoever is not invited gets the same answers from both, byte for byte, whatever they ask. So that answers can be
compared where something is made, both draw the same random numbers while they answer the same request.

``python -m tests.tuning_db.service.worlds [REQUESTS] [SEED]`` asks more than the suite has time for.
"""

from __future__ import annotations

import hashlib
import os
import random
import secrets
import shutil
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest.mock import patch

from targets.digest import digest
from tests.tuning_db.claims import CHIP, WORKLOAD, batch, claim
from tests.tuning_db.service.probes import Probe, Probes
from tests.tuning_db.service.publishing import Hands, prebuilt
from tests.tuning_db.service.running import COMPUTATION, EARLY, LATE, LAUNCH, START, Service, running, serving
from tuning_db.releases import DAY
from tuning_db.repository.paths import hashed
from tuning_db.store import Store

SEEN_TEXT = "a computation that everybody knows"
SEEN = digest("w", SEEN_TEXT)
SECRET_CHIP = replace(CHIP, name="secret-chip", cores=4)
# Nobody of these may see anything of the release before its launch; acme and late before their openings.
UNINVITED = (None, "rival", "other-lab", "judge", "user", "nobody")


class Dice:
    """Random numbers that are the same for the same request."""

    def __init__(self) -> None:
        self.throw("")

    def throw(self, seed: str) -> None:
        """Begin again, from a seed."""
        self._seed, self._count = seed, 0

    def bytes(self, size: int) -> bytes:
        """As ``os.urandom``."""
        self._count += 1
        return hashlib.shake_256(f"{self._seed}/{self._count}".encode()).digest(size)

    def hex(self, size: int = 32) -> str:
        """As ``secrets.token_hex``."""
        return self.bytes(size).hex()


class Wire:
    """A connection that stays open, and what comes back on it, to the byte."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open()

    def _open(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")

    def close(self) -> None:
        """Hang up."""
        self._file.close()
        self._socket.close()

    def ask(self, probes: list[Probe], tokens: dict[str, str]) -> list[tuple[bytes, bytes]]:
        """Send requests one after the other without waiting; head, without date and request id, and body of each."""
        self._socket.sendall(b"".join(probe.wire(tokens) for probe in probes))
        found: list[tuple[bytes, bytes]] = []
        for probe in probes:
            head, body, ends = self._answer(probe)
            found.append((head, body))
            if ends:
                # What was sent after it was not read.
                self.close()
                self._open()
                break
        return found

    def _answer(self, probe: Probe) -> tuple[bytes, bytes, bool]:
        lines = []
        while (line := self._file.readline()) not in (b"\r\n", b""):
            if not line.lower().startswith((b"date:", b"x-request-id:")):
                lines.append(line)
        head = b"".join(lines)
        named = dict(line.lower().rstrip().split(b": ", 1) for line in lines[1:])
        body = b""
        if probe.method != "HEAD" and lines[0].split(b" ")[1] not in (b"204", b"304"):
            if b"content-length" in named:
                body = self._file.read(int(named[b"content-length"]))
            elif named.get(b"transfer-encoding") == b"chunked":
                while size := int(self._file.readline(), 16):
                    body += self._file.read(size)
                    self._file.readline()
                self._file.readline()
            else:
                body = self._file.read()
        return head, body, named.get(b"connection") == b"close"


@dataclass
class Worlds:
    """Both services; ``there`` has the release."""

    there: Service
    plain: Service
    dice: Dice
    wires: tuple[Wire, Wire]
    lucky: random.Random
    release: str = ""
    trials: list[str] = field(default_factory=list)
    batches: list[str] = field(default_factory=list)
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    asked: int = 0
    claims: int = 0
    deeds: int = 0
    files: list[str] = field(default_factory=list)

    @cached_property
    def hands(self) -> Hands:
        """Who publishes in the release."""
        made = Hands(self.there, self.release, "lab")
        made.begin()
        return made

    def at(self, now: float) -> None:
        """Set both clocks."""
        self.there.now = self.plain.now = now

    def compare(self, probes: list[Probe]) -> None:
        """Ask both the same."""
        answers = []
        for service, wire in zip((self.there, self.plain), self.wires, strict=True):
            self.dice.throw(f"request {self.asked}")
            answers.append(wire.ask(probes, service.tokens))
        for probe, there, plain in zip(probes, *answers, strict=False):
            assert there == plain, f"{probe}\nat {self.there.now}:\n{there}\n{plain}"
            self.statuses[probe.route, int(there[0].split()[1])] += 1
        assert len(answers[0]) == len(answers[1])
        self.asked += len(answers[0])

    def work(self) -> None:
        """Something happens in the release, by somebody who may."""
        self.deeds += 1
        self.dice.throw(f"deed {self.deeds}")
        deeds = ["submit", "submit", "judge", "read", "invite", "withdraw", "refused", "publish"]
        deed = self.lucky.choice(deeds)
        there, path = self.there, f"/v1/releases/{self.release}"
        if deed == "submit" or not self.trials:
            self.claims += 1
            of = claim(
                self.claims,
                workload=self.lucky.choice([WORKLOAD, SEEN]),
                target=self.lucky.choice([CHIP, SECRET_CHIP]),
                samples=tuple(1.5e-3 - self.claims * 1e-7 + n * 1e-6 for n in range(3)),
            )
            # By its id: others may make a release of the same name that is launched before this one.
            made = batch(of, vendor="acme", nonce=self.lucky.randbytes(16).hex(), release=self.release)
            taken = there.submit("acme", of=made)
            assert taken.status == 200, taken.body
            self.trials += taken.json["claims"]
            self.batches.append(taken.json["batch"])
        elif deed == "refused":
            assert there.submit("acme", of=batch(claim(1, samples=(1e-9,) * 3), vendor="acme")).status == 422
        elif deed in ("judge", "withdraw"):
            who, outcome = ("umpire", "reproduced") if deed == "judge" else ("acme", "withdrawn")
            told = {"outcome": outcome, "reason": "so it is"}
            # After some days it is too late to take a claim back.
            assert there.post(f"/v1/claims/{self.lucky.choice(self.trials)}/verdicts", who, told).status in (201, 400)
        elif deed == "publish":
            folder = there.db.parent / f"hidden-{self.deeds}.bundle"
            (upload,) = self.hands.publish(prebuilt(folder, self.lucky.randbytes(9)))
            self.files = [hashed(path, digest) for path, (digest, _) in upload.targets.items()]
        elif deed == "invite":
            there.invite(self.release, "late", opens=LATE)
        else:
            for who in ("acme", "lab", "umpire"):
                assert there.get(path, who).status == 200
                assert there.get("/v1/releases", who).status == 200

    def pool(self) -> dict[str, list[str]]:
        """What a prober who knew everything could ask for, and what is not there in either world, by what it is."""
        ids, here = self.there.ids, self.release
        absent = "r" + "5" * 24
        logs = [here, absent, *(f"{r}.{ids[who]}" for r in (here, absent) for who in ("acme", "rival", "lab", "late"))]
        return {
            "release": [here, "r1", absent, "r9", ids["r0"], "r0", ids["own"], "own", "public"],
            "claim": [*self.trials[-4:], "t" + "5" * 28, self.there.ids["seen"]],
            "log": [*logs, "public", ids["r0"], f"{ids['r0']}.{ids['acme']}"],
            "workload": [WORKLOAD, SEEN, "w" + "5" * 24],
            "target": [CHIP.fingerprint, SECRET_CHIP.fingerprint, "c" + "5" * 24],
            "account": ["acme", "late", "umpire", "lab", "rival", "judge", "nobody-there", ids["acme"], ids["lab"]],
            "key": [self.there.keys["nobody"].public.id, "k0"],
            "token": [ids["spare"], "k" + "5" * 28],
            "metadata": [
                "timestamp.json",
                *(f"{n}.{role}.json" for n in (1, 2, 3) for role in ("root", "targets", "snapshot", "champions")),
            ],
            "file": [
                *self.files,
                *(text for name, text in ids.items() if name.startswith("file of ")),
                f"blobs/{'5' * 64}.{'5' * 64}",
                "champions/a.b",
            ],
            "blob": ["5" * 64, hashlib.sha256(b"ab").hexdigest(), *(file[-64:] for file in self.files)],
            "number": ["0", "0", "0", "1"],
            "length": ["0", "1", "2"],
            "signed": [ids["signed"], ids["next"]],
            "batch": [*self.batches[-2:], "b" + "5" * 24],
            "schedule": [claim(1).schedule.id, claim(5).schedule.id, "s" + "5" * 24],
        }


@contextmanager
def worlds(folder: Path, seed: int) -> Iterator[Worlds]:
    """Both, a moment after the release was made and people were invited to it."""
    lucky, dice = random.Random(seed), Dice()
    with running(folder) as past:
        history(past)
    with ExitStack() as stack:
        services = []
        for name in ("there", "plain"):
            db = folder / f"{name}.db"
            shutil.copy(past.db, db)
            services.append(replace(past, db=db, tokens=dict(past.tokens), ids=dict(past.ids)))
            stack.enter_context(serving(services[-1]))
        wires = (Wire(services[0].port), Wire(services[1].port))
        for wire in wires:
            stack.callback(wire.close)
        both = Worlds(services[0], services[1], dice, wires, lucky)
        stack.enter_context(patch.object(os, "urandom", dice.bytes))
        stack.enter_context(patch.object(secrets, "token_hex", dice.hex))
        stack.enter_context(patch.object(time, "time_ns", lambda: int(both.there.now * 1e9)))
        both.at(START + DAY)
        both.release = made(both.there, "r1", LAUNCH, [COMPUTATION, COMPUTATION | {"canonical": SEEN_TEXT}])
        for who, opens in (("acme", EARLY), ("umpire", EARLY), ("late", LATE)):
            both.there.invite(both.release, who, opens)
        yield both


def made(service: Service, name: str, launch: float, workloads: list[dict[str, Any]], who: str = "lab") -> str:
    """A release of these workloads; its id."""
    ops = [
        {"name": "q", "operator": "linear", "params": {"m": 1}, "calls": 1, "workload": digest("w", one["canonical"])}
        for one in workloads
    ]
    model = {"name": f"model of {name}", "source": who, "step": {"phase": "decode"}, "ops": ops}
    whole = {"name": name, "launch": launch, "models": [model], "workloads": workloads}
    answer = service.post("/v1/releases", who, whole)
    assert answer.status == 201, answer.body
    return str(answer.json["id"])


def history(past: Service) -> None:
    """What both worlds have: a race that is over, one of another lab to which rival is invited, public claims."""
    with Store.open(past.db) as store:
        for name, role in (("umpire", "referee"), ("nobody", "vendor")):
            account = store.add_account(name, role, START)
            past.ids[name] = account.id
            past.tokens[name] = store.issue_token(account, START, 365 * DAY)[1]
        past.ids["spare"] = store.issue_token(store.account("user"), START, DAY)[0]
    for who in ("acme", "late", "rival", "nobody"):
        past.register(who)
    known = COMPUTATION | {"canonical": SEEN_TEXT, "label": "known"}
    past.ids["r0"] = made(past, "r0", START + 2, [known])
    past.ids["own"] = made(past, "own", LAUNCH + DAY, [known | {"canonical": "other secret"}], "other-lab")
    past.post(f"/v1/releases/{past.ids['own']}/invitations", "other-lab", {"account": "rival", "opens": START})
    past.now = START + 3
    for release, who in (("public", "root"), (past.ids["r0"], "lab"), (past.ids["own"], "other-lab")):
        hands = Hands(past, release, who)
        past.ids["signed"] = hands.begin()
        (upload,) = hands.publish(prebuilt(past.db.parent / f"{release}.bundle", release.encode()))
        past.ids[f"file of {release}"] = hashed(upload.address.prebuilt, upload.prebuilt.digest)
    # What may be published once, in a release that both worlds have.
    past.ids["next"] = str(hands.next().texts["targets"])
    for n, who in enumerate(("acme", "rival")):
        taken = past.submit(who, of=batch(claim(n, workload=SEEN), vendor=who, release=None))
        assert taken.status == 200, taken.body
        past.ids["seen"] = taken.json["claims"][0]


def race(both: Worlds, requests: int, probes: Probes) -> None:
    """Ask so many things between the making of the release and its launch, while it is raced for."""
    moments = sorted(both.lucky.uniform(START + DAY, LAUNCH) for _ in range(requests // 20))
    edges = (EARLY, LATE, LAUNCH)
    moments = sorted([*moments, *(edge - step for edge in edges for step in (1e-3, 1e-6))])
    while both.asked < requests:
        for now in moments:
            both.at(now)
            if now >= EARLY and both.lucky.random() < 0.4:
                both.work()
            who = [*UNINVITED, *(["acme", "acme"] if now < EARLY else []), *(["late", "late"] if now < LATE else [])]
            left = min(20, requests - both.asked)
            while left > 0:
                some = [probes.draw(both.lucky, both.pool(), who) for _ in range(both.lucky.choice([1, 5, 10]))]
                both.compare(some)
                left -= len(some)


def main(requests: int, seed: int) -> None:
    """Say what was asked and that nothing differed."""
    with tempfile.TemporaryDirectory() as folder, worlds(Path(folder), seed) as both:
        began = time.perf_counter()
        race(both, requests, Probes.of(both.there))
        print(f"seed {seed}: {both.asked} requests of each world in {time.perf_counter() - began:.1f} s, no difference")
        for (route, status), count in sorted(both.statuses.items()):
            print(f"{count:8} {status} {route}")


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[1:]]
    main(given[0] if given else 50_000, given[1] if len(given) > 1 else random.SystemRandom().randrange(2**32))
