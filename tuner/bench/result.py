"""What a benchmark came to: plain data, and what follows from it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from tuner.bench.lineup import OF_TORCH
from tuner.bench.statistics import Interval, geomean_interval, ratios, spread

# Of the JSON document; raise it when a field changes its meaning or goes.
SCHEMA = 1
TUNED = "tuned"


@dataclass(frozen=True)
class PeerResult:
    """One peer on one workload.

    Attributes:
        name: of the peer.
        status: ``ok``, ``unsupported``, ``failed``, ``wrong`` (its outputs were).
        error: the reason where it is not ``ok``.
        note: how it computes the operator.
        stand_in: whether it computes nearly the same from operands of another type.
        ready_s: seconds to make it ready: compiling, laying out weights.
        rounds: median seconds of a call in each round.
        samples: how many calls, or groups of calls, stand behind all rounds.
    """

    name: str
    status: str
    error: str = ""
    note: str = ""
    stand_in: bool = False
    ready_s: float | None = None
    rounds: tuple[float, ...] = ()
    samples: int = 0

    @property
    def seconds(self) -> float | None:
        """The median round."""
        return statistics.median(self.rounds) if self.rounds else None


@dataclass(frozen=True)
class RoofResult:
    """The machine in the same rounds.

    Attributes:
        floors: seconds below which a call could not be, by the peaks of each round.
        dram: bytes a second read from memory, in each round.
        flops: operations a second of the workload's arithmetic, in each round.
        cold, warm: bytes a second of reading an array as large as the workload, after the eviction and right after.
    """

    floors: tuple[float, ...]
    dram: tuple[float, ...]
    flops: tuple[float, ...]
    cold: tuple[float, ...]
    warm: tuple[float, ...]


@dataclass(frozen=True)
class CaseResult:
    """One workload.

    Attributes:
        name, operator, label, id, params, cache, flops, bytes: of the case and its workload.
        peers: in the order of the table.
        roof: the machine.
        tuning: of Headstart's search: schedule, trials, seconds; of MetaSchedule's, where it took part.
        disturbance: the largest share of the machine that other programs took during a block.
        awake: the largest share of a CPU that peers took whose turn it was not.
    """

    name: str
    operator: str
    label: str
    id: str
    params: Mapping[str, Any]
    cache: str
    flops: int
    bytes: int
    peers: tuple[PeerResult, ...]
    roof: RoofResult
    tuning: Mapping[str, Any] = field(default_factory=dict)
    disturbance: float = 0.0
    awake: float = 0.0

    @cached_property
    def by_name(self) -> dict[str, PeerResult]:
        """Peers that were timed, by name."""
        return {peer.name: peer for peer in self.peers if peer.rounds}

    def ratio(self, name: str, over: str = TUNED) -> list[float]:
        """Seconds of a peer over those of another, round by round; empty where one was not timed."""
        found = self.by_name
        return ratios(found[name].rounds, found[over].rounds) if name in found and over in found else []

    @property
    def best_torch(self) -> str | None:
        """The fastest peer of torch."""
        timed = [name for name in OF_TORCH if name in self.by_name]
        return min(timed, key=lambda name: self.by_name[name].seconds or 0.0, default=None)

    def roofline(self, name: str) -> list[float]:
        """The share of the roofline that a peer reaches, round by round."""
        return ratios(self.roof.floors, self.by_name[name].rounds) if name in self.by_name else []

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON types."""
        plain = asdict(self)
        return plain | {
            "params": dict(self.params),
            "best_torch": self.best_torch,
            "peers": [self._peer_json(peer) for peer in self.peers],
        }

    def _peer_json(self, peer: PeerResult) -> dict[str, Any]:
        rest: dict[str, Any] = {"seconds": peer.seconds}
        if peer.rounds:
            rest["bytes_per_second"] = self.bytes / (peer.seconds or float("inf"))
            rest["roofline"] = spread(self.roofline(peer.name)).to_json()
        over = self.ratio(peer.name)
        rest["over_tuned"] = spread(over).to_json() if over else None
        return asdict(peer) | rest


@dataclass(frozen=True)
class Result:
    """A whole run.

    Attributes:
        cases: one for each workload, in order.
        titles: what each peer is, by name, in the order of the table.
        absent: peers that could not take part, and what they lack.
        skipped: workloads that were to be compared and were not, and why.
        machine: name of the chip, model, cores, caches.
        toolchain: versions.
        settings: rounds, seconds a block, trials and so on.
    """

    cases: tuple[CaseResult, ...]
    titles: Mapping[str, str]
    absent: Mapping[str, str]
    skipped: Mapping[str, str]
    machine: Mapping[str, Any]
    toolchain: Mapping[str, str]
    settings: Mapping[str, Any]

    def geomean(self, name: str) -> Interval | None:
        """Geometric mean over workloads of a peer's time over that of tuned; None where it was never timed."""
        found = [values for case in self.cases if (values := case.ratio(name))]
        return geomean_interval(found) if found else None

    @property
    def best_torch(self) -> Interval | None:
        """The same of the fastest peer of torch on each workload."""
        found = [case.ratio(case.best_torch) for case in self.cases if case.best_torch and case.ratio(case.best_torch)]
        return geomean_interval(found) if found else None

    @property
    def roofline(self) -> Interval | None:
        """Geometric mean over workloads of the share of the roofline that tuned reaches."""
        found = [values for case in self.cases if (values := case.roofline(TUNED))]
        return geomean_interval(found) if found else None

    def to_json(self) -> dict[str, Any]:
        """The document that ``--json`` prints."""
        return {
            "schema": SCHEMA,
            "machine": dict(self.machine),
            "toolchain": dict(self.toolchain),
            "settings": dict(self.settings),
            "peers": dict(self.titles),
            "absent": dict(self.absent),
            "skipped": dict(self.skipped),
            "workloads": [case.to_json() for case in self.cases],
            "geomean": {
                "over_tuned": {name: _json(self.geomean(name)) for name in self.titles},
                "best_torch_over_tuned": _json(self.best_torch),
                "roofline": _json(self.roofline),
            },
        }


def _json(interval: Interval | None) -> dict[str, float] | None:
    return interval.to_json() if interval else None


def within_noise(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two sets of ratios overlap: those of two schedules, and those of one schedule with itself."""
    return min(one) <= max(other) and min(other) <= max(one)
