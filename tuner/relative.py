"""Seconds of schedules that can be compared although they were timed hours apart.

A machine's speed drifts by more than good schedules differ. Where a trial was timed in turn with the incumbent, the
ratio of the two does not drift, and the schedule is so many times the incumbent, which in turn was so many times the
one before it. Other work on the machine only ever makes a sample slower, so it is the fastest samples of both sides
that are compared: a disturbed incumbent makes nobody look fast.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def incumbent_seconds(samples: Sequence[float], ratios: Sequence[float]) -> float | None:
    """Fastest sample of the incumbent of a trial, None where it had none.

    Args:
        samples: seconds of the schedule.
        ratios: of each of them to the incumbent's sample beside it.
    """
    return min((sample / ratio for sample, ratio in zip(samples, ratios, strict=False)), default=None)


class Relative:
    """The schedules of one workload, chip, toolchain and policy, on a common scale: that of the first one timed."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def add(self, schedule: str, samples: Sequence[float], evidence: Mapping[str, Any]) -> float:
        """Take up a good trial; trials come in the order in which they were made.

        Args:
            schedule: its id.
            samples: seconds, at least one.
            evidence: of the trial; ``incumbent`` and ``ratios`` where it was timed in turn with one.

        Returns:
            Seconds of the schedule on the common scale. Timed again by itself, in a faster or slower minute, it keeps
            what it had; in turn with an incumbent again, the least counts.
        """
        before, incumbent = self.seconds.get(schedule), self.seconds.get(evidence.get("incumbent", ""))
        then = incumbent_seconds(samples, evidence.get("ratios", ()))
        if incumbent is not None and then is not None:
            found = min(samples) / then * incumbent
            self.seconds[schedule] = found if before is None else min(found, before)
        elif before is None:
            self.seconds[schedule] = min(samples)
        return self.seconds[schedule]
