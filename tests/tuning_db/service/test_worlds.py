"""Whatever somebody asks who is not invited, the answer is that of a database in which there is no release to hide."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tuning_db.service.probes import Probe, Probes
from tests.tuning_db.service.running import EARLY, LAUNCH
from tests.tuning_db.service.worlds import Worlds, race, worlds
from tuning_db.check import check
from tuning_db.service.app import make_app
from tuning_db.service.config import Config
from tuning_db.store import Store

# Issue 4 asks for as many.
REQUESTS = 5000


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Worlds]:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}: python -m tests.tuning_db.service.worlds {REQUESTS} {seed}")
    with worlds(tmp_path, seed) as made:
        yield made


def test_no_answer_tells_of_a_release_to_come(both: Worlds) -> None:
    probes = Probes.of(both.there)
    documented = make_app(Config(both.there.db, both.there.key)).openapi()["paths"]
    assert {route.path for route in probes.routes} >= set(documented)
    race(both, REQUESTS, probes)
    assert both.asked >= REQUESTS
    # Things were made, found, refused and missed, on every route.
    found = Counter(status for _, status in both.statuses.elements())
    assert all(found[status] for status in (200, 201, 204, 400, 401, 403, 404, 405, 422)), found
    assert {route for route, _ in both.statuses} == {route.path for route in probes.routes}
    # And meanwhile there was something to hide.
    assert both.claims > 5
    for service in (both.there, both.plain):
        with Store.open(service.db, read_only=True) as store:
            assert check(store) == []


def test_the_comparison_sees_what_there_is_to_see(both: Worlds) -> None:
    both.at(EARLY)
    both.work()
    for now, who in ((EARLY, "acme"), (LAUNCH, None)):
        both.at(now)
        for path in ("/v1/releases", "/v1/releases/r1"):
            with pytest.raises(AssertionError):
                both.compare([Probe("/v1", "GET", path, who)])
