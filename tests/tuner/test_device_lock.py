"""The lock of a device: turns wait for each other, what was taken is refused, and a killed holder holds nothing."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from targets.errors import HeadstartError
from tuner.device_lock import DeviceLock, DeviceTaken

HOLD = "import time, tuner.device_lock as d; d.DeviceLock('d').take('a test'); print(flush=True); time.sleep(60)"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADSTART_LOCKS", str(tmp_path / "locks"))
    return tmp_path


def test_turns_wait_for_each_other() -> None:
    order: list[str] = []
    first, second = DeviceLock("d"), DeviceLock("d")

    def other() -> None:
        with second.turn():
            order.append("second")

    thread = threading.Thread(target=other)
    with first.turn():
        thread.start()
        thread.join(0.1)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_what_is_taken_is_refused_with_who_has_it() -> None:
    holder, other = DeviceLock("d"), DeviceLock("d")
    holder.take("a measurer")
    with pytest.raises(DeviceTaken, match="device d of this machine is taken by a measurer"):
        other.take("another")
    with pytest.raises(DeviceTaken, match="a measurer"), other.turn():
        pass
    with DeviceLock("e").turn():
        pass  # another device
    holder.release()
    holder.release()
    with other.turn(), pytest.raises(DeviceTaken, match="the trial of another job"):
        DeviceLock("d").take("a third")
    other.take("another")


def test_who_was_killed_has_nothing() -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline()
    lock = DeviceLock("d")
    with pytest.raises(DeviceTaken, match="a test"):
        lock.take("me")
    process.kill()
    process.communicate()
    with lock.turn():
        pass


def test_no_place_for_locks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "file").write_text("")
    monkeypatch.setenv("HEADSTART_LOCKS", str(folder / "file"))
    with pytest.raises(HeadstartError, match="name a folder in HEADSTART_LOCKS"):
        DeviceLock("d")
