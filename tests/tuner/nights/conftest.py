"""A night without hardware: two workloads, an executor whose times are a function, and as many models as names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from schedules.schedule import Schedule
from targets import Target
from targets.errors import HeadstartError, InputError
from tests.tuner.test_job import CHIP, Simulated
from tuner.executor import DeviceStatus
from tuner.frontend.model import Model, ModelOp, Step
from tuner.nights.request import Request
from tuner.nights.runner import Runner
from tuner.task import DEFAULT
from tuning_db.records import Policy
from tuning_db.store import Store


class PowerLoss(BaseException):
    """Ends the process in the middle, as far as one process can do that to itself."""


class Cluster(Simulated):
    """Of which one other device is lost."""

    def status(self) -> list[DeviceStatus]:
        """What is said of both."""
        return [
            DeviceStatus("here", "simulated", "ready", len(self.ran), 1.0, ""),
            DeviceStatus("there", "simulated", "lost", 0, 0.0, "it said nothing"),
        ]


class World:
    """What a runner meets. ``before`` is called before each trial; clusters named in ``away`` cannot be reached."""

    def __init__(self) -> None:
        self.before: Callable[[Schedule], None] = lambda schedule: None
        self.away: set[str] = set()

    def seconds(self, schedule: Schedule) -> float:
        """Of a trial."""
        self.before(schedule)
        return 1e-3 if schedule == DEFAULT else 1e-4 * (1 + int(schedule.id[-2:], 16))

    @contextmanager
    def executor(self, target: Target, policy: Policy, ray: str | None) -> Iterator[Simulated]:
        """In the place of ``executor_for``."""
        if ray in self.away:
            raise HeadstartError(f"no cluster at {ray}")
        made = Cluster(self.seconds)
        made.policy = policy  # type: ignore[misc]
        yield made

    def models(self, request: Request, *_: Any) -> list[Model]:
        """In the place of ``Request.models``."""
        if request.model == "gone":
            raise InputError("gone: no such file")
        if request.model == "odd":
            raise ZeroDivisionError("a fault of ours")
        ops = [
            ModelOp(f"l{k}", "linear", {"m": 16, "n": 256, "k": k, "dtype": "float32", "out": "float32"}, 3)
            for k in (256, 512)
        ]
        return [Model(request.model, "made for a test", step, tuple(ops)) for step in request.steps]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """In the place of this machine."""
    made = World()
    monkeypatch.setattr("tuner.nights.runner.executor_for", made.executor)
    monkeypatch.setattr("tuner.nights.runner.chip_for", lambda name, ray: CHIP)
    monkeypatch.setattr(Request, "models", lambda request, *more: made.models(request))
    # What is learnt is none of a runner's business.
    monkeypatch.setattr("tuner.job.Learner.learn", lambda learner, examples: True)
    monkeypatch.setattr("tuner.job.hold_out", lambda examples, folds: [])
    # Heard at once, and not seconds later.
    monkeypatch.setattr("tuner.nights.heart.BEAT_S", 0.02)
    return made


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "x.db") as opened:
        yield opened


def queue(store: Store, model: str = "tiny", share: float = 1.0, **limits: Any) -> str:
    """A job of a model of this world."""
    request = Request(model, (Step(),), **({"trials": 8} | limits))
    return store.queue_job(request.to_json() | {"chip": CHIP.name}, share)


def night(store: Store, **how: Any) -> Runner:
    """Run jobs until none waits."""
    runner = Runner(store, **how)
    runner.run()
    return runner


def new_trials(store: Store) -> list[tuple[str, str]]:
    """Workload and schedule of each trial that was none again."""
    return [(t.key.workload, t.schedule) for t in store.trials() if not t.evidence.get("again")]
