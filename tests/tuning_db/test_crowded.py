"""A database that was filled in bulk is what the service would have made of the same batches."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import tuning_db.records
from tests.tuning_db.crowded import TRIALS, bulk, gather, honest, parcels
from tuning_db.check import check
from tuning_db.store import Store


def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chance and time, as they always are."""
    numbers = itertools.count()
    monkeypatch.setattr(os, "urandom", lambda size: next(numbers).to_bytes(size, "big"))
    names = itertools.count()
    monkeypatch.setattr(tuning_db.records, "new_id", lambda prefix: f"{prefix}{next(names):028x}")


def test_bulk_is_as_good_as_honest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, again = tmp_path / "a.db", tmp_path / "b.db"
    with Store.open(path) as store:
        crowd = gather(store, 7)
    shutil.copy(path, again)
    tables: list[dict[str, list[tuple[object, ...]]]] = []
    ways: tuple[tuple[Path, Callable[..., None]], ...] = ((path, honest), (again, lambda *of: bulk(*of, together=4)))
    for where, way in ways:
        counted(monkeypatch)
        with Store.open(where) as store:
            way(store, parcels(crowd, 15 * TRIALS))
            assert check(store) == []
            names = [row["name"] for row in store.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
            tables.append({name: sorted(store.connection.execute(f"SELECT * FROM {name}"), key=repr) for name in names})
    assert tables[0] == tables[1]
    assert len(tables[0]["claim"]) == 15 * TRIALS
    assert {row[5] for row in tables[0]["lead_history"]} > {"", crowd.vendors[0][0].id}
