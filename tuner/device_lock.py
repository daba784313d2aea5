"""One measurement at a time on a device of this machine, whoever asks for it: a lock that all processes here see.

Trials of jobs on one machine take turns. A measurer of a cluster takes its device for good, and is refused what another
one has. The lock is the operating system's (``flock``): it ends with its process, however that ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from targets.errors import HeadstartError

# Seconds between two looks at a device that another process has its turn on.
POLL_S = 0.01
# Bytes of what a holder says of itself.
LONGEST = 300


class DeviceTaken(HeadstartError):
    """Another process has the device and will not give it back."""


class DeviceLock:
    """The lock of one device; whoever is to see the same locks needs the same folder.

    Args:
        device: as a backend names it, or ``host``.

    Raises:
        HeadstartError: there is no place for locks.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        folder = locks()
        path = folder / (re.sub(r"[^\w.-]", "-", device) + ".lock")
        try:
            if not folder.is_dir():
                folder.mkdir(parents=True, exist_ok=True)
                folder.chmod(0o1777)  # of everybody who measures on this machine
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
            with contextlib.suppress(PermissionError):
                os.fchmod(self._file, 0o666)
        except OSError as error:
            raise HeadstartError(
                f"cannot lock device {device} with {path}: {error.strerror}; name a folder in HEADSTART_LOCKS"
            ) from None

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Have the device for a trial, once nobody else has it.

        Raises:
            DeviceTaken: somebody has it for good.
        """
        self._wait(None)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def take(self, who: str, patience: float = 0.0) -> None:
        """Have the device until ``release``, or until this process ends.

        Args:
            who: takes it, for others to read.
            patience: seconds to wait for whoever has it.

        Raises:
            DeviceTaken: somebody has it.
        """
        self._wait(patience)
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, who.encode()[:LONGEST], 0)

    def release(self) -> None:
        """Give it back; nothing happens where it was not taken."""
        if self._file >= 0:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, 0)
            os.close(self._file)
            self._file = -1

    def _wait(self, patience: float | None) -> None:
        end = None if patience is None else time.monotonic() + patience
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(self._file, LONGEST, 0).decode(errors="replace")
                if (end is None and holder) or (end is not None and time.monotonic() >= end):
                    raise DeviceTaken(
                        f"device {self.device} of this machine is taken by {holder or 'the trial of another job'}"
                    ) from None
                time.sleep(POLL_S)
            else:
                # Whoever took it for good and was killed could not say so any more.
                os.ftruncate(self._file, 0)
                return


def locks() -> Path:
    """Where the locks are: ``HEADSTART_LOCKS``, or else a folder of the machine's folder for temporary files."""
    return Path(os.environ.get("HEADSTART_LOCKS") or Path(tempfile.gettempdir()) / "headstart-locks")
