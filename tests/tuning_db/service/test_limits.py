"""Who asks too often waits; what a request is about, and what others do, plays no part in it."""

from __future__ import annotations

import http.client
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tuning_db.service.running import EARLY, Answer, Service, call, running
from tuning_db.service.limits import BURST_S, Buckets, Rates, address_of
from tuning_db.store import Store

RATES = st.floats(0.01, 1000)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(rate=RATES, pauses=st.lists(st.floats(0, 20), min_size=1, max_size=200))
def test_no_more_than_a_bucket_and_what_it_gains(rate: float, pauses: list[float]) -> None:
    clock, taken = Clock(), []
    buckets = Buckets(clock=clock)
    for pause in pauses:
        clock.now += pause / rate
        if not buckets.take("a", rate):
            taken.append(clock.now)
    assert taken
    burst = max(1.0, rate * BURST_S)
    for first, began in enumerate(taken):
        for last in range(first, len(taken)):
            assert last - first + 1 <= burst + (taken[last] - began) * rate + 1e-3


@given(rate=RATES, count=st.integers(1, 50))
def test_whoever_keeps_to_the_rate_never_waits(rate: float, count: int) -> None:
    clock = Clock()
    buckets = Buckets(clock=clock)
    for _ in range(count):
        assert buckets.take("a", rate) == 0
        clock.now += 1 / rate


@given(rate=RATES, asked=st.lists(st.floats(0, 3), max_size=30))
def test_whoever_waits_as_long_as_was_said_is_let_in(rate: float, asked: list[float]) -> None:
    clock = Clock()
    buckets = Buckets(clock=clock)
    for pause in asked:
        clock.now += pause / rate
        if wait := buckets.take("a", rate):
            # Asking in vain costs nothing.
            assert math.isclose(buckets.take("a", rate), wait)
            clock.now += wait
            assert buckets.take("a", rate) == 0


def test_buckets_of_others_are_their_own_and_no_more_than_so_many() -> None:
    clock = Clock()
    buckets = Buckets(most=100, clock=clock)
    assert buckets.take("a", 0.1) == 0
    assert buckets.take("a", 0.1, pay=False) > 0
    assert buckets.take("b", 0.1, pay=False) == buckets.take("b", 0.1) == 0
    for n in range(1000):
        assert buckets.take(f"x{n}", 0.1) == 0
        assert buckets.take("none", 0) == 0
    assert len(buckets) == 100


@pytest.mark.parametrize(
    ("host", "whose"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9%eth0", "2001:db8:1:2::/64"),
        ("unknown", ""),
        ("", ""),
    ],
)
def test_whose_an_address_is(host: str, whose: str) -> None:
    assert address_of({"client": (host, 1)}) == whose
    assert address_of({"client": None}) == address_of({}) == ""


def until_refused(ask: Callable[[], Answer], most: int = 40) -> tuple[int, Answer]:
    """How often something is answered otherwise before it is 429."""
    for count in range(most):
        answer = ask()
        if answer.status == 429:
            return count, answer
    raise AssertionError("nobody is turned away")


@pytest.fixture
def slow(race: Service) -> Service:
    """A race in which one request of a kind is too often already, by a clock that stands still."""
    race.limit(Rates(account=0.25, address=0.25, failures=0.25))
    race.now = EARLY
    return race


def test_an_account_that_asks_too_often(slow: Service) -> None:
    with Store.open(slow.db) as store:
        store.set_quota(store.account("acme"), requests=3)
    count, answer = until_refused(lambda: slow.get("/v1/releases/r1", "acme"))
    assert count == 12
    assert (answer.code, answer.json["error"]["message"]) == (
        "too_many_requests",
        "too many requests; try again later",
    )
    assert int(answer.headers["retry-after"]) >= 1
    # Another account, of the same address, has its own; and what is hidden costs what does not exist costs.
    for path in ("/v1/releases/r1", "/v1/releases/r9"):
        slow.limit(Rates(account=1))
        assert until_refused(lambda path=path: slow.get(path, "rival"))[0] == 4


def test_addresses_without_a_token_and_with_wrong_ones(slow: Service) -> None:
    slow.limit(Rates(address=0.75, failures=0.75))
    for token in (None, "hst_wrong_token"):
        count, answer = until_refused(lambda token=token: call(slow.port, "GET", "/v1/releases/r1", token))
        assert count == 3
        # What is not there, or looked at by nobody, is turned away just so.
        paths = ("/v1/releases/r9", "/nothing", "/metrics", "/healthz")
        assert all(call(slow.port, "GET", path, token).seen == answer.seen for path in paths)
    # Nor are right tokens looked at from an address that has shown too many wrong ones.
    assert slow.get("/v1/releases", "acme").status == 429


def test_right_tokens_cost_an_address_nothing(slow: Service) -> None:
    slow.limit(Rates(address=0.25, failures=0.25))
    for _ in range(5):
        assert slow.get("/v1/releases", "acme").status == 200
        assert slow.post("/v1/submissions", "acme", b"{}").status == 422


def test_a_request_costs_one_however_often_it_looks(slow: Service) -> None:
    slow.limit(Rates(account=1))
    assert until_refused(lambda: slow.post("/v1/submissions", "acme", b"{}"))[0] == 4


@pytest.mark.parametrize("proxies", [(), ("127.0.0.1",)])
def test_whose_word_is_taken_on_who_asks(tmp_path: Path, proxies: tuple[str, ...]) -> None:
    def ask(*passed: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
        try:
            connection.request("GET", "/v1/releases", headers={"X-Forwarded-For": ", ".join(passed)})
            return connection.getresponse().status
        finally:
            connection.close()

    with running(tmp_path, proxies=proxies) as service:
        service.limit(Rates(address=0.25))
        answers = [ask("192.0.2.1"), ask("192.0.2.2"), ask("192.0.2.2"), ask("192.0.2.3", "192.0.2.2")]
    # What a client says before the proxy adds its address is not believed either.
    assert answers == ([200, 200, 429, 429] if proxies else [200, 429, 429, 429])


def test_a_vendor_over_its_quota(race: Service) -> None:
    race.now = EARLY
    with Store.open(race.db) as store:
        store.set_quota(store.account("acme"), claims=2)
    first = race.envelope("acme", 1)
    taken = race.post("/v1/submissions", "acme", first)
    assert race.submit("acme", 2).status == 200
    refused = race.submit("acme", 3)
    assert (refused.status, refused.reasons) == (422, {"over_quota"})
    # Hidden or absent, it is refused for the same; and a retry is none of more.
    assert race.submit("acme", 4, release="r9").body == race.submit("acme", 4).body
    assert race.post("/v1/submissions", "acme", first).seen == taken.seen
    race.now += 86400
    assert race.submit("acme", 5).status == 200
