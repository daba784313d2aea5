"""Jobs: turns by shares, changes of state that are legal and lose against nobody, logs, and who is called lost."""

from __future__ import annotations

import itertools
import os
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from typing import Any

import pytest

from targets.errors import InputError
from tests.tuning_db.example import add, fill
from tuning_db.job_life import OLD_S, is_lost
from tuning_db.job_schema import CHANGES
from tuning_db.jobs import ENDED, OPEN, short
from tuning_db.store import Store


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time as jobs see it, to be moved on."""
    now = [1.7e9]
    monkeypatch.setattr("tuning_db.jobs.time.time", lambda: now[0])
    return now


def work(store: Store, clock: list[float], seconds: float) -> str:
    """Give whose turn it is so much time."""
    job = store.take_job()
    assert job is not None
    clock[0] += seconds
    assert store.leave_job(job["id"])
    return str(job["id"])


def test_a_job_goes_from_the_queue_to_its_end(store: Store, clock: list[float]) -> None:
    id = store.queue_job({"model": "tiny"}, 2.0)
    assert store.job(id)["state"] == "queued" and store.job(id)["started"] is None
    taken = store.take_job()
    assert taken is not None and taken["id"] == id and taken["pid"] == os.getpid()
    assert store.take_job() is None, "nobody takes what somebody has"
    clock[0] += 5
    assert store.heartbeat(id, 0.25)
    clock[0] += 1
    assert store.finish_job(id, data={"trials": 3})
    row = store.job(id)
    assert (row["state"], row["spent"], row["turn"], row["progress"]) == ("done", 6, 3, 0.25)
    assert [line["event"] for line in store.job_log(id)] == ["queued", "began", "done"]
    assert store.job_log(id)[-1] | {"seq": 0} == {
        "seq": 0, "job": id, "at": clock[0], "spent": 6, "event": "done", "data": {"trials": 3},
    }  # fmt: skip


def test_time_goes_by_shares(store: Store, clock: list[float]) -> None:
    shares = {store.queue_job({}, share): share for share in (1, 2, 5)}
    turns = Counter(work(store, clock, 60) for _ in range(80))
    assert {id: turns[id] for id in shares} == {id: 10 * share for id, share in shares.items()}


def test_who_comes_late_or_was_away_is_owed_nothing(store: Store, clock: list[float]) -> None:
    first = store.queue_job({})
    for _ in range(10):
        work(store, clock, 60)
    late = store.queue_job({})
    assert Counter(work(store, clock, 60) for _ in range(10)) == {first: 5, late: 5}
    store.pause_job(late)
    for _ in range(10):
        work(store, clock, 60)
    store.resume_job(late)
    assert Counter(work(store, clock, 60) for _ in range(10)) == {first: 5, late: 5}


def test_what_is_left_out_is_not_taken(store: Store) -> None:
    first, second = store.queue_job({}), store.queue_job({})
    assert store.take_job([first, "j0"])["id"] == second
    assert store.take_job([first]) is None


def test_a_state_changes_as_it_may_and_in_no_other_way(store: Store) -> None:
    id = store.queue_job({})
    trigger = store.value("SELECT sql FROM sqlite_master WHERE name = 'job_changes_as_it_may'")
    for old, new in itertools.product(OPEN + ENDED, repeat=2):
        store.execute("DROP TRIGGER job_changes_as_it_may")
        store.execute("UPDATE job SET state = ?", (old,))
        store.execute(trigger)
        if old == new or (old, new) in CHANGES:
            store.execute("UPDATE job SET state = ? WHERE id = ?", (new, id))
            assert store.job(id)["state"] == new
        else:
            with pytest.raises(sqlite3.IntegrityError, match="does not change"):
                store.execute("UPDATE job SET state = ? WHERE id = ?", (new, id))
            assert store.job(id)["state"] == old


def test_a_pause_wins_against_whoever_runs_the_job(store: Store, clock: list[float]) -> None:
    id = store.queue_job({})
    store.take_job()
    with Store.open(store.path) as other:
        other.pause_job(id)
    clock[0] += 3
    assert not store.heartbeat(id)
    assert not store.leave_job(id) and not store.finish_job(id, "failed")
    assert store.job(id)["state"] == "paused" and store.job(id)["spent"] == 3
    assert [line["event"] for line in store.job_log(id)] == ["queued", "began", "paused"]
    store.resume_job(id)
    assert store.take_job()["id"] == id


def test_a_job_that_failed_may_be_tried_again_and_one_that_was_cancelled_not(store: Store) -> None:
    id = store.queue_job({})
    store.take_job()
    store.finish_job(id, "failed", {"reason": "no such file"})
    store.resume_job(short(id))
    store.cancel_job(short(id))
    for change in (store.resume_job, store.pause_job, store.cancel_job):
        with pytest.raises(InputError, match=f"job {short(id)} is cancelled, and cannot become"):
            change(id)
    assert store.take_job() is None


def test_a_job_that_runs_by_itself_is_cancelled_and_not_paused(store: Store) -> None:
    id = store.start_job({})
    for change in (store.pause_job, store.resume_job):
        with pytest.raises(InputError, match="not of the queue"):
            change(id)
    store.cancel_job(id)
    assert not store.heartbeat(id)


@pytest.mark.parametrize("share", [0, -1, float("inf"), float("nan")])
def test_a_share_of_nothing_is_refused(store: Store, share: float) -> None:
    with pytest.raises(InputError, match="more than nothing"):
        store.queue_job({}, share)
    assert store.jobs() == []


def test_a_job_is_called_by_either_end_of_its_id(store: Store) -> None:
    ids = [store.queue_job({}) for _ in range(3)]
    assert [store.job(short(id))["id"] for id in ids] == ids
    assert store.job(ids[1][:-1])["id"] == ids[1]
    with pytest.raises(InputError, match="3 jobs are called 'j'"):
        store.job("j")
    for unknown in ("nothing", "%", "_" * 29, ""):
        with pytest.raises(InputError, match="no job"):
            store.job(unknown)


def test_the_log_is_read_from_where_one_was_and_never_changed(store: Store, clock: list[float]) -> None:
    one, two = store.queue_job({}), store.queue_job({})
    seen = store.job_log()[-1]["seq"]
    clock[0] += 10
    store.log_job(one, "champion", {"seconds": 1e-3})
    assert [line["event"] for line in store.job_log(after=seen)] == ["champion"]
    assert [line["job"] for line in store.job_log(since=clock[0])] == [one]
    assert [line["event"] for line in store.job_log(two)] == ["queued"]
    for sql in ("UPDATE job_log SET at = 0", "DELETE FROM job_log"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            store.execute(sql)


def test_what_a_job_made_is_counted_from_its_trials(store: Store) -> None:
    keys = fill(store, 2)
    for key in keys:
        add(store, key, 0, 4e-3, crown=True, job="j1")
        add(store, key, 1, 2e-3, crown=True, job="j1")
        add(store, key, 2, None, job="j1")
    add(store, keys[0], 3, 1e-3, crown=True, job="j2")
    add(store, keys[1], 1, 1.9e-3, crown=True, job="j3", evidence={"again": True})
    assert store.job_trials("j1") == {"trials": 6, "good": 4, "champions": 0}
    assert store.job_trials("j2") == {"trials": 1, "good": 1, "champions": 1}
    assert store.job_trials("j3") == {"trials": 1, "good": 1, "champions": 0}
    assert store.job_trials("j4") == {"trials": 0, "good": 0, "champions": 0}


def test_who_runs_a_job_and_is_gone_is_known(store: Store) -> None:
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    )
    store.queue_job({})
    row: dict[str, Any] = store.take_job() or {}
    now = time.time()
    assert not is_lost(row, now + 10 * OLD_S), "it is this process"
    assert is_lost(row | {"pid": int(gone.stdout)}, now)
    assert is_lost(row | {"heartbeat": 1e9}, now), "this process is younger than its heartbeat"
    assert not is_lost(row | {"host": "elsewhere"}, now)
    assert is_lost(row | {"host": "elsewhere"}, now + 2 * OLD_S)
    assert not is_lost(row | {"pid": int(gone.stdout), "state": "queued"}, now)
