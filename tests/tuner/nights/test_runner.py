"""Whoever runs jobs: turns, pauses, losses of power, and what must not end a night."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from targets import Target
from targets.errors import HeadstartError, InputError
from tests.tuner.nights.conftest import PowerLoss, World, new_trials, night, queue
from tests.tuner.test_job import CHIP
from tuner.frontend.model import Step
from tuner.nights.lock import only_runner
from tuner.nights.request import Request
from tuner.nights.runner import Runner
from tuning_db.check import check
from tuning_db.store import Store


def events(store: Store, job: str) -> list[str]:
    return [line["event"] for line in store.job_log(job)]


def test_jobs_are_done_one_after_the_other_and_trials_name_theirs(store: Store, world: World) -> None:
    first, second = queue(store), queue(store, "other", cache="warm")
    night(store)
    assert [row["state"] for row in store.jobs()] == ["done", "done"]
    assert {trial.job for trial in store.trials()} == {first, second}
    assert Counter(new_trials(store)).most_common(1)[0][1] == 2, "each policy has trials of its own"
    assert store.job_trials(first)["trials"] >= 16 and store.job(first)["progress"] == 1
    told = events(store, first)
    assert told[:3] == ["queued", "began", "plan"] and told[-1] == "done" and "champion" in told
    (plan,) = [line["data"] for line in store.job_log(first) if line["event"] == "plan"]
    assert sum(plan["steps"][0]["calls"].values()) == 6 and all(plan["floors"].values())
    assert check(store) == []


def test_a_turn_ends_where_another_job_waits_for_its(store: Store, world: World) -> None:
    jobs = [queue(store, "one", trials=12), queue(store, "two", trials=12, cache="warm")]
    order: list[str] = []

    def listen(row: dict[str, Any], event: object) -> None:
        if event is not None and order[-1:] != [row["id"]]:
            order.append(row["id"])
        time.sleep(0.01)

    night(store, slice_s=0.1, listener=listen)
    assert len(order) > 2 and set(order) == set(jobs)
    assert {store.job(job)["state"] for job in jobs} == {"done"}
    assert all("waits" in events(store, job) for job in jobs)
    assert max(Counter((t.key, t.schedule) for t in store.trials() if not t.evidence.get("again")).values()) == 1


def test_one_job_alone_makes_room_for_nobody(store: Store, world: World) -> None:
    job = queue(store, trials=8)
    night(store, slice_s=1e-6)
    assert events(store, job).count("began") == 1


def test_what_two_jobs_share_is_tuned_once(store: Store, world: World) -> None:
    queue(store, trials=6), queue(store, trials=6)
    night(store)
    assert max(Counter(new_trials(store)).values()) == 1 and len(new_trials(store)) == 12


@pytest.mark.parametrize("change", ["pause_job", "cancel_job"])
def test_a_job_that_runs_stops_soon_where_another_process_says_so(store: Store, world: World, change: str) -> None:
    job = queue(store, trials=12)
    made: list[int] = []

    def listen(row: dict[str, Any], event: object) -> None:
        if event is None:
            return
        made.append(1)
        if len(made) == 3:
            with Store.open(store.path) as other:
                getattr(other, change)(job)
        if len(made) >= 3:
            time.sleep(0.03)  # a beat

    night(store, listener=listen)
    state = "paused" if change == "pause_job" else "cancelled"
    assert store.job(job)["state"] == state and len(made) <= 8
    assert events(store, job)[-2:] == [state, "device"]
    if state == "paused":
        store.resume_job(job)
        night(store)
        assert store.job(job)["state"] == "done" and len(new_trials(store)) == 24


def test_power_that_fails_ten_times_costs_no_trial(store: Store, world: World) -> None:
    job, other = queue(store, trials=20), queue(store, "other", trials=20, cache="warm")
    seen: set[str] = set()
    for count in range(10):
        left = [2 + 3 * (count % 3)]

        def fail(schedule: object, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise PowerLoss

        world.before = fail
        with pytest.raises(PowerLoss):
            night(store)
        (running,) = store.jobs("running")
        kept = {trial.id for trial in store.trials()}
        assert seen < kept
        seen = kept
        store.execute("UPDATE job SET pid = 1 WHERE id = ?", (running["id"],))
    world.before = lambda schedule: None
    night(store)
    assert seen <= {trial.id for trial in store.trials()}
    assert [store.job(id)["state"] for id in (job, other)] == ["done", "done"]
    tried = Counter((t.key, t.schedule) for t in store.trials() if not t.evidence.get("again"))
    assert max(tried.values()) == 1 and sum(tried.values()) == 4 * 20
    assert sum(events(store, id).count("lost") for id in (job, other)) == 10
    assert check(store) == []


def test_time_that_was_spent_counts_over_nights(store: Store, world: World) -> None:
    job = queue(store, seconds=1000.0, trials=None)
    store.execute("UPDATE job SET spent = 999.9")
    night(store)
    row = store.job(job)
    assert row["state"] == "done" and 1000 <= row["spent"] < 1100 and row["progress"] == 1


def test_a_night_that_is_over_leaves_the_rest_for_the_next(store: Store, world: World) -> None:
    job = queue(store, seconds=1000.0, trials=None)
    night(store, length=0.3)
    assert store.job(job)["state"] == "queued" and events(store, job)[-1] == "stopped"
    assert store.job_trials(job)["trials"] > 0


def test_who_is_told_to_stop_leaves_the_job_for_the_next_night(store: Store, world: World) -> None:
    job = queue(store, trials=200)
    runner = Runner(store, listener=lambda row, event: runner.stop() if event else None)
    runner.run()
    assert runner.stopped and store.job(job)["state"] == "queued" and store.job_trials(job)["trials"] == 1


def test_a_job_that_cannot_be_done_ends_no_night(store: Store, world: World) -> None:
    gone, odd, good = queue(store, "gone"), queue(store, "odd"), queue(store)
    store.execute("UPDATE job SET spec = '{}' WHERE id = ?", (odd,))
    worse = queue(store, "odd")
    night(store)
    states = {job: store.job(job)["state"] for job in (gone, odd, worse, good)}
    assert states == {gone: "failed", odd: "failed", worse: "failed", good: "done"}
    reasons = [store.job_log(job)[-1]["data"]["reason"] for job in (gone, odd, worse)]
    assert reasons[0] == "gone: no such file" and "cannot be read" in reasons[1]
    assert reasons[2] == "ZeroDivisionError: a fault of ours"


def test_a_cluster_that_is_away_is_tried_again_and_not_for_ever(
    store: Store, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuner.nights.runner.PATIENCE_S", (0.01, 0.01))
    monkeypatch.setattr("tuner.nights.runner.POLL_S", 0.01)
    world.away = {"ray://far", "ray://late"}
    far, late, here = queue(store, ray="ray://far"), queue(store, ray="ray://late"), queue(store)
    back = [2]

    def listen(row: dict[str, Any], event: object) -> None:
        if event is None and row["id"] == late:
            back[0] -= 1
            if back[0] == 0:
                world.away.discard("ray://late")

    night(store, listener=listen)
    assert {job: store.job(job)["state"] for job in (far, late, here)} == {far: "failed", late: "done", here: "done"}
    assert events(store, far).count("trouble") == 2 and "trouble" in events(store, late)
    assert store.job_log(far)[-1]["data"] == {"reason": "no cluster at ray://far"}


def test_only_one_runs_the_jobs_of_a_database(store: Store, world: World) -> None:
    with only_runner(store.path), pytest.raises(HeadstartError, match=r"are run already, by process \d+ on .* since"):
        Runner(store).run()
    Runner(store).run()


def test_a_job_of_its_own_that_is_gone_is_written_down(store: Store, world: World) -> None:
    lost, here = store.start_job({}), store.start_job({})
    store.execute("UPDATE job SET heartbeat = 1e9 WHERE id = ?", (lost,))
    night(store)
    assert (store.job(lost)["state"], store.job(here)["state"]) == ("interrupted", "running")


def test_a_chip_that_only_a_cluster_has(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def of_cluster(address: str, name: str) -> Target:
        assert (address, name) == ("10.0.0.7:6379", "theirs")
        return replace(CHIP, name="theirs")

    monkeypatch.setattr("tuner.cluster.chips.chip_of_cluster", of_cluster)
    request = Request("qwen3-1.7b", (Step(),), target="theirs", trials=1, ray="10.0.0.7:6379")
    assert request.checked(store.path)["chip"] == "theirs"
    with pytest.raises(InputError, match="unknown target 'theirs'"):
        replace(request, ray=None).checked(store.path)
