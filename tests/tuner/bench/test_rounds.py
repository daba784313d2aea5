"""Who is timed when, and what happens when one is lost or the machine is busy."""

from __future__ import annotations

from typing import Any

import pytest

from tuner.bench import rounds
from tuner.bench.lineup import Entry
from tuner.bench.process import PeerLost


class Fake:
    """A peer that needs no process."""

    def __init__(self, name: str, dies: bool = False) -> None:
        self.entry, self.dies, self.asked = Entry(name, name, "fake"), dies, 0

    def ask(self, request: str, timeout: float, **arguments: Any) -> dict[str, Any]:
        self.asked += 1
        if self.dies and self.asked == 2:
            raise PeerLost("it died")
        if request == "roof_block":
            return {"peaks": {}, "cold": 1.0, "warm": 2.0}
        return {"samples": [3.0 * self.asked, 1.0 * self.asked, 2.0 * self.asked]}

    def cpu_seconds(self) -> float:
        return 0.0


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "SETTLE_S", 0.0)
    monkeypatch.setattr(rounds, "_busy", lambda: 0.0)


def run(peers: list[Fake], count: int) -> tuple[rounds.Timed, list[tuple[int, str]]]:
    seen: list[tuple[int, str]] = []
    roof = Fake("roof")
    everyone = [*peers, roof]
    timed = rounds.run(peers, everyone, roof, count, 0.0, lambda number, name: seen.append((number, name)))  # type: ignore[arg-type]
    return timed, seen


def test_everybody_has_a_turn_in_every_round_and_a_round_starts_with_another() -> None:
    timed, seen = run([Fake("a"), Fake("b")], 3)
    assert [name for number, name in seen if number == 0] == ["a", "b", "roof"]
    assert [name for number, name in seen if number == 1] == ["b", "roof", "a"]
    assert [name for number, name in seen if number == 2] == ["roof", "a", "b"]
    assert timed.seconds == {"a": [2.0, 4.0, 6.0], "b": [2.0, 4.0, 6.0]} and len(timed.roof) == 3
    assert timed.samples == {"a": 9, "b": 9} and not timed.lost


def test_a_peer_that_dies_is_left_out() -> None:
    timed, seen = run([Fake("a"), Fake("b", dies=True)], 3)
    assert timed.lost == {"b": "it died"} and len(timed.seconds["a"]) == 3
    assert [name for _, name in seen].count("b") == 2


def test_a_disturbed_block_is_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = iter([0.0, 1e6] + [0.0] * 100)
    monkeypatch.setattr(rounds, "_busy", lambda: next(busy))
    one = Fake("a")
    timed, _ = run([one], 2)
    assert one.asked == 3 and len(timed.seconds["a"]) == 2
    assert timed.disturbance == 0.0, "the block that counts was left alone"


def test_what_is_always_disturbed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(1000))
    monkeypatch.setattr(rounds, "_busy", lambda: 1e6 * next(ticks))
    one = Fake("a")
    timed, _ = run([one], 1)
    assert one.asked == 1 + rounds.AGAIN and timed.disturbance > 1
