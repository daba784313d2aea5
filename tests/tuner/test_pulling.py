"""From champions on a service that runs to kernels that run where there is no Headstart: pulled, built, pinned."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import tuner.policy
from headstart_runtime import bundle
from headstart_runtime.digests import write_sums
from schedules.schedule import Schedule
from schedules.spaces.panels import Panels
from targets import Target, detect
from targets.errors import HeadstartError, InputError
from tests.tuner.pullers import at
from tests.tuning_db.runtime.isolated import run_alone
from tests.tuning_db.service.publishing import Hands
from tests.tuning_db.service.running import Service, running
from tuner.compile import build_bundle
from tuner.frontend.model import Model, ModelOp
from tuner.frontend.step import complete_step
from tuner.frontend.stored import store_model
from tuner.policy import policy_for
from tuner.proving import prove
from tuner.pulling import Puller
from tuner.selecting import select
from tuner.task import DEFAULT
from tuner.tasks import register
from tuner.wishing import check_chip, wish_again, wish_for
from tuning_db.deploy.deployment import Deployment
from tuning_db.records import Key, Policy, Status, Trial
from tuning_db.runtime_copy import write_runtime
from tuning_db.store import Store

OPS = (
    ModelOp("up", "linear", {"m": 4, "n": 48, "k": 128, "dtype": "bfloat16", "out": "bfloat16"}, 2),
    ModelOp("norm", "rmsnorm", {"tokens": 3, "dim": 64, "dtype": "float32", "eps": 1e-6}, 2),
    ModelOp("other_norm", "rmsnorm", {"tokens": 3, "dim": 64, "dtype": "float32", "eps": 0.5}, 1),
)
GIVEN: dict[str, Any] = {"phase": None, "tokens": (4,), "batch": None, "kv_len": None, "tp": 1, "ep": 1}
MODEL = Model("tiny", "a test", complete_step(**GIVEN | {"tokens": 4}), OPS)


@pytest.fixture(scope="module")
def target() -> Target:
    return detect.host()


def crown(store: Store, target: Target, schedule: Schedule, seconds: float) -> None:
    """Make a schedule the champion of the first operator."""
    policy = policy_for("decode", target)
    tools = register(store, target, policy)
    store_model(store, MODEL)
    store.add_schedule(schedule.id, schedule.space, schedule.version, dict(schedule.config))
    key = Key(OPS[0].workload.id, target.fingerprint, tools.id, policy.id)
    store.add_trial(Trial(key, schedule.id, Status.OK, (seconds,) * 3, seconds, 0.0, author="someone"), crown=True)


@pytest.fixture
def service(tmp_path: Path, target: Target) -> Iterator[Service]:
    """With a model, the default schedule as a champion, and a bundle of that."""
    with running(tmp_path, start=time.time()) as made:
        made.write(lambda store: crown(store, target, DEFAULT, 2e-5))
        with Store.open(made.db, create=False) as store:
            built = build_bundle(select(store, MODEL, target), target, tmp_path / "published.bundle")
        hands = Hands(made)
        hands.begin()
        hands.publish(built.path)
        yield made


def test_times_by_a_clock_of_another_make(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    def wished() -> str | None:
        return wish_for("https://race.example", "tiny", GIVEN, "host", "reproduced").policy

    assert wished() == Policy("cold", target.cores).id
    monkeypatch.setattr(tuner.policy, "backend_for", lambda chip: SimpleNamespace(clock="simulated"))
    assert wished() == Policy("cold", target.cores, "simulated").id


def test_from_a_service_to_where_it_runs(service: Service, target: Target, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{service.port}"
    puller, deployed, said = at(tmp_path / "a", url)
    wish = wish_for(url, "tiny", GIVEN, "host", "reproduced")
    pulled = puller.pull(deployed(), wish)
    assert (pulled.lock.made, pulled.lock.selection.kernels[0].candidates[0].schedule) == ("prebuilt", DEFAULT)
    assert "on first use" in said[0]
    write_runtime(tmp_path / "runtime")
    (tmp_path / "scratch").mkdir()
    run_alone(pulled.directory, tmp_path / "runtime", tmp_path / "scratch")

    # A better champion, of which nobody built a bundle yet: it is built here, and is right.
    best = Panels(OPS[0].workload, target).seeds()[0]
    service.write(lambda store: crown(store, target, best, 1e-5))
    service.now += 120
    puller, deployed, _ = at(tmp_path / "a", url)
    with puller.plan(deployed(), wish_again(pulled.lock)) as (plan, opened):
        found = puller.changes(deployed(), plan)
        assert [(change.kernel.names, change.speedup) for change in found.kernels] == [(("up",), 2.0)]
        newer = puller.take(deployed(), plan, opened)
    assert (newer.lock.made, newer.changed) == ("here", True)
    assert bundle.verify(newer.directory)[1] == newer.lock.bundle.bundle != pulled.lock.bundle.bundle
    (tmp_path / "again").mkdir()
    run_alone(newer.directory, tmp_path / "runtime", tmp_path / "again")

    # Elsewhere, with an empty cache and nobody to ask, the lock file alone gives the same bytes.
    puller, deployed, _ = at(tmp_path / "b", "http://127.0.0.1:1")
    shutil.copy(tmp_path / "a" / "headstart.lock", tmp_path / "b")
    again = puller.reproduce(deployed())
    assert bundle.verify(again.directory)[1] == newer.lock.bundle.bundle

    # And the way back.
    puller, deployed, _ = at(tmp_path / "a", "")
    assert puller.back(deployed(), deployed().before()).lock == pulled.lock
    assert bundle.verify(pulled.directory)[1] == pulled.lock.bundle.bundle


def test_who_may_not_build_takes_what_is_there(service: Service, target: Target, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{service.port}"
    service.write(lambda store: crown(store, target, Panels(OPS[0].workload, target).seeds()[0], 1e-5))
    service.now += 120
    puller, deployed, said = at(tmp_path / "a", url, prebuilt=True)
    pulled = puller.pull(deployed(), wish_for(url, "tiny", GIVEN, target.fingerprint, "reproduced"))
    assert pulled.lock.made == "prebuilt"
    assert any("lacks what is chosen now for up" in line for line in said)
    with pytest.raises(HeadstartError, match=r"nothing of tiny for h100 .*; there is c"):
        puller.pull(deployed_at(tmp_path, puller), wish_for(url, "tiny", GIVEN, "h100", "reproduced"))
    with pytest.raises(InputError, match=rf"pins a bundle for {target.name} .*, and h100 is h100 .*--target c"):
        check_chip(pulled.lock, "h100", Path("headstart.lock"))
    check_chip(pulled.lock, "host", Path("headstart.lock"))


def deployed_at(tmp_path: Path, puller: Puller) -> Deployment:
    """Another lock file and directory."""
    return Deployment(puller.cache, tmp_path / "other.lock", tmp_path / "other.bundle")


def test_kernels_that_compute_something_else_are_not_placed(target: Target, tmp_path: Path) -> None:
    """Two norms that differ in eps alone, each called by the other's name."""
    with Store.open(tmp_path / "tiny.db") as store:
        built = build_bundle(select(store, MODEL, target), target, tmp_path / "right")
    one, other = (op.workload.id for op in OPS[1:])
    path = Path(shutil.copytree(built.path, tmp_path / "wrong"))
    text = built.manifest.dumps()
    for before, after in ((one, "w_"), (other, one), ("w_", other)):
        text = text.replace(f'"function": "{before}"', f'"function": "{after}"')
    (path / bundle.MANIFEST).write_text(text)
    write_sums(path)
    with pytest.raises(HeadstartError, match=r"rmsnorm 3x64 .* computes something else: .*nothing was placed"):
        prove(path)
