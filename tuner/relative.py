"""Seconds of schedules that can be compared although they were timed hours apart.

A machine's speed drifts by more than good schedules differ. Where a trial was timed in turn with the incumbent, the
ratio of the two does not drift, and the schedule is so many times the incumbent, which in turn was so many times the
one before it.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any


class Relative:
    """The schedules of one workload, chip, toolchain and policy, on a common scale: that of the first one timed."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def add(self, schedule: str, median: float, evidence: Mapping[str, Any]) -> float:
        """Take up a good trial; trials come in the order in which they were made.

        Args:
            schedule: its id.
            median: seconds.
            evidence: of the trial; ``incumbent`` and ``ratios`` where it was timed in turn with one.

        Returns:
            Seconds of the schedule on the common scale. Timed again by itself, in a faster or slower minute, it keeps
            what it had; in turn with an incumbent again, the least counts: noise only ever makes slower.
        """
        before, ratios = self.seconds.get(schedule), evidence.get("ratios")
        incumbent = self.seconds.get(evidence.get("incumbent", ""))
        if ratios and incumbent is not None:
            found = statistics.median(ratios) * incumbent
            self.seconds[schedule] = found if before is None else min(found, before)
        elif before is None:
            self.seconds[schedule] = median
        return self.seconds[schedule]
