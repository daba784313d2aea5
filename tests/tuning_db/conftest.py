"""An empty store, and one with a little of everything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tuning_db.example import populate
from tests.tuning_db.race import Race, hold
from tuning_db.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "empty.db") as opened:
        yield opened


@pytest.fixture
def race(store: Store) -> Race:
    """A race that has begun, with nothing submitted."""
    return hold(store)


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "full.db") as opened:
        populate(opened)
        yield opened
