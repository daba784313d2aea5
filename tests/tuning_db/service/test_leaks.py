"""Before its window a release does not exist: no answer tells it from one that was never made."""

from __future__ import annotations

import hashlib
import itertools
import random
import secrets
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.routing import APIRoute

from targets.digest import digest
from tests.tuning_db.claims import CHIP, WORKLOAD, claim
from tests.tuning_db.example import POLICY, TARGET, TOOLCHAIN
from tests.tuning_db.service.publishing import Hands, prebuilt
from tests.tuning_db.service.running import COMPUTATION, EARLY, LAUNCH, START, Answer, Service, call
from tuning_db.batch import Batch
from tuning_db.keys import PrivateKey
from tuning_db.pages.site import ROUTERS
from tuning_db.releases import DAY
from tuning_db.service.app import make_app
from tuning_db.service.config import Config
from tuning_db.store import Store
from tuning_db.windows import Viewer

# What stands for the hidden thing and for one of the same form that does not exist, for each route.
PATHS = {
    "/healthz": [],
    "/readyz": [],
    "/v1/backup": [],
    "/v1/releases": [],
    "/v1/account": [],
    "/v1/keys": [],
    "/v1/releases/{id}": ["release", "name"],
    "/v1/releases/{id}/standings": ["release", "name"],
    "/v1/releases/{id}/board": ["release", "name"],
    "/v1/releases/{id}/readiness": ["release", "name"],
    "/v1/releases/{id}/timeline": ["release", "name"],
    "/v1/releases/{id}/headstart": ["release", "name"],
    "/v1/claims/{id}": ["trial"],
    "/v1/pending": [],
    "/v1/misses": [],
    "/v1/releases/{id}/openings": ["release", "name"],
    "/v1/claims": ["in", "called", "after"],
    "/v1/champion": ["key"],
    "/v1/champions": ["key"],
    "/v1/workloads/{id}": ["workload"],
    "/v1/ledgers/{log}/checkpoint": ["release", "log", "rivals"],
    "/v1/ledgers/{log}/entries": ["release", "log", "rivals"],
    "/v1/ledgers/{log}/receipts/{seq}": ["release", "log", "rivals"],
    "/v1/repositories/{release}": ["release", "name"],
    "/v1/repositories/{release}/blobs/{digest}": ["release", "name"],
    "/v1/repositories/{release}/metadata/{file}": ["release", "name"],
    "/v1/repositories/{release}/targets/{path}": ["release", "name"],
    "/": [],
    "/login": [],
    "/ledgers": [],
    "/static/{name}": [],
    "/releases/{id}": ["release", "name"],
    "/releases/{id}/workloads/{workload}": ["release", "name"],
    "/vendors/{name}": ["vendor"],
    "/ledgers/{log}": ["release", "log", "rivals"],
}
# Kinds of things that a query names, and not the path.
QUERIES = {"key", "in", "called", "after"}
# Operators publish into every repository, whenever that is.
MANAGED = [("/v1/repositories/{release}", "root"), ("/v1/repositories/{release}/blobs/{digest}", "root")]
# A file of a bundle that is published ahead.
LIBRARY = b"a secret library"
BLOB = hashlib.sha256(LIBRARY).hexdigest()
UNINVITED = [None, "rival", "late", "other-lab", "judge", "user", "root"]


@pytest.fixture
def hidden(race: Service, tmp_path: Path) -> Service:
    """A race in which acme has claimed things, a moment before its launch; late is not let in before the day after."""
    race.invite(race.ids["r1"], "late", opens=LAUNCH + DAY)
    race.now = EARLY
    race.ids["trial"] = race.submit("acme").json["claims"][0]
    hands = Hands(race, race.ids["r1"], "lab")
    hands.begin()
    hands.publish(prebuilt(tmp_path / "hidden.bundle", LIBRARY))
    race.now = LAUNCH - 1e-3
    return race


def pair(hidden: Service, kind: str) -> tuple[str, str]:
    """A thing that is hidden, and one that is not there."""
    release, nobody = hidden.ids["r1"], "a" + secrets.token_hex(12)
    absent = "r" + secrets.token_hex(12)
    key = "workload={}&target={}&toolchain={}&policy={}"
    return {
        "release": (release, absent),
        "name": ("r1", "r2"),
        "in": (f"release={release}", f"release={absent}"),
        "called": ("release=r1", "release=r2"),
        "after": (f"after={hidden.ids['trial']}", f"after=t{secrets.token_hex(14)}"),
        "workload": (WORKLOAD, digest("w", "nothing")),
        "vendor": ("acme", "nobody"),
        "trial": (hidden.ids["trial"], "t" + secrets.token_hex(14)),
        "log": (f"{release}.{hidden.ids['acme']}", f"{absent}.{hidden.ids['acme']}"),
        "rivals": (f"{release}.{hidden.ids['rival']}", f"{release}.{nobody}"),
        "key": (
            key.format(WORKLOAD, CHIP.fingerprint, TOOLCHAIN.id, POLICY.id),
            key.format(digest("w", "nothing"), CHIP.fingerprint, TOOLCHAIN.id, POLICY.id),
        ),
    }[kind]


