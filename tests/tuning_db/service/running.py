"""A real server on a real socket with a clock of its own, people who use it, and a client that sees every byte."""

from __future__ import annotations

import http.client
import json
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.tuning_db.claims import SPACES, WORKLOAD, batch, claim
from tuning_db.batch import Batch
from tuning_db.checkpoint import key_of_log
from tuning_db.keys import PrivateKey
from tuning_db.note import SigningKey, VerifierKey
from tuning_db.possession import prove
from tuning_db.releases import DAY
from tuning_db.service.config import Config
from tuning_db.service.limits import Rates
from tuning_db.service.server import Server, listen, make_server
from tuning_db.store import Store
from tuning_db.submission import sign_batch

SERVICE = "race.example"
START = 1.75e9
EARLY, LATE, LAUNCH = START + 10 * DAY, START + 20 * DAY, START + 30 * DAY
REPOSITORY_KEY = PrivateKey.new("service-1")
PEOPLE = {
    "lab": "publisher",
    "other-lab": "publisher",
    "acme": "vendor",
    "late": "vendor",
    "rival": "vendor",
    "judge": "referee",
    "root": "operator",
    "user": "deployer",
}
COMPUTATION = {
    "operator": "linear",
    "label": "a secret",
    "params": {"m": 1},
    "canonical": "a computation",
    "flops": 10**8,
    "bytes": 10**6,
}


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """Of an error."""
        return str(self.json["error"]["code"])

    @property
    def reasons(self) -> set[str]:
        """Codes of a submission that was refused."""
        return {reason["code"] for reason in self.json["error"]["reasons"]}

    @property
    def seen(self) -> tuple[int, dict[str, str], bytes]:
        """All that a client could tell two answers apart by."""
        hidden = ("date", "x-request-id")
        return self.status, {name: text for name, text in self.headers.items() if name not in hidden}, self.body


def call(port: int, method: str, path: str, token: str | None = None, body: bytes | None = None) -> Answer:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, {"Authorization": f"Bearer {token}"} if token else {})
        response = connection.getresponse()
        headers = {name.lower(): text for name, text in response.getheaders()}
        return Answer(response.status, headers, response.read())
    finally:
        connection.close()


@dataclass
class Service:
    """A service that runs, and everybody's tokens and keys."""

    db: Path
    key: SigningKey
    port: int = 0
    now: float = START
    server: Server | None = None
    tokens: dict[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    keys: dict[str, PrivateKey] = field(default_factory=dict)

    def get(self, path: str, who: str | None = None) -> Answer:
        """Ask as somebody, or as anybody."""
        return call(self.port, "GET", path, self.tokens[who] if who else None)

    def post(self, path: str, who: str | None, body: Any) -> Answer:
        """Send JSON, or bytes as they are."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return call(self.port, "POST", path, self.tokens[who] if who else None, data)

    def delete(self, path: str, who: str | None = None) -> Answer:
        """Take something back."""
        return call(self.port, "DELETE", path, self.tokens[who] if who else None)

    def register(self, who: str) -> PrivateKey:
        """Make a pair of keys for a vendor and register it."""
        self.keys[who] = PrivateKey.new(f"{who}-1")
        answer = self.post("/v1/keys", who, prove(self.keys[who], who, SERVICE).dumps())
        assert answer.status == 201, answer.body
        return self.keys[who]

    def release(self, name: str = "r1", **fields: Any) -> str:
        """Make a release as the lab and return its id."""
        op = {"name": "q", "operator": "linear", "params": {"m": 1}, "calls": 61, "workload": WORKLOAD}
        model = {"name": "secret", "source": "lab", "step": {"phase": "decode"}, "ops": [op]}
        whole = {"name": name, "launch": LAUNCH, "models": [model], "workloads": [COMPUTATION]} | fields
        answer = self.post("/v1/releases", "lab", whole)
        assert answer.status == 201, answer.body
        return str(answer.json["id"])

    def invite(self, release: str, who: str, opens: float = EARLY, **fields: Any) -> None:
        """Invite somebody as the lab."""
        answer = self.post(f"/v1/releases/{release}/invitations", "lab", {"account": who, "opens": opens} | fields)
        assert answer.status == 201, answer.body

    def write(self, what: Callable[[Store], object]) -> None:
        """Do something in the thread that writes."""
        assert self.server
        lanes = self.server.config.app.state.lanes  # type: ignore[union-attr]
        lanes._writer._thread.submit(lambda: what(lanes._writer._store)).result()

    def limit(self, rates: Rates) -> None:
        """From now on, let people ask no more often than that, by a clock that stands still."""
        assert self.server
        self.server.config.app.state.limits.__init__(rates, lambda: 0.0)  # type: ignore[union-attr]

    def envelope(self, who: str, n: int = 1, of: Batch | None = None, **fields: Any) -> bytes:
        """A signed batch of one claim for the release r1; other ``n`` have other schedules and times."""
        made = of or batch(claim(n), **{"vendor": who, "nonce": secrets.token_hex(16)} | fields)
        return sign_batch(made, self.keys[who]).dumps()

    def submit(self, who: str, n: int = 1, **fields: Any) -> Answer:
        """Send such a batch."""
        return self.post("/v1/submissions", who, self.envelope(who, n, **fields))

    def verifier(self, log: str) -> VerifierKey:
        """The key that a log is verified with, as everybody has it."""
        return key_of_log(self.key, log).verifier


@contextmanager
def running(folder: Path, people: Service | None = None, start: float = START, **options: Any) -> Iterator[Service]:
    """A service with an account, and a token of a year, for each of ``PEOPLE``; ``options`` are of its ``Config``.

    Its clock stands at ``start``. With ``people``, of an earlier service, on the file and with the accounts of that.
    """
    service = Service(folder / "race.db", people.key if people else SigningKey.new(SERVICE), now=start)
    if people:
        service.tokens, service.ids, service.keys, service.now = people.tokens, people.ids, people.keys, people.now
    with nullcontext() if people else Store.open(service.db) as store:
        for name, role in () if people else PEOPLE.items():
            account = store.add_account(name, role, start)
            service.ids[name] = account.id
            service.tokens[name] = store.issue_token(account, start, 365 * DAY)[1]
    with serving(service, **options):
        yield service


@contextmanager
def serving(service: Service, **options: Any) -> Iterator[None]:
    """A server on the file of a service, with its clock."""
    ready = threading.Event()
    with listen("127.0.0.1", 0) as bound:
        service.port = bound.getsockname()[1]
        given = {"readers": 2, "spaces": SPACES, "repository_key": REPOSITORY_KEY, **options}
        config = Config(service.db, service.key, lambda: service.now, **given)
        service.server = make_server(config, ready.set)
        thread = threading.Thread(target=service.server.run, kwargs={"sockets": [bound]})
        thread.start()
        try:
            assert ready.wait(60)
            yield
        finally:
            service.server.should_exit = True
            thread.join(60)
    assert not thread.is_alive()
