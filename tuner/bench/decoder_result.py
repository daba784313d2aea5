"""What comparing a decoder before and after came to: plain data, and what follows from it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tuner.bench.statistics import Interval, ratios, spread

# Of the JSON document; raise it when a field changes its meaning or goes.
SCHEMA = 1
PHASES = ("decode", "prefill")
FORMATS = ("bf16", "fp8")
# Differences of logits that rounding explains, in parts of their standard deviation: root mean square, and any. Codes
# of fp8 move to their neighbours wherever something before them is rounded at another place.
TYPICAL = {"bf16": 0.03, "fp8": 0.12}
LARGEST = {"bf16": 0.3, "fp8": 1.0}


@dataclass(frozen=True)
class Agreement:
    """How near logits are to those that are right.

    Attributes:
        largest: difference of any logit, in parts of the standard deviation.
        typical: root mean square of the differences, in the same.
        same: tokens whose largest logit is the same, of ``tokens``.
        tied: of the others, those that are as large as the largest within ``largest``.
        tokens: that were compared: after the prompt, and each that follows.
    """

    largest: float
    typical: float
    same: int
    tied: int
    tokens: int

    def right(self, fmt: str) -> bool:
        """Whether it is as near as rounding explains."""
        near = self.typical <= TYPICAL[fmt] and self.largest <= LARGEST[fmt]
        return near and self.same + self.tied == self.tokens


def agreement(found: np.ndarray, right: np.ndarray) -> Agreement:
    """Compare logits ``[tokens, vocabulary]``, float32."""
    scale = float(right.std())
    off = np.abs(found - right) / scale
    chosen, best = found.argmax(1), right.argmax(1)
    rows = np.arange(len(right))
    behind = (right[rows, best] - right[rows, chosen]) / scale
    same = chosen == best
    largest = float(off.max())
    return Agreement(
        largest, float(np.sqrt((off**2).mean())), int(same.sum()), int((~same & (behind <= largest)).sum()), len(right)
    )


@dataclass(frozen=True)
class Way:
    """One way to run the model.

    Attributes:
        name, title: short, and for people.
        error: why it could not take part.
        note: what was swapped.
        ready_s: seconds to make it ready, weights and compiling included.
        agreement: with the same arithmetic in torch.
        logits: file that they are in.
    """

    name: str
    title: str
    error: str = ""
    note: str = ""
    ready_s: float | None = None
    agreement: Agreement | None = None
    logits: str = ""

    @property
    def format(self) -> str:
        """Of its weights."""
        return "fp8" if self.name.startswith("fp8") else "bf16"


@dataclass(frozen=True)
class PhaseResult:
    """Times of one phase.

    Attributes:
        rounds: median seconds of a step in each round, by way.
        lost: ways whose process died, and how.
        dram: bytes a second that memory gave in each round.
        read: bytes that the swapped layers move in a step, by format.
        disturbance: the largest share of the machine that other programs took during a block.
        awake: the largest share of a CPU that processes took whose turn it was not.
    """

    rounds: Mapping[str, tuple[float, ...]]
    lost: Mapping[str, str]
    dram: tuple[float, ...]
    read: Mapping[str, int]
    disturbance: float
    awake: float

    def seconds(self, name: str) -> float | None:
        """The median round."""
        return statistics.median(self.rounds[name]) if self.rounds.get(name) else None

    def speedup(self, name: str, over: str) -> Interval | None:
        """How many times faster one way is than another, round by round: median, least and largest."""
        if not self.rounds.get(name) or not self.rounds.get(over):
            return None
        return spread(ratios(self.rounds[over], self.rounds[name]))

    @property
    def best_torch(self) -> str:
        """The faster of eager and compiled."""
        timed = [name for name in ("torch", "torch-compile") if self.rounds.get(name)]
        return min(timed, key=lambda name: self.seconds(name) or 0.0)


@dataclass(frozen=True)
class DecoderResult:
    """A whole run."""

    model: str
    sizes: Mapping[str, Any]
    target: str
    ways: tuple[Way, ...]
    phases: Mapping[str, PhaseResult]
    settings: Mapping[str, Any]

    @property
    def right(self) -> bool:
        """Whether all that ran gave what it should."""
        return all(way.agreement is None or way.agreement.right(way.format) for way in self.ways)

    def to_json(self) -> dict[str, Any]:
        """The document that ``--json`` prints."""
        return {
            "schema": SCHEMA,
            "model": self.model,
            "sizes": dict(self.sizes),
            "target": self.target,
            "settings": dict(self.settings),
            "right": self.right,
            "ways": [{key: value for key, value in asdict(way).items() if key != "logits"} for way in self.ways],
            "phases": {name: self._phase(phase) for name, phase in self.phases.items()},
        }

    def _phase(self, phase: PhaseResult) -> dict[str, Any]:
        over: dict[str, Any] = {}
        for name in phase.rounds:
            for other in ("torch", phase.best_torch):
                found = phase.speedup(name, other)
                over.setdefault(name, {})["torch" if other == "torch" else "best_torch"] = (
                    found.to_json() if found else None
                )
            over[name].setdefault("best_torch", over[name]["torch"])
        return {**asdict(phase), "seconds": {name: phase.seconds(name) for name in phase.rounds}, "speedup": over}
