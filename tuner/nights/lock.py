"""One process runs the jobs of a database: a lock that ends with it, however it ends."""

from __future__ import annotations

import fcntl
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from targets.errors import HeadstartError, InputError

# Bytes of what a holder says of itself.
LONGEST = 300


@contextmanager
def only_runner(database: Path) -> Iterator[None]:
    """Be the one that runs the jobs of a database; the lock is a file beside it that ends in ``-runner`` and stays.

    Raises:
        HeadstartError: another process is; the message names it.
        InputError: the file cannot be made.
    """
    path = Path(f"{database.resolve()}-runner")
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = os.pread(file, LONGEST, 0).decode(errors="replace") or "another process"
            raise HeadstartError(f"the jobs of {database} are run already, by {who}; one is enough") from None
        os.ftruncate(file, 0)
        since = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
        os.pwrite(file, f"process {os.getpid()} on {platform.node()} since {since} UTC".encode()[:LONGEST], 0)
        yield
    finally:
        os.close(file)
