"""A block of calls: what is dropped, what comes before a cold call, that code is awake."""

from __future__ import annotations

import numpy as np
import pytest

from targets import Target
from tuner.bench import timing
from tuner.bench.evict import Evictor, caches, evicts_itself
from tuner.bench.loaded import Loaded
from tuner.bench.timing import Timer

CHIP = Target("chip", "Maker", "Model", {"kind": "llvm"}, 2, 256, l1d=1 << 10, l2=1 << 12, l3=1 << 14)


class Log:
    """Writes down who is called; stands for an evictor and for arrays, too."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def run(self) -> None:
        self.calls.append("evict")

    def loaded(self) -> Loaded:
        log = self.calls

        class Near(np.ndarray):
            def max(self, *_: object, **__: object) -> None:
                log.append("near")

        near = [np.zeros(1).view(Near)]
        return Loaded([lambda: log.append("first"), lambda: log.append("second")], list, near)


def test_before_a_cold_call_caches_are_emptied_and_code_is_awake() -> None:
    log = Log()
    timer = Timer(log.loaded(), log, cold=True)  # type: ignore[arg-type]
    log.calls.clear()
    samples = timer.block(0.02)
    at = log.calls.index("evict")
    assert set(log.calls[:at]) == {"first"}, "calls that are dropped"
    part = log.calls[at : log.calls.index("evict", at + 1)]
    assert part[0] == "evict" and part[-2:] == ["near", "first"] and set(part[1:-2]) == {"second"}
    assert len(samples) >= timing.LEAST and log.calls.count("evict") == len(samples)


def test_a_warm_sample_is_of_many_short_calls() -> None:
    log = Log()
    timer = Timer(log.loaded(), None, cold=False)
    samples = timer.block(0.01)
    assert "second" not in log.calls and "near" not in log.calls
    assert len(log.calls) > 10 * len(samples)


def test_a_long_call_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "LONG_S", 0.0)
    log = Log()
    timer = Timer(log.loaded(), log, cold=True)  # type: ignore[arg-type]
    log.calls.clear()
    assert len(timer.block(1e-9)) == 1
    assert log.calls.count("first") == 1


def test_the_evictor_goes_through_more_than_the_caches_hold() -> None:
    evictor = Evictor(CHIP, (0,))
    assert sum(part.nbytes for part in evictor._parts) >= 4 * caches(CHIP)
    evictor.run()
    evictor.run()
    assert all((part == 2).all() for part in evictor._parts)


def test_what_is_large_evicts_itself() -> None:
    assert caches(CHIP) == (1 << 14) + 2 * ((1 << 12) + (1 << 10))
    assert evicts_itself(4 * caches(CHIP), CHIP) and not evicts_itself(4 * caches(CHIP) - 1, CHIP)
