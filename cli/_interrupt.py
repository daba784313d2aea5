"""Ending long commands in good order."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interruptible(stop: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Let SIGTERM end what is inside the way Ctrl-C does.

    Args:
        stop: called first. An exception that comes while a library calls back may be lost there; what is told to stop
            still ends.
    """

    def end(signum: int, frame: FrameType | None) -> None:
        stop()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
