"""The morning report on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cli._jobs import grid, name_of, step_of
from cli._moment import moment
from cli._output import say, seconds
from targets.units import duration, percent, times
from tuning_db.jobs import short

if TYPE_CHECKING:
    from tuner.nights.night import Gain, Night

# Workloads that are listed; the page and --json have all of them.
MOST = 12


def print_night(night: Night) -> None:
    """Steps, workloads, what was spent, failures, and what to look at."""
    say(f"{night.database}, {moment(night.since)} to {moment(night.until)} UTC")
    if night.steps:
        head = ("one step of", "before", "now", "faster", "of roof", "workloads")
        rows = [
            (
                f"{name_of(step.model)}, {step_of([step.step])}\non {step.chip}",
                seconds(step.before_s),
                seconds(step.after_s),
                times(step.faster),
                percent(step.floor_s / step.after_s if step.floor_s else None),
                f"{step.measured} of {step.workloads}",
            )
            for step in night.steps
        ]
        grid("Steps", head, rows, left=1)
    _gains([one for one in night.gains if one.faster is not None and one.faster > 1])
    spent = [
        (short(s.job), f"{name_of(s.model)}\non {s.chip}", s.state, duration(s.spent_s), *map(str, s.counts))
        for s in night.spent
    ]
    grid("Spent", ("job", "what", "state", "time", "trials", "good", "new best"), spent, left=3)
    if night.failed:
        failed = [(f.status, ", ".join(f.operators), f.reasons[0][0], str(f.trials)) for f in night.failed]
        grid("Failed trials", ("status", "operators", "most often", "trials"), failed, left=3)
    say("Look at:" if night.look else "Nothing to look at.")
    for line in night.look:
        say(f"  {line}")


def _gains(gains: Sequence[Gain]) -> None:
    """What got faster; a workload that nobody had tuned before is compared with its first schedule, the default."""
    if not gains:
        say("Nothing got faster.")
        return
    rows = [
        (
            f"{one.operator} {one.label}\non {one.chip}",
            seconds(one.before_s),
            seconds(one.after_s),
            times(one.faster),
            between(one),
            percent(one.roofline),
            "default" if one.fresh else "best so far",
        )
        for one in gains[:MOST]
    ]
    head = ("workload", "before", "now", "faster", "between", "of roof", "before was")
    grid("What got faster, what saves a step most first", head, rows, left=1)
    if len(gains) > MOST:
        say(f"and {len(gains) - MOST} more; --json has all")


def between(one: Gain) -> str:
    """One standard error to either side of how much faster it is."""
    if one.faster is None or one.error is None or one.error == 1:
        return "-"
    return f"{times(one.faster / one.error)} to {times(one.faster * one.error)}"
