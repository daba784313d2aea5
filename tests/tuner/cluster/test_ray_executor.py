"""The contract of executors over a Ray cluster, and what a cluster refuses. One cluster serves all of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from schedules.space import spaces_for
from targets import detect, resolve
from targets.errors import HeadstartError, InputError
from tests.tuner.cluster.clusters import CLAIMED, SECOND
from tests.tuner.executor_contract import LIMITS, ExecutorContract, opened
from tuner.cluster import measurer
from tuner.cluster.connection import check_address
from tuner.cluster.executor import RayExecutor
from tuner.executor import DeviceGone, DeviceStatus, Session
from tuner.task import DEFAULT
from tuning_db.records import Policy, Status

ray = pytest.importorskip("ray")


@pytest.fixture(scope="module")
def address(made: Any) -> str:
    return made.address


@pytest.fixture(scope="module")
def executor(address: str) -> Iterator[RayExecutor]:
    target = detect.host()
    with RayExecutor(address, target, Policy("warm", target.cores), LIMITS) as made:
        yield made


@pytest.fixture
def session(executor: RayExecutor) -> Session:
    return opened(until(executor.devices)[0])


def until(found: Callable[[], Any], seconds: float = 120.0) -> Any:
    """What ``found`` finds, as soon as it does."""
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
    return value


class TestRayExecutor(ExecutorContract):
    """A cluster keeps the contract."""


def test_two_measurers_on_one_device_are_refused(executor):
    def refused() -> list[DeviceStatus]:
        return [status for status in executor.status() if status.state == "refused"]

    until(lambda: executor.devices() and refused())
    (other,) = refused()
    assert "device cpu:0 of this machine is taken by a measurer of a Ray cluster, process" in other.detail
    assert len(executor.devices()) == 1


def test_a_measurer_that_dies_is_another_device_and_its_trial_is_nobodys(executor):
    (device,) = until(executor.devices)
    session = opened(device)
    assert session.trial(DEFAULT).status is Status.OK
    assert device.trials and 0 < device.utilisation <= 1
    ray.kill(device.actor)
    with pytest.raises(DeviceGone, match=r"cpu:0 of .* is gone"):
        session.trial(DEFAULT)
    again = until(lambda: [one for one in executor.devices() if one is not device])
    assert opened(again[0]).trial(DEFAULT).status is Status.OK


def refusal(address: str, target: Any, **changed: Any) -> str:
    """Why no device of a target can be used. The connection of the module's executor is used."""
    made = RayExecutor(address, target, Policy("warm", target.cores), LIMITS)
    made.ray, made._measurer = ray, ray.remote(num_cpus=0)(measurer.Measurer)
    made._build = None
    for name, value in changed.items():
        setattr(made, name, value)
    with pytest.raises(HeadstartError) as raised:
        until(made.devices)
    return str(raised.value)


def test_a_node_that_is_not_what_it_says_is_refused(executor, address):
    said = refusal(address, CLAIMED)
    assert f"claims to have claimed ({CLAIMED.fingerprint}) and has not" in said
    assert f"its own chip is {detect.host().name} ({detect.host().fingerprint})" in said


def test_another_toolchain_is_refused(executor, address):
    said = refusal(address, SECOND, versions={**executor.versions, "tvm": "0.1", "second": "1"})
    assert "has another toolchain: tvm " in said and "where the job has 0.1" in said


def test_a_chip_that_nobody_has(executor, address):
    said = refusal(address, resolve("graviton3"))
    assert f"no node of the cluster at {address} has graviton3: run `headstart worker --ray {address}`" in said


def test_a_cluster_that_cannot_be_reached():
    with pytest.raises(HeadstartError, match=r"no Ray cluster can be reached at 127.0.0.1:1: .*refused"):
        check_address("127.0.0.1:1")
    for wrong in ("here", "here:", ":1", "10.0.0.7:99999"):
        with pytest.raises(InputError, match="write HOST:PORT"):
            check_address(wrong)


def test_kernels_come_from_builders(executor, session):
    """A builder's kernel is what the measurer times: the seconds that building took are the builder's."""
    (device,) = executor.devices()
    seed = spaces_for(session.workload, detect.host())["linear_dot"].seeds()[0]
    session.ahead([DEFAULT, seed])
    built = until(lambda: ray.get(session._built[seed]))
    assert device.builders and built[0].startswith(b"\x7fELF")
    outcome = session.trial(seed)
    assert outcome.status is Status.OK and outcome.build_s == built[1]
