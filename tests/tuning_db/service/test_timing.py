"""Answers for what is hidden take as long as answers for what is not there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.tuning_db.service.timing import Measured, busy, measure, pairs_of
from tests.tuning_db.service.worlds import Worlds
from tuning_db.store import Store

SAMPLES = 30
# One half where nobody can tell; chance alone strays 0.08 from there in one of three measurements. What is only chance,
# or what a machine does that is busy with other things, does not do it again and again.
TELLS, TRIES = 0.25, 5


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    with busy(tmp_path_factory.mktemp("worlds")) as made:
        yield made


def telling(both: Worlds, names: set[str] | None = None) -> dict[str, float]:
    """Of which questions the time of the answer tells, every time they are looked at."""
    pairs = pairs_of(both)
    left = names or set(pairs)
    for _ in range(TRIES):
        found = measure({name: pairs[name] for name in left}, both.there.tokens, SAMPLES)
        told = {name: of.slower for name, of in found.items() if abs(of.slower - 0.5) > TELLS}
        left = set(told)
        if not left:
            return {}
    return told


def test_time_tells_nothing(both: Worlds) -> None:
    assert telling(both) == {}


def test_three_milliseconds_are_seen(both: Worlds, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a check that is made only of what is there would take."""
    claim: Callable[..., Any] = Store.claim

    def slow(store: Store, viewer: object, trial: str) -> Any:
        if store.value("SELECT 1 FROM claim WHERE trial = ?", (trial,)):
            time.sleep(3e-3)
        return claim(store, viewer, trial)

    monkeypatch.setattr(Store, "claim", slow)
    assert set(telling(both, {"claim", "champion"})) == {"claim"}


def test_how_likely_one_is_slower() -> None:
    assert Measured([2.0, 4.0], [1.0, 3.0]).slower == 0.75
    assert Measured([1.0], [1.0]).slower == 0.5
