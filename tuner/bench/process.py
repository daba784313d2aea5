"""A peer's process, seen from the benchmark: requests, limits of time, how much it runs while it should sleep."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from queue import Empty, Queue
from typing import Any

import psutil

from targets import Target
from tuner.bench.lineup import Entry, environment

START_S = 120.0


class PeerLost(Exception):
    """The process died or was killed; the text says how."""


class Peer:
    """One process, started at the latest when it is first asked something, and again after it was lost.

    Args:
        entry: who it is.
        target: the chip of this machine.
        cpus: to run on.
        folder: for what it compiles.
    """

    def __init__(self, entry: Entry, target: Target, cpus: Sequence[int], folder: str) -> None:
        self.entry, self.target, self.cpus, self.folder = entry, target, cpus, folder
        self._process: subprocess.Popen[str] | None = None
        self._starting = False
        self._replies: Queue[str] = Queue()
        # What it and its libraries print: the end of that is read when it dies.
        self._said = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 it lives as long as this object

    def ask(self, request: str, timeout: float, **arguments: Any) -> dict[str, Any]:
        """The answer to a request.

        Raises:
            PeerLost: the process died, or was killed because it took longer than ``timeout`` seconds.
        """
        self.start()
        if self._starting:
            self._receive(START_S)
            self._starting = False
        self._send({"do": request, **arguments})
        return self._receive(timeout)

    def cpu_seconds(self) -> float:
        """Seconds that its threads ran so far; 0 where there is no process."""
        if self._process is None:
            return 0.0
        try:
            times = psutil.Process(self._process.pid).cpu_times()
        except psutil.Error:
            return 0.0
        return float(times.user + times.system)

    def resident(self) -> int:
        """Bytes of memory that it has; it gives most of them back when it loads the next workload."""
        if self._process is None:
            return 0
        try:
            return int(psutil.Process(self._process.pid).memory_info().rss)
        except psutil.Error:
            return 0

    def close(self) -> None:
        """End it, with whatever it started."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(process.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    child.kill()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def start(self) -> None:
        """Start the process where there is none, without waiting until it is ready."""
        if self._process is not None:
            return
        self._starting = True
        self._said.seek(0)
        self._said.truncate()
        self._process = process = subprocess.Popen(
            [sys.executable, "-m", "tuner.bench.peer", self.entry.module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=os.environ | environment(self.entry, self.cpus, self.folder),
            start_new_session=True,  # its own group: Ctrl-C is ours to handle
            text=True,
        )
        replies: Queue[str] = Queue()
        self._replies = replies
        assert process.stdout is not None
        lines = process.stdout

        def read() -> None:
            with contextlib.suppress(ValueError, OSError):  # closed meanwhile
                for line in lines:
                    replies.put(line)
            replies.put("")

        threading.Thread(target=read, daemon=True).start()
        self._send(self.target.spec())

    def _last_words(self) -> str:
        """The last line that it printed."""
        self._said.seek(0)
        lines = self._said.read()[-4000:].decode(errors="replace").split("\n")
        return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "")

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process is not None and self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # receiving says how it died
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()

    def _receive(self, timeout: float) -> dict[str, Any]:
        assert self._process is not None
        try:
            line = self._replies.get(timeout=timeout)
        except Empty:
            self.close()
            raise PeerLost(f"took longer than {timeout:g} s") from None
        if line:
            return dict(json.loads(line))
        code = self._process.wait()
        self.close()
        how = signal.Signals(-code).name if code < 0 else self._last_words() or f"exit code {code}"
        raise PeerLost(f"the process died: {how}")
