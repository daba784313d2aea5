"""Processes that a trial starts and leaves behind: found, counted and ended."""

from __future__ import annotations

import contextlib
import ctypes
import os

import psutil

# PR_SET_CHILD_SUBREAPER of Linux's prctl.
ADOPT_ORPHANS = 36


def adopt() -> None:
    """Become the parent of what children of this process leave behind, so that ``end`` finds it; on Linux."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(ADOPT_ORPHANS, 1)


def end() -> int:
    """Kill every descendant of this process; returns how many processes there were, those that had ended included.

    The kernel says at once whether there are any, which is all that most trials cost.
    """
    ended = 0
    while True:
        try:
            process, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if process:
            ended += 1
        else:
            kill(os.getpid())
            os.waitpid(-1, 0)
            ended += 1


def kill(process: int) -> None:
    """Kill the descendants of a process, as far as they can be found."""
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(process).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                child.kill()