def filled(path: str, of: str) -> str:
    """A path that names a thing."""
    named = {"file": "timestamp.json", "path": f"blobs/{BLOB}.{BLOB}", "digest": BLOB}
    return path.format(id=of, log=of, name=of, release=of, workload=WORKLOAD, seq=0, **named)


def test_every_route_is_in_the_table(hidden: Service) -> None:
    # The pages are no part of the document.
    app = make_app(Config(hidden.db, hidden.key))
    paths = {path for path, methods in app.openapi()["paths"].items() if "get" in methods}
    routes = (route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute))
    paths |= {route.path for route in routes if "GET" in route.methods}
    assert paths == set(PATHS)


def test_what_is_hidden_is_answered_as_what_is_not_there(hidden: Service) -> None:
    compared = 0
    for (path, kinds), who in itertools.product(PATHS.items(), UNINVITED):
        for kind in kinds if (path, who) not in MANAGED else ():
            there, absent = (
                hidden.get(f"{path}?{of}" if kind in QUERIES else filled(path, of), who) for of in pair(hidden, kind)
            )
            assert there.seen == absent.seen, (path, kind, who)
            assert there.status in (401, 403, 404), (path, kind, who)
            compared += 1
    assert compared == sum(map(len, PATHS.values())) * len(UNINVITED) - sum(len(PATHS[path]) for path, _ in MANAGED)
    # The same questions find something where there is something to find.
    assert hidden.get("/v1/releases/r1", "acme").status == 200
    assert hidden.get(f"/v1/champion?{pair(hidden, 'key')[0]}", "acme").status == 200
    for path in PATHS:
        if "repositories" in path:
            assert hidden.get(filled(path, "r1"), "lab").status == 200, path


