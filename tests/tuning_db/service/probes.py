"""What somebody asks who wants to find out what is hidden: requests drawn over every route, known or guessed."""

from __future__ import annotations

import json
import random
import re
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.routing import BaseRoute, Mount

from tests.tuning_db.claims import CHIP, WORKLOAD, batch, claim
from tests.tuning_db.example import POLICY, TOOLCHAIN
from tests.tuning_db.service.running import COMPUTATION, EARLY, LAUNCH, SERVICE, START, Service
from tuning_db.keys import PrivateKey
from tuning_db.possession import prove
from tuning_db.service.app import make_app
from tuning_db.service.config import Config
from tuning_db.submission import sign_batch

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
ENDINGS = ("", "", "", "", "/", ".", "//", "%2e", "%00", "%2F", "/..", ".public", ".json", "X", "%C3%A9", ";a=b", "%")
# Parameters that services like to have, whether this one does or not.
USUAL = (
    "limit",
    "after",
    "before",
    "cursor",
    "page",
    "old",
    "start",
    "count",
    "q",
    "target",
    "vendor",
    "state",
    "sort",
)
# What a parameter of a path names, by the part of the path before it.
NAMES = {
    "releases": "release",
    "repositories": "release",
    "metadata": "metadata",
    "blobs": "blob",
    "{digest}": "number",
    "claims": "claim",
    "submissions": "batch",
    "ledgers": "log",
    "keys": "key",
    "tokens": "token",
    "workloads": "workload",
    "targets": "file",
    "vendors": "account",
    "accounts": "account",
}
# Who may do more than be turned away, by method and the end of the path.
ABLE = {
    ("POST", "releases"): ("other-lab",),
    ("POST", "invitations"): ("other-lab",),
    ("POST", "verdicts"): ("judge", "rival"),
    ("POST", "submissions"): ("rival", "late", "nobody", "acme"),
    ("POST", "keys"): ("rival", "nobody"),
    ("POST", "metadata"): ("other-lab",),
    ("PUT", "{number}"): ("other-lab",),
    ("POST", "misses"): ("user",),
}
HEADERS = (
    {},
    {},
    {"Accept": "text/html"},
    {"If-None-Match": "*"},
    {"Range": "bytes=0-3"},
    {"Range": "bytes=2-"},
    {"Accept-Encoding": "gzip"},
    {"Expect": "100-wait"},
    {"Origin": "https://example.org", "Access-Control-Request-Method": "GET"},
    {"X-HTTP-Method-Override": "DELETE"},
)


@dataclass(frozen=True)
class Probe:
    """A request."""

    route: str
    method: str
    path: str
    who: str | None
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()

    def wire(self, tokens: Mapping[str, str]) -> bytes:
        """As it is sent."""
        lines = [f"{self.method} {self.path} HTTP/1.1", "Host: x", *(f"{name}: {text}" for name, text in self.headers)]
        if self.who and not self.route.startswith("/v1"):
            lines.append(f"Cookie: headstart={tokens[self.who]}")  # as pages take a token
        elif self.who:
            lines.append(f"Authorization: Bearer {tokens[self.who]}")
        if self.body or self.method in ("POST", "PUT", "PATCH"):
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*lines, "", ""]).encode() + self.body


@dataclass(frozen=True)
class Asked:
    """A route: its path, methods and parameters of the query."""

    path: str
    methods: tuple[str, ...]
    query: tuple[str, ...]


