"""This machine as a node of a cluster: a Ray node that says which chip it has, as long as a process runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from importlib.util import find_spec

from targets import Target
from targets.errors import HeadstartError, MissingExtra
from tuner.backends import devices, is_host
from tuner.cluster.connection import ENVIRONMENT, check_address, resource
from tuner.device_lock import DeviceLock

# Seconds in which a node joins a cluster, and in which it ends in good order.
JOIN_S, LEAVE_S = 60.0, 20.0
RAY = "import sys; from ray.scripts.scripts import main; sys.exit(main())"


class Node:
    """A Ray node of this machine, joined to a cluster; used as a context manager.

    Args:
        address: ``HOST:PORT`` of the cluster's head.
        target: the chip that it measures for.
        builders: schedules that it builds at once; None for none where the chip is this machine's CPU, else for one on
            each core.

    Attributes:
        devices: those of this machine that are such chips, each of which takes one measurement at a time.

    Raises:
        InputError: this machine has no such chip.
        HeadstartError: the cluster cannot be reached, or another worker offers the chip of this machine already.
    """

    def __init__(self, address: str, target: Target, builders: int | None = None) -> None:
        if find_spec("ray") is None:
            raise MissingExtra("a Ray cluster", "cluster")
        self.address, self.target = address, target
        self.devices = list(devices(target))
        self.builders = builders if builders is not None else 0 if is_host(target) else os.cpu_count() or 1
        self._stack = ExitStack()

    def __enter__(self) -> Node:
        check_address(self.address)
        with ExitStack() as stack:
            _ = self.target.peaks  # a host's are measured when first read: now, while no job measures here
            for device in self.devices:
                lock = DeviceLock(f"worker of {device}")
                lock.take(f"`headstart worker`, process {os.getpid()}")
                stack.callback(lock.release)
            self._said = stack.enter_context(tempfile.TemporaryFile())
            self._process = subprocess.Popen(
                [sys.executable, "-c", RAY, *self._arguments()],
                env=os.environ | ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is ours to handle
            )
            stack.callback(self._leave)
            self._joined()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def wait(self) -> None:
        """Until the node ends.

        Raises:
            HeadstartError: it ended by itself; the message has what Ray said.
        """
        code = self._process.wait()
        self._said.seek(0)
        lines = [line for line in self._said.read().decode(errors="replace").splitlines() if line.strip()]
        told = [line for line in lines if re.search(r"error|fail|unable|mismatch", line, re.IGNORECASE)] or lines
        reason = re.sub(r"\x1b\[[0-9;]*m", "", told[-1]).strip() if told else "no reason given"
        raise HeadstartError(f"the node left the cluster at {self.address} (exit code {code}): {reason[:300]}")

    def _joined(self) -> None:
        """Wait until the node is a part of the cluster, or has failed to become one."""
        end = time.monotonic() + JOIN_S
        while b"runtime started" not in os.pread(self._said.fileno(), 1 << 16, 0):
            if self._process.poll() is not None:
                self.wait()
            if time.monotonic() > end:
                raise HeadstartError(f"the cluster at {self.address} did not take this machine in for {JOIN_S:.0f} s")
            time.sleep(0.1)

    def _arguments(self) -> list[str]:
        carried = json.dumps({resource(self.target): len(self.devices)})
        where = ["start", f"--address={self.address}", "--block", "--disable-usage-stats"]
        return [*where, f"--num-cpus={self.builders}", f"--resources={carried}"]

    def _leave(self) -> None:
        """End the node and all that runs on it."""
        self._process.terminate()
        try:
            self._process.wait(LEAVE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