def test_any_route_at_any_time_before_the_window(hidden: Service) -> None:
    lucky = random.Random(11)
    opens = {**dict.fromkeys(UNINVITED, LAUNCH), "acme": EARLY}
    queries = ("", "", "?old=0", "?old=1", "?start=1&count=1", "?start=-1", "?x=y")
    endings = ("", "", "", ".", "/", "%2e", ".public", "%00", "X")
    for _ in range(1000):
        who, (path, kinds) = lucky.choice(list(opens)), lucky.choice([item for item in PATHS.items() if item[1]])
        kind, query, ending = lucky.choice(kinds), lucky.choice(queries), lucky.choice(endings)
        if who == "acme" and kind in ("trial", "after", "vendor"):
            continue  # its own, whatever becomes of its invitation
        if (path, who) in MANAGED:
            continue
        hidden.now = lucky.choice([opens[who] - 1e-3, lucky.uniform(START, opens[who] - 1)])
        method = lucky.choice(["GET", "GET", "GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
        seen = []
        for of in pair(hidden, kind):
            where = f"{path}?{of}{ending}" if kind in QUERIES else f"{filled(path, of)}{ending}{query}"
            seen.append(call(hidden.port, method, where, hidden.tokens[who] if who else None).seen)
        assert seen[0] == seen[1], (method, path, kind, query, ending, who)
        assert seen[0][0] in (400, 401, 403, 404, 405)


def test_methods_and_bodies_tell_nothing(hidden: Service) -> None:
    there, absent = pair(hidden, "release")
    invitation = {"account": "rival", "opens": 1.0}
    for who in ("other-lab", "rival", "user", None):
        answers = [hidden.post(f"/v1/releases/{id}/invitations", who, invitation) for id in (there, absent)]
        assert answers[0].seen == answers[1].seen
        assert answers[0].status == (404 if who == "other-lab" else 403 if who else 401)
    for method in ("delete", "post"):
        send = {"delete": hidden.delete, "post": lambda path, who: hidden.post(path, who, {})}[method]
        assert send(f"/v1/releases/{there}", "rival").seen == send(f"/v1/releases/{absent}", "rival").seen


def test_submissions_tell_nothing(hidden: Service) -> None:
    def sent(release: str | None, workload: str) -> Answer:
        made = Batch("rival", (claim(1, workload=workload),), release, created=1.75e9)
        return hidden.submit("rival", of=made)

    unknown = digest("w", "nothing")
    plain = sent("r9", unknown)
    for release in ("r1", hidden.ids["r1"], None):
        answer = sent(release, WORKLOAD)
        expected = plain.body.replace(unknown.encode(), WORKLOAD.encode())
        assert (answer.status, answer.body) == (422, expected), release


def test_publishers_do_not_find_out_what_others_hide(hidden: Service) -> None:
    # A model of the same workload can be made all the same, and shows what its own publisher said of it.
    op = {"name": "q", "operator": "linear", "params": {}, "calls": 1, "workload": WORKLOAD}
    model = {"name": "mine", "source": "other", "step": {}, "ops": [op]}
    whole = {"name": "r1", "launch": LAUNCH + 1, "models": [model], "workloads": []}
    named = hidden.post("/v1/releases", "other-lab", whole)
    assert (named.status, named.code) == (400, "invalid")
    made = hidden.post("/v1/releases", "other-lab", whole | {"workloads": [COMPUTATION | {"flops": 1, "label": "my"}]})
    assert made.status == 201
    shown = hidden.get("/v1/releases/r1", "other-lab").json
    assert shown["workloads"] == [{"id": WORKLOAD, "canonical": COMPUTATION["canonical"]}]
    assert b"secret" not in hidden.get("/v1/releases/r1", "other-lab").body
    # Nor by inviting to a chip that only hidden claims are of.
    path = f"/v1/releases/{made.json['id']}/invitations"
    answers = [
        hidden.post(path, "other-lab", {"account": "rival", "opens": 1.0, "target": target})
        for target in (CHIP.fingerprint, TARGET.fingerprint)
    ]
    assert [answer.status for answer in answers] == [400, 400]
    assert answers[0].body.replace(CHIP.fingerprint.encode(), TARGET.fingerprint.encode()) == answers[1].body


def test_the_words_of_one_publisher_are_not_told_in_the_release_of_another(hidden: Service) -> None:
    # What is said of one workload in another release neither refuses a claim in this one nor names its chip.
    op = {"name": "q", "operator": "linear", "params": {}, "calls": 1, "workload": WORKLOAD}
    model = {"name": "mine", "source": "other", "step": {}, "ops": [op]}
    said = COMPUTATION | {"flops": 1, "bytes": 1}
    whole = {"name": "mine", "launch": LAUNCH + 1, "models": [model], "workloads": [said]}
    made = hidden.post("/v1/releases", "other-lab", whole)
    assert made.status == 201
    path = f"/v1/releases/{made.json['id']}/invitations"
    assert hidden.post(path, "other-lab", {"account": "rival", "opens": 1.0}).status == 201
    quick = claim(1, samples=(1e-5, 1.1e-5, 1.2e-5), target=replace(CHIP, name="plain"))
    taken = hidden.submit("rival", of=Batch("rival", (quick,), "mine", created=1.75e9))
    assert taken.status == 200, taken.body
    hidden.invite(hidden.ids["r1"], "acme")
    assert hidden.submit("acme", of=Batch("acme", (quick,), "r1", created=1.75e9)).reasons == {"below_floor"}
    with Store.open(hidden.db, read_only=True) as store:
        said_of = {
            who: store.declared(Viewer(hidden.now, hidden.ids[who]), made.json["id"]) for who in ("rival", "acme")
        }
    assert [chip.name for chip in said_of["rival"][CHIP.fingerprint]] == ["plain"]
    assert said_of["acme"] == {}


def test_a_workload_of_no_model_opens_nothing(hidden: Service) -> None:
    # It would be everybody's at once, unless it is hidden elsewhere: claims for the public would tell.
    for text in (COMPUTATION["canonical"], "something else"):
        op = {"name": "q", "operator": "linear", "params": {}, "calls": 1, "workload": None}
        model = {"name": "mine", "source": "other", "step": {}, "ops": [op]}
        whole = {"name": "mine", "launch": LAUNCH + 1, "models": [model]}
        answer = hidden.post("/v1/releases", "other-lab", whole | {"workloads": [COMPUTATION | {"canonical": text}]})
        assert (answer.status, answer.code) == (400, "invalid")


def test_hidden_work_moves_nothing_that_others_see(race: Service) -> None:
    race.now = EARLY
    paths = ["/v1/releases", "/v1/ledgers/public/checkpoint", "/v1/ledgers/public/entries"]
    before = {(path, who): race.get(path, who).seen for path in paths for who in (None, "rival", "late")}
    for n in range(3):
        assert race.submit("acme", n).status == 200
    race.release("r2", models=[{"name": "more", "source": "lab", "step": {}, "ops": []}], workloads=[])
    assert {(path, who): race.get(path, who).seen for path, who in before} == before


def test_a_stranger_with_a_key_of_their_own(hidden: Service) -> None:
    hidden.keys["acme"] = PrivateKey.new("acme-1")
    assert hidden.submit("acme").reasons == {"unknown_key"}
