"""Whether something else ran on this machine while a trial was timed."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# Seconds of a tick in which ``/proc/stat`` counts.
TICK = 1.0 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01
# Of the time that was timed: how much of it threads may have waited for a core, and how much of a core others may
# have used or the hypervisor taken. On an idle machine less than one percent each.
WAITED, TAKEN = 0.05, 0.2


@dataclass(frozen=True)
class Counters:
    """What the operating system has counted, in seconds.

    Attributes:
        wall: time passed.
        waited: by threads of this process, ready to run, for a core (``/proc/self/task/*/schedstat``).
        own: processor time of this process.
        busy: processor time of everybody, on all cores, hypervisor excluded.
        stolen: processor time that the hypervisor gave to somebody else.
    """

    wall: float
    waited: float
    own: float
    busy: float
    stolen: float


def counters(proc: Path = Path("/proc")) -> Counters:
    """Read them now; what a system does not count is 0 and so never a disturbance."""
    fields = _numbers(proc / "stat", 1, 9)
    user, nice, system, _, _, irq, softirq, steal = fields or [0] * 8
    waited = sum((_numbers(task / "schedstat", 0, 3) or [0, 0, 0])[1] for task in _tasks(proc))
    used = resource.getrusage(resource.RUSAGE_SELF)
    busy = (user + nice + system + irq + softirq) * TICK
    return Counters(time.monotonic(), waited * 1e-9, used.ru_utime + used.ru_stime, busy, steal * TICK)


def disturbance(before: Counters, after: Counters) -> str | None:
    """What else the machine did between two readings, one line; None if it was left alone.

    Shares are of one core over the time between. Less than three ticks of the clock is not seen.
    """
    wall = max(after.wall - before.wall, 1e-9)
    waited = (after.waited - before.waited) / wall
    stolen = after.stolen - before.stolen
    others = (after.busy - before.busy) - (after.own - before.own)
    if waited > WAITED:
        return f"threads waited for a core {waited:.0%} of the time"
    if stolen > max(3 * TICK, TAKEN * wall):
        return f"the hypervisor took {stolen / wall:.0%} of a core"
    if others > max(3 * TICK, TAKEN * wall):
        return f"other processes used {others / wall:.0%} of a core"
    return None


def _tasks(proc: Path) -> Sequence[Path]:
    try:
        return list((proc / "self" / "task").iterdir())
    except OSError:
        return []


def _numbers(path: Path, first: int, last: int) -> list[int] | None:
    """Fields of the first line of a file as integers; None where there is no such file (any more)."""
    try:
        with path.open() as file:
            return [int(field) for field in file.readline().split()[first:last]]
    except (OSError, ValueError):
        return None
