"""How the trials of a step are timed, where nothing else is said."""

from __future__ import annotations

from targets import Target
from tuner.backends import backend_for
from tuning_db.records import Policy

CACHE = {"decode": "cold", "prefill": "warm"}


def policy_for(phase: str, target: Target, cache: str | None = None) -> Policy:
    """How a phase is timed: a decode step reads every weight from memory once, a prefill step uses it many times.

    Args:
        phase: ``decode`` or ``prefill``.
        target: whose cores are used, all of them.
        cache: ``warm`` or ``cold``, to have it another way.
    """
    backend = backend_for(target)
    clock = "wall" if backend is None else backend.clock
    return Policy(cache or CACHE[phase], target.cores, clock)
