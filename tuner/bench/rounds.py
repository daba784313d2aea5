"""Blocks in turn: who is timed when, with everybody else asleep, and a look at what else the machine was doing."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import psutil

from tuner.bench.process import Peer, PeerLost

# Pause before each block, for the last one's threads to fall asleep.
SETTLE_S = 0.05
# A block in which other programs took more of the machine than this is taken again, this many times at most.
DISTURBED, AGAIN = 0.1, 2
# Seconds that a block may take beyond what was asked: a single call of a slow peer may take long.
PATIENCE_S = 120.0


@dataclass
class Timed:
    """What rounds came to.

    Attributes:
        seconds: median of each round, by peer.
        samples: how many, by peer.
        roof: what the roof answered in each round.
        lost: peers that died on the way, and how.
        disturbance: largest share of the machine that other programs took during a block that counts.
        awake: largest share of a CPU that sleeping peers took during one.
    """

    seconds: dict[str, list[float]] = field(default_factory=dict)
    samples: dict[str, int] = field(default_factory=dict)
    roof: list[dict[str, Any]] = field(default_factory=list)
    lost: dict[str, str] = field(default_factory=dict)
    disturbance: float = 0.0
    awake: float = 0.0


def run(
    peers: Sequence[Peer],
    sleepers: Sequence[Peer],
    roof: Peer,
    rounds: int,
    block_s: float,
    listener: Callable[[int, str], None],
) -> Timed:
    """Time every peer in every round.

    Each round starts with another peer, so that nobody always follows the same one.

    Args:
        peers: that have the workload loaded.
        sleepers: every process there is, to see whether those that should sleep do.
        roof: measures the machine, in a block like any other.
        rounds: how many.
        block_s: seconds of a block.
        listener: called before each block with the round and the name.
    """
    timed = Timed({peer.entry.name: [] for peer in peers}, {peer.entry.name: 0 for peer in peers})
    order = [*peers, roof]
    for number in range(rounds):
        first = number % len(order)
        for peer in order[first:] + order[:first]:
            name = peer.entry.name
            if name in timed.lost:
                continue
            listener(number, name)
            try:
                answer = _block(peer, sleepers, block_s, timed, peer is roof)
            except PeerLost as lost:
                if peer is roof:
                    raise
                timed.lost[name] = str(lost)
                continue
            if peer is roof:
                timed.roof.append(answer)
            else:
                timed.seconds[name].append(statistics.median(answer["samples"]))
                timed.samples[name] += len(answer["samples"])
    return timed


def _block(peer: Peer, everyone: Sequence[Peer], block_s: float, timed: Timed, roof: bool) -> dict[str, Any]:
    """A block of one peer, the least disturbed of some."""
    request = "roof_block" if roof else "block"
    best: tuple[float, float, dict[str, Any]] | None = None
    for _ in range(1 + AGAIN):
        time.sleep(SETTLE_S)
        others = [other for other in everyone if other is not peer]
        start, busy, own = time.perf_counter(), _busy(), peer.cpu_seconds()
        slept = sum(other.cpu_seconds() for other in others)
        answer = peer.ask(request, block_s + PATIENCE_S, seconds=block_s)
        wall = time.perf_counter() - start
        awake = (sum(other.cpu_seconds() for other in others) - slept) / wall
        share = (_busy() - busy - (peer.cpu_seconds() - own)) / wall / (psutil.cpu_count() or 1)
        if best is None or share < best[0]:
            best = (share, awake, answer)
        if share <= DISTURBED:
            break
    assert best is not None
    timed.disturbance, timed.awake = max(timed.disturbance, best[0]), max(timed.awake, best[1])
    return best[2]


def _busy() -> float:
    """Seconds that the CPUs ran anything, or were taken away by the host of a virtual machine."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))
