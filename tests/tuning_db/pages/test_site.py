"""The pages of a made-up race, from a real server: whole, readable, without scripts; who sees what; logging in."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from urllib.parse import urlencode, urljoin, urlsplit

import pytest

from tests.tuning_db.demo import Demo, make, served
from tests.tuning_db.pages.markup import Markup
from tests.tuning_db.service.running import Answer
from tuning_db.store import Store

VIEWERS = ("", "aurora", "halcyon")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with served(make(tmp_path_factory.mktemp("demo") / "demo.db", 3)) as running:
        yield running


def ask(
    demo: Demo, path: str, who: str = "", method: str = "GET", form: dict[str, str] | None = None, **headers: str
) -> Answer:
    """What a browser gets."""
    sent = {"Accept": "text/html,*/*;q=0.8"} | {name.replace("_", "-"): value for name, value in headers.items()}
    if who:
        sent["Cookie"] = f"headstart={demo.tokens.get(who, who)}"
    if form is not None:
        sent["Content-Type"] = "application/x-www-form-urlencoded"
    connection = http.client.HTTPConnection("127.0.0.1", demo.port, timeout=60)
    try:
        connection.request(method, path, urlencode(form) if form is not None else None, sent)
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


def test_every_page_that_is_linked_is_there_and_whole(demo: Demo) -> None:
    for who in VIEWERS:
        seen: set[str] = set()
        todo = ["/", "/releases/nothing"]
        while todo:
            path = todo.pop()
            seen.add(path)
            answer = ask(demo, path, who)
            assert answer.status == (404 if path == "/releases/nothing" else 200), (who, path)
            if answer.headers["content-type"].startswith("text/html"):
                page = Markup(answer.body.decode())
                assert page.problems == [], (who, path)
                for link in page.links:
                    parts = urlsplit(urljoin(path, link))
                    assert not parts.netloc, (path, link)
                    assert not parts.fragment or parts.fragment in page.ids
                    if parts.path != "/logout" and "end=" not in parts.query:
                        todo += [parts.path] if parts.path not in seen and parts.path not in todo else []
        kinds = {"/".join(path.split("/")[:2]) for path in seen}
        assert {"/", "/releases", "/vendors", "/ledgers", "/static"} <= kinds
        assert sum("/workloads/" in path for path in seen) >= 3


def test_what_a_page_may_do(demo: Demo) -> None:
    headers = ask(demo, "/").headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'self';")
    assert "unsafe" not in policy
    assert headers["cache-control"] == "no-store"
    style = next(link for link in Markup(ask(demo, "/").body.decode()).links if link.endswith(".css"))
    assert "immutable" in ask(demo, style).headers["cache-control"]
    assert b"@import" not in (body := ask(demo, style).body)
    assert b"url(" not in body


def test_who_sees_what(demo: Demo) -> None:
    hidden, workload = f"/releases/{demo.racing}", demo.workloads[0]
    # A rival that is not invited, and anybody: as if it were not there, to the byte.
    for who in ("", "cinder", "dune", "reader"):
        for path in (hidden, f"{hidden}/workloads/{workload}", f"/ledgers/{demo.racing}"):
            there, absent = ask(demo, path, who), ask(demo, path.replace(demo.racing, "r" + "0" * 24), who)
            assert there.seen == absent.seen
            assert there.status == 404
        assert b"v5-preview" not in ask(demo, "/", who).body + ask(demo, "/ledgers", who).body
        assert b"v5-preview" not in ask(demo, "/vendors/aurora", who).body
        assert ask(demo, "/vendors/nobody", who).seen == ask(demo, "/vendors/arbiter", who).seen
    # A rival that is invited sees the release and nothing of others; the publisher sees times and no schedules.
    assert b"aurora" not in ask(demo, hidden, "basalt").body
    assert b"aurora" not in ask(demo, f"{hidden}/workloads/{workload}", "basalt").body
    assert b"aurora" in ask(demo, hidden, "halcyon").body
    page = ask(demo, f"{hidden}/workloads/{workload}", "halcyon").body
    assert b"not open to you" in page
    assert b"The schedule that leads" not in page
    assert b"The schedule that leads" in ask(demo, f"{hidden}/workloads/{workload}", "aurora").body
    # Nobody but its publisher sees who is invited.
    assert b"It opens for basalt" in ask(demo, hidden, "halcyon").body
    assert b"basalt" not in ask(demo, hidden, "aurora").body
    # Keys: one's own, and those that signed what one sees.
    assert b"headstart-ed25519" in ask(demo, "/vendors/aurora", "aurora").body
    assert b"headstart-ed25519" in ask(demo, "/vendors/aurora").body
    assert ask(demo, "/vendors/").status == 404
    # What leads is what leads in this release: a workload may be in others too.
    assert b"leads with" in ask(demo, f"{hidden}/workloads/{workload}", "aurora").body


def test_reading_is_noted(demo: Demo) -> None:
    with Store.open(demo.db, read_only=True) as store:
        log = f"{demo.racing}.{store.account('basalt').id}"
        before = store.size(log)
        for path in (f"/releases/{demo.racing}", f"/releases/{demo.racing}/workloads/{demo.workloads[0]}"):
            assert ask(demo, path, "basalt").status == 200
        said = [entry.payload["subject"] for entry in store.entries(log, before)]
        assert said == ["page of the release", f"page of workload {demo.workloads[0]}"]
        assert ask(demo, f"/releases/{demo.launched}", "basalt").status == 200
        assert store.size(log) == before + 2


def test_logging_in_and_out(demo: Demo) -> None:
    wrong = ask(demo, "/login", method="POST", form={"token": "hst_x_y"})
    assert (wrong.status, "set-cookie" in wrong.headers) == (401, False)
    assert b"opens nothing" in wrong.body
    right = ask(demo, "/login", method="POST", form={"token": f" {demo.tokens['aurora']}\n"})
    assert (right.status, right.headers["location"]) == (303, "/")
    cookie = right.headers["set-cookie"]
    assert f"headstart={demo.tokens['aurora']};" in cookie
    assert {"httponly", "path=/", "samesite=strict"} == {part.strip().lower() for part in cookie.split(";")[1:]}
    assert b"aurora</span>" in ask(demo, "/", "aurora").body
    out = ask(demo, "/logout", "aurora", "POST", {})
    assert (out.status, "Max-Age=0" in out.headers["set-cookie"]) == (303, True)
    # A token that has ended is nobody's, and says so; the API takes none of it.
    over = ask(demo, "/", "hst_x_y")
    assert (over.status, b"Your login has ended" in over.body) == (200, True)
    assert ask(demo, "/v1/keys", "aurora").status == 401
    for headers in ({"Origin": "https://elsewhere.example"}, {"Origin": "null"}, {"Sec_Fetch_Site": "cross-site"}):
        for path in ("/login", "/logout"):
            refused = ask(demo, path, "", "POST", {"token": demo.tokens["aurora"]}, **headers)
            assert (refused.status, "set-cookie" in refused.headers) == (403, False)
    own = {"Origin": f"http://127.0.0.1:{demo.port}", "Sec_Fetch_Site": "same-origin"}
    assert ask(demo, "/login", "", "POST", {"token": demo.tokens["aurora"]}, **own).status == 303
    assert ask(demo, "/login", "", "POST", {"token": "x" * 5000}).status == 413


def test_errors_are_pages_for_browsers_alone(demo: Demo) -> None:
    assert b"Not there, or not open to you" in ask(demo, "/nothing").body
    assert ask(demo, "/nothing", Accept="*/*").code == "not_found"
    assert ask(demo, "/v1/nothing").code == "not_found"
    assert ask(demo, "/ledgers/public?end=x").status == 400
    assert Markup(ask(demo, "/", method="PUT").body.decode()).problems == []
