"""What a peer makes of a workload: functions to time, one for each copy of the arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from schedules.compare import mismatch
from schedules.operator import Arrays, Tolerance
from schedules.workload import Workload
from targets import Target

# How far a stand-in, which computes with operands rounded to bfloat16, may be from the workload's reference: sums of
# products that are each off by up to 2^-8 are off by about 2^-9 of the root mean square of the result, and the
# largest of a million by five times as much.
STAND_IN = Tolerance(2**-6, 2e-2)


@dataclass(frozen=True)
class Request:
    """What a peer is asked to make ready.

    Attributes:
        workload: the computation.
        copies: inputs with equal values in different memory: the first is timed, the second, where there is one,
            is called in between so that code is in the caches when data is not.
        reference: the outputs that are right.
        target: the chip of this machine.
        options: of this peer: which schedule, which mode.
    """

    workload: Workload
    copies: Sequence[Arrays]
    reference: Sequence[np.ndarray]
    target: Target
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Loaded:
    """A workload made ready by a peer.

    Attributes:
        calls: one for each copy of the arguments; each computes the outputs once.
        outputs: the outputs that the last call of the first copy computed.
        near: arrays of the first copy that a cold call finds in a cache: the first argument, the outputs.
        note: what a reader of the figures must know of how this peer does it.
        stand_in: whether it computes nearly the same from operands of another type, see ``STAND_IN``.
    """

    calls: Sequence[Callable[[], Any]]
    outputs: Callable[[], Arrays]
    near: Sequence[np.ndarray] = ()
    note: str = ""
    stand_in: bool = False


class Unsupported(Exception):
    """The peer has no implementation of this workload; the text says of what."""


def wrong(outputs: Sequence[np.ndarray], request: Request, stand_in: bool) -> str | None:
    """What is wrong with outputs, one line; None if nothing is."""
    tolerances = request.workload.tolerances
    if stand_in:
        tolerances = tuple(
            STAND_IN if output.dtype.kind not in "iub" else tolerance
            for output, tolerance in zip(request.reference, tolerances, strict=True)
        )
    return mismatch(outputs, request.reference, tolerances)