class Probes:
    """Requests for the routes of an app."""

    def __init__(self, routes: Sequence[Asked], keys: Mapping[str, PrivateKey]) -> None:
        self.routes, self.keys = routes, keys

    @classmethod
    def of(cls, service: Service) -> Probes:
        """For what a service answers, found by asking its app: a new route is probed without being named anywhere."""
        return cls(list(_routes(make_app(Config(service.db, service.key)).routes)), service.keys)

    def draw(self, lucky: random.Random, pool: Mapping[str, list[str]], viewers: Sequence[str | None]) -> Probe:
        """A request of one of the viewers, about things of the pool."""
        # What names a thing has more to tell than a list, and a list more than what is the same for all.
        (route,) = lucky.choices(self.routes, [_weight(route) for route in self.routes])
        method = lucky.choice(route.methods if lucky.random() < 0.85 else METHODS)
        able = [who for who in viewers if who in ABLE.get((method, route.path.rpartition("/")[2]), ())]
        who = lucky.choice(able if able and lucky.random() < 0.7 else viewers)
        everything = [one for some in pool.values() for one in some]

        def fill(match: re.Match[str]) -> str:
            before = route.path[: match.start()].rstrip("/").rpartition("/")[2]
            likely = pool.get(NAMES.get(before, ""), everything)
            return _bent(lucky, lucky.choice(likely if lucky.random() < 0.85 else everything))

        path = re.sub(r"{[^}]*}", fill, route.path) + lucky.choice(ENDINGS if lucky.random() < 0.2 else [""])
        query = [(name, self._value(lucky, pool, name)) for name in route.query if lucky.random() < 0.97]
        if lucky.random() < 0.1:
            name = lucky.choice(USUAL)
            query.append((name, self._value(lucky, pool, name)))
        if query:
            path += "?" + urllib.parse.urlencode(query)
        if lucky.random() < 0.01:
            path = lucky.choice(
                ["/" + "a" * 5000, "//" + path, "http://x" + path, path.upper(), path.replace("/", "//")]
            )
        body = self._body(lucky, pool, route.path, who) if method not in ("GET", "HEAD") else b""
        headers = tuple(lucky.choice(HEADERS).items()) if lucky.random() < 0.3 else ()
        return Probe(route.path, method, path, who, body, headers)

    def _value(self, lucky: random.Random, pool: Mapping[str, list[str]], name: str) -> str:
        few = ["0", "1", "2"]
        moments = ["0", str(START + 5), str(EARLY), str(LAUNCH - 1), str(LAUNCH), str(LAUNCH + 1)]
        usual = {
            "at": moments,
            "since": moments,
            "old": few,
            "start": few,
            "count": few,
            "toolchain": [TOOLCHAIN.id],
            "policy": [POLICY.id],
            "vendor": pool["account"],
            "state": ["standing"],
        }
        likely = pool.get(name) or usual.get(name)
        if likely and lucky.random() < 0.9:
            return lucky.choice(likely)
        return lucky.choice(["0", "1", "2", "-1", "10", "1e9", "", "x", *pool["release"], *pool["claim"]])

    def _body(self, lucky: random.Random, pool: Mapping[str, list[str]], path: str, who: str | None) -> bytes:
        """One that could have been taken, often; and else any."""
        chance = lucky.random()
        if chance < 0.05:
            return lucky.choice([b"", b"{}", b"[]", b"\xff", b'{"a": NaN}', b"[" * 50])
        given: Any = {name: lucky.choice(some) for name, some in pool.items()}
        if "/blobs/" in path:
            return lucky.choice([b"", b"a", b"ab"])
        if path.endswith("/metadata"):
            return json.dumps(
                {name: lucky.choice([None, "{}", *pool["signed"]]) for name in ("root", "targets")}
            ).encode()
        if path.endswith("/submissions") and self.keys:
            signer = who if who in self.keys else lucky.choice(sorted(self.keys))
            return self._envelope(lucky, pool, signer)
        if path.endswith("/keys"):
            return prove(self.keys[lucky.choice(sorted(self.keys))], who or "x", SERVICE).dumps()
        if path.endswith("/invitations"):
            given = {"account": lucky.choice(pool["account"]), "opens": lucky.choice([0, LAUNCH])}
            given |= {"target": lucky.choice(pool["target"])} if lucky.random() < 0.7 else {}
        elif path.endswith("/misses"):
            named = {"workload": lucky.choice(pool["workload"]), "target": lucky.choice(pool["target"])}
            miss = {**named, "operator": "linear", "params": {"m": 1}, "count": lucky.randrange(1, 9)}
            given = {"source": f"{lucky.randrange(9):032x}", "misses": [miss]}
        elif path.endswith("/verdicts"):
            given = {"outcome": lucky.choice(["replayed", "reproduced", "refused", "withdrawn"]), "reason": "why not"}
        elif path.endswith("/releases"):
            text = lucky.choice([COMPUTATION["canonical"], "a computation that everybody knows", "unheard of"])
            named = lucky.choice([None, WORKLOAD, *pool["workload"]])
            op = {
                "name": "q",
                "operator": "linear",
                "params": {"m": 1},
                "calls": lucky.choice([1, 61]),
                "workload": named,
            }
            name = lucky.choice(["r1", "model of r1", "mine"])
            model = {"name": name, "source": lucky.choice(["lab", "mine"]), "step": {"phase": "decode"}, "ops": [op]}
            said = COMPUTATION | {"canonical": text, "flops": lucky.choice([1, 10**8])}
            launch = lucky.choice([LAUNCH + 7, 1.76e9, LAUNCH - 1])
            number = lucky.choice(["r1", "r2", f"x{lucky.randrange(10**6)}"])
            given = {"name": number, "launch": launch, "models": [model], "workloads": [said]}
        return json.dumps(given).encode()

    def _envelope(self, lucky: random.Random, pool: Mapping[str, list[str]], signer: str) -> bytes:
        chip = CHIP if lucky.random() < 0.5 else _secret_chip()
        n = lucky.randrange(200)
        scale = lucky.choice([1e-3, 1e-6, 1e-5])
        samples = tuple(scale * (1 + (n + each) / 1000) for each in range(3))
        of = claim(n, workload=lucky.choice(pool["workload"]), target=chip, samples=samples)
        release = lucky.choice([None, None, *pool["release"]])
        made = batch(of, vendor=signer, release=release, nonce=lucky.randbytes(16).hex())
        try:
            return sign_batch(made, self.keys[signer]).dumps()
        except ValueError:
            return b"{}"


