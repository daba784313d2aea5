"""The contract of executors over worker processes of this machine, and every kind of harm there is."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from targets import detect
from targets.errors import HeadstartError
from tests.tuner.executor_contract import HOSTILE, LIMITS, ExecutorContract, harmless_ahead, hostile, is_failed, opened
from tuner.device_lock import DeviceLock, DeviceTaken
from tuner.local_executor import LocalExecutor, LocalSession
from tuner.task import DEFAULT
from tuning_db.records import Policy, Status


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is there once a schedule has ended its worker by SIGKILL."""
    return tmp_path_factory.mktemp("workers") / "ended"


@pytest.fixture(scope="module")
def executor(ended: Path):
    """An executor whose workers know the hostile space."""
    target = detect.host()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(HOSTILE))
        patch.setenv("HEADSTART_ENDED", str(ended))
        with LocalExecutor(target, Policy("warm", target.cores), LIMITS) as made:
            yield made


@pytest.fixture
def session(executor: LocalExecutor) -> LocalSession:
    return opened(executor.devices()[0])


class TestLocalExecutor(ExecutorContract):
    """The local one keeps the contract."""


@pytest.mark.parametrize(
    "kind, status, reason",
    [
        ("die", Status.RUN_ERROR, "died: exit code 7"),
        ("refuse", Status.BUILD_ERROR, "vectorize"),
        ("eat", Status.OVER_LIMIT, "memory"),
        ("fork", Status.RUN_ERROR, "started 2 processes of its own"),
        ("print", Status.RUN_ERROR, "something else than an answer"),
        ("forge", Status.RUN_ERROR, "something else than an answer"),
        ("flood", Status.RUN_ERROR, "something else than an answer"),
        ("close", Status.RUN_ERROR, "died: exit code"),
        ("end", Status.OVER_LIMIT, "killed, most likely for memory"),
        ("spin", Status.TIMEOUT, "longer than 4 s"),
        ("leave", Status.RUN_ERROR, "died: exit code 7"),
        ("spill", Status.RUN_ERROR, "SIGSEGV (memory outside of its arguments"),
        ("reach", Status.WRONG_OUTPUT, "argument C: written before its start"),
        ("stray", Status.RUN_ERROR, "SIGSEGV (memory outside of its arguments"),
        ("scribble", Status.RUN_ERROR, "SIGSEGV (memory outside of its arguments, or an input overwritten)"),
        ("skip", Status.WRONG_OUTPUT, "32 of 32 elements wrong"),
        ("hoard", Status.RUN_ERROR, "SIGSEGV"),
        ("overflow", Status.OVER_LIMIT, "memory"),
    ],
)
def test_any_other_harm_is_a_failed_trial_too(session, kind, status, reason):
    is_failed(session, kind, status, reason)


def test_a_worker_that_is_killed_is_nobodys_fault_the_first_time(
    executor: LocalExecutor, session: LocalSession, ended: Path
) -> None:
    ended.unlink(missing_ok=True)
    assert session.incumbent(DEFAULT).status is Status.OK
    outcome = session.trial(hostile("end once"))
    assert ended.exists()
    assert outcome.status is Status.OK and outcome.ratios

    device = executor.devices()[0]
    request, kills = device.request, [1]

    def killed(message: dict[str, Any], *timeouts: float) -> dict[str, Any]:
        if message["do"] == "load" and kills:
            device._child.start(device.limits.load)
            os.kill(device._child._process.pid, signal.SIGKILL)  # type: ignore[union-attr]
            kills.pop()
        return request(message, *timeouts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(device, "request", killed)
        device.close()
        assert opened(device).trial(DEFAULT).status is Status.OK
        kills[:] = [1, 1]
        device.close()
        with pytest.raises(HeadstartError, match="linear 4x8x32 fp32 cannot be loaded: killed, most likely for memory"):
            opened(device)
    assert opened(device).trial(DEFAULT).status is Status.OK


@pytest.mark.parametrize("kind", ["chat", "listen"])
def test_a_kernel_that_prints_or_reads_reaches_nobody(session, kind):
    assert session.trial(hostile(kind)).status is Status.OK
    assert session.trial(DEFAULT).status is Status.OK


@pytest.mark.parametrize("kind, status", [("hang", Status.TIMEOUT), ("fork", Status.RUN_ERROR)])
def test_any_harm_when_built_ahead_costs_the_others_nothing(session, kind, status):
    harmless_ahead(session, kind, status)


def test_a_device_that_another_took_for_good_is_refused(session, executor):
    lock = DeviceLock(executor.devices()[0].name)
    lock.take("somebody else")
    with pytest.raises(DeviceTaken, match=r"device cpu:0 of this machine is taken by somebody else"):
        session.trial(DEFAULT)
    lock.release()
    assert session.trial(DEFAULT).status is Status.OK
