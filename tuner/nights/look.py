"""What a person should look at in the morning, a line each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from targets.units import percent, seconds
from tuner.nights.night import Gain, Night
from tuning_db.jobs import short
from tuning_db.records import Status, Trial

# Lines of one kind.
MOST = 5
# What reaches less of its roofline than this is far from it, if it holds this share of what there is to gain.
FAR, WORTH = 0.5, 0.05
# Share of trials that something else disturbed to the end, from which on times are in doubt.
DISTURBED = 0.1
DIED = (Status.RUN_ERROR, Status.OVER_LIMIT, Status.TIMEOUT)


def look_at(night: Night, lines: Sequence[Mapping[str, Any]], made: Sequence[Trial]) -> list[str]:
    """What is odd about a night, what stops jobs first.

    Args:
        night: without this part.
        lines: of the logs of its jobs.
        made: its trials.
    """
    found = [f"job {short(s.job)} failed: {_reason(s.job, lines)}" for s in night.spent if s.state == "failed"]
    found += _few(f"not tuned: {w}: {reason}" for w, reason in _failures(lines).items())
    found += _few(
        f"{one.operator} {one.label} on {one.chip}: none of {one.trials} trials ran and was right"
        for one in night.gains
        if not one.built
    )
    events = Counter(line["event"] for line in lines)
    if events["lost"]:
        found.append(f"whoever ran the jobs was gone {_times(events['lost'])}; each time they were taken up again")
    if events["trouble"]:
        last = [line["data"]["reason"] for line in lines if line["event"] == "trouble"][-1]
        found.append(f"a job could not begin {_times(events['trouble'])}, last: {last}")
    found += _few(_devices(lines))
    if died := sum(trial.status in DIED for trial in made):
        found.append(
            f"{died} of {len(made)} trials ended their worker or were stopped; the failed trials have the reasons"
        )
    disturbed = [trial for trial in made if trial.evidence.get("disturbed") and not trial.evidence.get("settled")]
    if made and len(disturbed) > DISTURBED * len(made):
        often = Counter(trial.machine for trial in disturbed).most_common(1)[0][0]
        share = percent(len(disturbed) / len(made))
        found.append(f"{share} of the trials were disturbed by other work to the end, most on {often or 'one machine'}")
    untimed = Counter(one.chip for one in night.gains if one.built and one.after_s is None)
    found += [f"on {chip}, workloads that run right and were not timed: {count}" for chip, count in untimed.items()]
    return found + _far(night.gains)


def _far(gains: Sequence[Gain]) -> list[str]:
    """Workloads with much between them and their roofline, those where a step would gain most first."""
    left = {one.workload + one.chip: one.calls * (one.after_s - one.floor_s) for one in gains if one.after_s}
    ordered = sorted(gains, key=lambda one: -left.get(one.workload + one.chip, 0.0))
    return _few(
        f"{one.operator} {one.label} on {one.chip} reaches {percent(one.roofline)} of its roofline"
        f" after {one.trials} trials: {seconds(one.after_s)} where {seconds(one.floor_s)} is the floor"
        for one in ordered
        if one.roofline is not None
        and one.roofline < FAR
        and left[one.workload + one.chip] >= WORTH * sum(left.values())
    )


def _few(lines: Any) -> list[str]:
    every = list(lines)
    more = len(every) - MOST
    return every if more <= 0 else [*every[:MOST], f"... and {more} more like these"]


def _failures(lines: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    told = [line["data"] for line in lines if line["event"] == "failure"]
    return {data["workload"]: data["reason"] for data in told}


def _devices(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """Devices of clusters that were lost, or could not be used."""
    told = [line["data"] for line in lines if line["event"] == "device"]
    return list(dict.fromkeys(f"{d['machine']} {d['device']} was {d['state']}: {d['detail']}" for d in told))


def _reason(job: str, lines: Sequence[Mapping[str, Any]]) -> str:
    """Why a job failed."""
    told = [line["data"].get("reason") for line in lines if line["job"] == job and line["event"] == "failed"]
    return str(told[-1]) if told else "its log says why"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