def _secret_chip() -> Any:
    from tests.tuning_db.service.worlds import SECRET_CHIP

    return SECRET_CHIP


def _weight(route: Asked) -> int:
    if route.path.startswith("/static") or route.path.endswith((".json", "z", "/login", "/logout", "/metrics")):
        return 1
    return 8 if "{" in route.path or route.query or "POST" in route.methods else 4


def _bent(lucky: random.Random, value: str) -> str:
    """A value as it is, mostly, or as somebody would write it who looks for cracks."""
    if lucky.random() < 0.8:
        return value
    half = lucky.randrange(1, len(value) + 1)
    return lucky.choice(
        [
            value[:half],
            value.upper(),
            value + lucky.choice(ENDINGS),
            "".join(f"%{ord(letter):02x}" for letter in value),
            urllib.parse.quote(value, safe="") + "%20",
            f"{value}.{value}",
            f"./{value}",
            "*",
        ]
    )


def _routes(routes: Iterable[BaseRoute], prefix: str = "") -> Iterator[Asked]:
    for route in routes:
        if included := getattr(route, "original_router", None):  # as newer FastAPI keeps them
            yield from _routes(included.routes, prefix + route.include_context.prefix)  # type: ignore[attr-defined]
            continue
        if isinstance(route, Mount):
            found = list(_routes(route.routes, prefix + route.path))
            yield from found or [Asked(f"{prefix}{route.path}/{{path}}", ("GET",), ())]
            continue
        dependant = getattr(route, "dependant", None)
        query = tuple(one.alias for one in dependant.query_params) if dependant else ()
        # As the document has it, without the kind of a parameter.
        path = re.sub(r":\w+}", "}", prefix + getattr(route, "path", ""))
        yield Asked(path, tuple(sorted(getattr(route, "methods", None) or ("GET",))), query)
