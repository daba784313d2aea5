"""What a task takes up from a database."""

from __future__ import annotations

from pathlib import Path

import pytest

from schedules.operators.linear import Linear
from schedules.schedule import Schedule
from schedules.spaces.panels import Panels
from schedules.workload import Workload
from targets import Target
from tuner.task import DEFAULT, load_task
from tuning_db.records import Policy, Status, Toolchain, Trial
from tuning_db.store import Store

CHIP = Target("t", "v", "m", {"kind": "llvm", "mcpu": "znver4"}, 2, 512, l2=1 << 20)
POLICY, TOOLS = Policy("cold", 2), Toolchain({"tvm": "0"})
WORKLOAD = Workload.of(Linear(16, 256, 512))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A database with the default, 2 ms, and a champion in panels, 1 ms."""
    store = Store.open(tmp_path / "t.db")
    store.add_target(CHIP.fingerprint, CHIP.name, CHIP.vendor, CHIP.spec())
    store.add_policy(POLICY)
    store.add_toolchain(TOOLS)
    key = load_task(store, WORKLOAD, CHIP, POLICY, TOOLS).key
    for schedule, median in ((DEFAULT, 2e-3), (Panels(WORKLOAD, CHIP).seeds()[0], 1e-3)):
        store.add_schedule(schedule.id, schedule.space, schedule.version, dict(schedule.config))
        trial = Trial(key, schedule.id, Status.OK, (median,) * 3, median, 0.0)
        store.add_trial(trial, crown=True)
    return store


def test_trials_and_champion_are_taken_up(store: Store) -> None:
    task = load_task(store, WORKLOAD, CHIP, POLICY, TOOLS)
    assert (task.tried, task.default_s, task.champion_s) == (2, 2e-3, 1e-3)
    assert task.champion is not None and task.champion.space == "panels"


@pytest.mark.parametrize("change", ["newer", "gone"])
def test_schedules_that_nobody_can_build_any_more_are_left_out(
    store: Store, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if change == "newer":
        monkeypatch.setattr(Panels, "version", Panels.version + 1)
    else:
        monkeypatch.setattr(Panels, "supports", lambda workload, target: False)
    task = load_task(store, WORKLOAD, CHIP, POLICY, TOOLS)
    assert (task.tried, task.default_s, task.champion) == (1, 2e-3, None)
    # The database keeps them all the same.
    found = store.champion(task.key)
    assert found is not None and Schedule(*store.schedule(found.schedule)).space == "panels"
