"""What the database keeps, as plain data; no TVM here, so that a server or a deployment needs no compiler."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any

from targets.digest import canonical_json, digest


class Status(str, Enum):
    """How a trial ended; only ``ok`` can be a champion."""

    OK = "ok"
    BUILD_ERROR = "build_error"
    RUN_ERROR = "run_error"
    TIMEOUT = "timeout"
    WRONG_OUTPUT = "wrong_output"
    BELOW_FLOOR = "below_floor"
    OVER_LIMIT = "over_limit"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True)
class Policy:
    """How trials are timed; part of the key, since a time means nothing without it.

    Attributes:
        cache: ``warm`` (the same arguments again and again) or ``cold`` (all but the first argument flushed from
            every cache before each timed call: weights are read from memory, as in decoding).
        threads: threads that the kernel may use.
        clock: what was read, e.g. ``wall``.
    """

    cache: str
    threads: int
    clock: str = "wall"

    @cached_property
    def id(self) -> str:
        """Hash of the fields."""
        return digest("p", canonical_json(self.to_json()))

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON types."""
        return {"cache": self.cache, "threads": self.threads, "clock": self.clock}


@dataclass(frozen=True)
class Toolchain:
    """What built and ran it: versions that change code or speed, e.g. ``{"tvm": "0.27.0", "llvm": "22.1"}``."""

    versions: Mapping[str, str]

    @cached_property
    def id(self) -> str:
        """Hash of the versions."""
        return digest("x", canonical_json(dict(self.versions)))

    def to_json(self) -> dict[str, Any]:
        """The versions, named, as JSON types."""
        return {"versions": dict(self.versions)}


@dataclass(frozen=True)
class Key:
    """What a champion is champion of: ids of workload, target fingerprint, toolchain and policy."""

    workload: str
    target: str
    toolchain: str
    policy: str


def new_id(prefix: str) -> str:
    """A new id that sorts by time of making: 48 bits of milliseconds, 64 random bits, in hex."""
    return f"{prefix}{time.time_ns() // 1_000_000:012x}{os.urandom(8).hex()}"


@dataclass(frozen=True)
class Trial:
    """One schedule built and timed once, good or bad.

    Attributes:
        key: workload, target, toolchain and policy ids.
        schedule: schedule id.
        status: how it ended.
        samples: seconds of each timed call or group of calls; empty unless ``ok`` or ``below_floor``, and where
            something stood in for the chip.
        median, spread: of the samples, seconds; spread is the interquartile range. None where there are no samples.
        error: the reason, one line, where the status is not ``ok``.
        build_s: seconds to schedule and compile.
        evidence: what crowned or refused it against the champion of the moment (``{"incumbent": schedule id,
            "ratios": [challenger / incumbent, ...]}``), ``{"again": true}`` where a schedule that had a trial was
            timed anew, ``{"untimed": what stood in for the chip}`` where there is no time, empty where it was never
            compared.
        machine, author, job: where, by whom and in which job it ran.
        created: seconds since 1970.
    """

    key: Key
    schedule: str
    status: Status
    samples: tuple[float, ...] = ()
    median: float | None = None
    spread: float | None = None
    error: str = ""
    build_s: float = 0.0
    evidence: Mapping[str, Any] = field(default_factory=dict)
    machine: str = ""
    author: str = ""
    job: str = ""
    created: float = field(default_factory=time.time)
    id: str = field(default_factory=lambda: new_id("t"))

    @property
    def untimed(self) -> str:
        """What stood in for the chip, so that there is no time of it; empty where the chip itself ran it."""
        return stand_in(self.evidence)


def stand_in(evidence: Mapping[str, Any]) -> str:
    """What stood in for the chip, by the evidence of a trial; empty where nothing did."""
    return str(evidence.get("untimed") or "")
