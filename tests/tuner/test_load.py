"""Other load is noticed, by what the operating system counts and with a process that really runs beside."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time
from pathlib import Path

import pytest

from schedules.operators.linear import Linear
from schedules.schedule import Schedule
from schedules.workload import Workload
from targets import detect
from tuner import measure
from tuner.load import Counters, counters, disturbance
from tuner.local_executor import LocalExecutor
from tuner.task import DEFAULT
from tuning_db.records import Policy, Status

START = Counters(wall=100.0, waited=1.0, own=50.0, busy=500.0, stolen=3.0)


def after(wall: float, **more: float) -> Counters:
    """Readings so many seconds later, this process alone on two cores but for what is said."""
    used = {"own": 2 * wall, "busy": 2 * wall + more.pop("others", 0.0)} | more
    return dataclasses.replace(START, wall=START.wall + wall, **{k: getattr(START, k) + v for k, v in used.items()})


@pytest.mark.parametrize(
    ("reading", "said"),
    [
        (after(0.1), None),
        (after(0.1, waited=0.004), None),
        (after(0.1, waited=0.03), "threads waited for a core 30% of the time"),
        (after(1.0, others=0.5), "other processes used 50% of a core"),
        (after(0.1, others=0.02), None),  # two ticks of the clock may be anybody's
        (after(1.0, stolen=0.3), "the hypervisor took 30% of a core"),
        (after(1.0, stolen=0.1), None),
    ],
)
def test_disturbance(reading, said):
    assert disturbance(START, reading) == said


def test_what_the_system_does_not_count_disturbs_nobody(tmp_path: Path):
    before = counters(tmp_path)
    assert (before.waited, before.busy, before.stolen) == (0.0, 0.0, 0.0)
    assert disturbance(before, counters(tmp_path)) is None


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="needs Linux that counts waiting")
def test_a_busy_machine_is_noticed_and_written_down():
    target = detect.host()
    spin = [sys.executable, "-c", "while True: pass"]
    with LocalExecutor(target, Policy("warm", target.cores)) as executor:
        # So large that no take fits between two turns of the others.
        session = executor.devices()[0].open(Workload.of(Linear(64, 1024, 1024)), seed=0)
        # Twice as many as there are cores, so that each of ours has to share.
        hogs = [subprocess.Popen(spin) for _ in range(2 * target.cores)]
        try:
            time.sleep(0.2)
            outcome = session.trial(DEFAULT)
        finally:
            for hog in hogs:
                hog.kill()
                hog.wait()
    assert outcome.status is Status.OK
    assert outcome.notes["settled"] is False and len(outcome.notes["disturbed"]) == measure.TAKES
    assert all("of the time" in reason or "of a core" in reason for reason in outcome.notes["disturbed"])


def test_takes(monkeypatch: pytest.MonkeyPatch):
    """Taken again while disturbed; after a trial for which that was in vain, once each until one is left alone."""
    target = detect.host()
    bench = measure.Bench(Workload.of(Linear(4, 8, 32)), target, Policy("warm", target.cores), 0)
    kernel = bench.build(Schedule("default", 1, {}))
    bench.run(kernel)
    said: list[str | None] = []
    monkeypatch.setattr(measure, "disturbance", lambda *_: said.pop(0))
    monkeypatch.setattr(measure, "PAUSE_S", 0.0)

    def take(*reasons: str | None) -> tuple[list[str], bool]:
        said[:] = reasons
        timing = bench.measure(kernel, None)
        assert not said and timing.wrong is None
        return timing.disturbed, timing.settled

    assert take(None) == ([], True)
    assert take("noise", None) == (["noise"], True)
    assert take("noise", "noise", "noise") == (["noise"] * 3, False)
    assert take("noise") == (["noise"], False)
    assert take(None) == ([], True)
    assert take("noise", "noise", None) == (["noise"] * 2, True)
