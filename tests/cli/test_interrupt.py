"""Signals that end a long command."""

from __future__ import annotations

import contextlib
import signal

import pytest

from cli._interrupt import interruptible


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_is_told_to_stop_knows_though_the_exception_is_lost(number: signal.Signals) -> None:
    told: list[str] = []
    before = signal.getsignal(number)
    with interruptible(lambda: told.append("stop")), contextlib.suppress(KeyboardInterrupt):
        signal.raise_signal(number)
    assert told == ["stop"]
    with pytest.raises(KeyboardInterrupt), interruptible():
        signal.raise_signal(number)
    assert signal.getsignal(number) is before
