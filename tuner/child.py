"""A process that answers requests, a line of JSON each, and may crash, hang or write anything: seen from outside.

A request is answered by any number of ``{"stage": ...}`` lines, as it gets further, and one ``{"done": ...}`` line.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any

from tuner import children
from tuning_db.records import Status

# What a signal means most often, for people.
HINTS: dict[int, str] = {
    signal.SIGSEGV: " (memory outside of its arguments, or an input overwritten)",
    signal.SIGILL: " (an instruction that this chip lacks)",
}
# Bytes of an answer, at most.
LONGEST = 1 << 24


class WorkerLost(Exception):
    """The worker died or was killed; the text says how."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class WorkerKilled(WorkerLost):
    """It was ended by SIGKILL and not by us: by the system for memory, or by somebody."""

    def __init__(self) -> None:
        super().__init__(Status.OVER_LIMIT, "killed, most likely for memory")


class Child:
    """One process; it runs from ``start`` until it is killed, or a request finds it dead.

    Args:
        command: program and arguments.
        environment: all of its environment.
        folder: where it runs; this process's own unless said.
        descriptors: files that it inherits beside its pipes.
        errors: file that gets what it prints; nobody reads it unless said.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: str | None = None,
        descriptors: Sequence[int] = (),
        errors: int = subprocess.DEVNULL,
    ) -> None:
        self.command, self.environment, self.folder = list(command), dict(environment), folder
        self.descriptors, self.errors = tuple(descriptors), errors
        self._process: subprocess.Popen[bytes] | None = None
        self._lines = _Lines()
        self._request = 0

    @property
    def alive(self) -> bool:
        """Whether it was started, and not found dead since."""
        return self._process is not None

    def start(self, timeout: float) -> dict[str, Any]:
        """Start it, and wait for the line by which it says that it is ready, which is returned.

        Raises:
            WorkerLost: it died, or said nothing for ``timeout`` seconds.
        """
        self._process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env=self.environment,
            cwd=self.folder,
            pass_fds=self.descriptors,
            start_new_session=True,  # its own group: Ctrl-C is ours to handle, and a kill takes its children along
        )
        self._lines, self._request = _Lines(self._process), 0
        return self._receive(timeout)

    def kill(self) -> None:
        """End it with all that it started; nothing happens where it does not run."""
        process, self._process = self._process, None
        if process is None:
            return
        children.kill(process.pid)  # those that left the group
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

    def request(self, message: Mapping[str, Any], *timeouts: float) -> dict[str, Any]:
        """Send a request and wait for its answer; each stage of it may take as long as its own timeout.

        Raises:
            WorkerLost: it died, or was killed because a stage took too long.
        """
        assert self._process is not None and self._process.stdin is not None
        self._request += 1
        with contextlib.suppress(BrokenPipeError):  # receiving says how it died
            self._process.stdin.write(json.dumps({"request": self._request, **message}).encode() + b"\n")
            self._process.stdin.flush()
        for timeout in (*timeouts[:-1], timeouts[-1], timeouts[-1]):
            answer = self._receive(timeout)
            if "done" in answer:
                return dict(answer["done"])
        raise self._lost(Status.RUN_ERROR, "the worker answered more often than it was asked")

    def _receive(self, timeout: float) -> dict[str, Any]:
        assert self._process is not None
        line = self._lines.next(timeout)
        if line:
            return self._answer(line)
        if line is None:
            raise self._lost(Status.TIMEOUT, f"took longer than {timeout:g} s")
        code = self._process.wait()
        if code == -signal.SIGKILL:
            self.kill()
            raise WorkerKilled
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        raise self._lost(Status.RUN_ERROR, f"the process died: {name}{HINTS.get(-code, '')}")

    def _answer(self, line: bytes) -> dict[str, Any]:
        """One line, which must be an answer to the request."""
        with contextlib.suppress(ValueError):
            answer = json.loads(line)
            if isinstance(answer, dict) and answer.get("to") == self._request:
                return answer
        raise self._lost(Status.RUN_ERROR, "something else than an answer came from the worker")

    def _lost(self, status: Status, reason: str) -> WorkerLost:
        self.kill()
        return WorkerLost(status, reason)


class _Lines:
    """Lines from a pipe, with a limit on how long to wait for one."""

    def __init__(self, process: subprocess.Popen[bytes] | None = None) -> None:
        self._buffer = b""
        self._pipe = process.stdout if process else None
        self._selector = selectors.DefaultSelector()
        if self._pipe is not None:
            os.set_blocking(self._pipe.fileno(), False)
            self._selector.register(self._pipe, selectors.EVENT_READ)

    def next(self, timeout: float) -> bytes | None:
        """The next line; empty when the pipe was closed, None when ``timeout`` seconds passed."""
        assert self._pipe is not None
        end = time.monotonic() + timeout
        while b"\n" not in self._buffer:
            left = end - time.monotonic()
            if left <= 0 or not self._selector.select(left):
                return None
            part = self._pipe.read()
            if not part or len(self._buffer) > LONGEST:
                return self._buffer if part else b""
            self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line
