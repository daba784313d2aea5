"""Recordings: a workload with many schedules of its spaces, each timed, in a file that a search can be replayed on.

JSON lines; ``docs/cost_model.md`` has the schema. What a stranger's file holds is read strictly and never run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from schedules.schedule import Schedule
from schedules.space import Space, spaces_for
from schedules.workload import Workload
from targets import Target
from targets.digest import canonical_json
from targets.errors import HeadstartError, InputError
from tuner.executor import Device, Outcome
from tuner.relative import incumbent_seconds
from tuner.task import DEFAULT
from tuning_db.files import whole_file
from tuning_db.formats import status
from tuning_db.readers import count, mapping, number, parse, record, sequence, text, versions
from tuning_db.records import Policy, Status, Toolchain

FORMAT = 1
# Significant digits of a time: timers are no better.
DIGITS = 4

_HEADER = record(
    {
        "kind": text,
        "format": count,
        "workload": record({"operator": text, "params": mapping}),
        "target": mapping,
        "policy": record({"cache": text, "threads": count, "clock": text}),
        "toolchain": versions,
    }
)
_ENTRY = record(
    {
        "schedule": record({"space": text, "version": count, "config": mapping}),
        "status": status,
        "samples": sequence(number),
        "build_s": number,
        "error": text,
    }
)


@dataclass(frozen=True)
class Recording:
    """What was recorded.

    Attributes:
        outcomes: by schedule, in the order in which they were first timed.
    """

    workload: Workload
    target: Target
    policy: Policy
    toolchain: Toolchain
    outcomes: Mapping[Schedule, Outcome] = field(default_factory=dict)

    @property
    def best_s(self) -> float:
        """The smallest median, infinite where nothing ran."""
        return min((o.median or np.inf for o in self.outcomes.values() if o.status is Status.OK), default=np.inf)


def drawn(workload: Workload, target: Target, number: int, rng: np.random.Generator) -> list[Schedule]:
    """What to record: the default, the seeds, and points of every made-for space (or else the generic one), as many
    of each, up to ``number`` in all."""
    found = spaces_for(workload, target)
    found.pop("default", None)
    own: dict[str, Space] = {name: space for name, space in found.items() if name != "generic"} or found
    schedules = dict.fromkeys([DEFAULT, *(seed for space in own.values() for seed in space.seeds())])
    missed = 0
    while own and len(schedules) < number and missed < 100:
        before = len(schedules)
        schedules |= dict.fromkeys(s for space in own.values() if (s := space.sample(rng)) is not None)
        missed = missed + 1 if len(schedules) == before else 0
    return list(schedules)[:number]


def take(
    recording: Recording,
    device: Device,
    schedules: Sequence[Schedule],
    rng: np.random.Generator,
) -> Recording:
    """Time schedules in random order and add the samples to those of earlier rounds.

    Each is timed in turn with one and the same schedule, the first of ``schedules`` that is a seed or, without one, the
    default. Samples are scaled by how fast that one was beside them, so that a machine that is slow for a minute makes
    none of them look bad.
    """
    outcomes = dict(recording.outcomes)
    session = device.open(recording.workload, int(rng.integers(2**31)))
    reference = _reference(recording, schedules)
    first = session.incumbent(reference)
    outcomes.setdefault(reference, replace(first, ratios=(), notes={}))
    base_s = min(outcomes[reference].samples, default=0.0)
    for at in rng.permutation(len(schedules)):
        schedule = schedules[at]
        if schedule == reference:
            continue
        outcome, before = session.trial(schedule), outcomes.get(schedule)
        then = incumbent_seconds(outcome.samples, outcome.ratios)
        samples = tuple(sample * base_s / then for sample in outcome.samples) if then and base_s else outcome.samples
        taken = replace(outcome, samples=samples if outcome.status is Status.OK else (), ratios=(), notes={})
        if before is None or (before.status is not Status.OK and taken.status is Status.OK):
            outcomes[schedule] = taken
        elif taken.status is Status.OK:
            outcomes[schedule] = replace(before, samples=before.samples + taken.samples)
    return replace(recording, outcomes=outcomes)


def _reference(recording: Recording, schedules: Sequence[Schedule]) -> Schedule:
    """What others are timed in turn with; the same one in every round."""
    found = spaces_for(recording.workload, recording.target)
    seeds = {seed for name, space in found.items() if name != "default" for seed in space.seeds()}
    return next((schedule for schedule in schedules if schedule in seeds), DEFAULT)


def write(path: Path, recording: Recording) -> None:
    """Write a recording, whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    workload = {"operator": recording.workload.operator, "params": dict(recording.workload.params)}
    header = {
        "kind": "headstart recording",
        "format": FORMAT,
        "workload": workload,
        "target": recording.target.spec(),
        "policy": recording.policy.to_json(),
        "toolchain": dict(recording.toolchain.versions),
    }
    lines: list[dict[str, Any]] = [header]
    for schedule, outcome in recording.outcomes.items():
        samples = [float(f"{s:.{DIGITS}g}") for s in outcome.samples]
        entry = {"status": outcome.status.value, "samples": samples, "build_s": round(outcome.build_s, 3)}
        lines.append({"schedule": schedule.to_json(), **entry, "error": outcome.error})
    lines.append({"kind": "end", "records": len(recording.outcomes)})
    with whole_file(path) as part:
        part.write_text("".join(canonical_json(line) + "\n" for line in lines), encoding="utf-8")


def read(path: Path) -> Recording:
    """Read what ``write`` wrote.

    Raises:
        InputError: the file cannot be read or is no recording; the message names the line.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    number = 1
    try:
        recording = _opened(parse(lines[0]) if lines else {})
        outcomes: dict[Schedule, Outcome] = {}
        for line in lines[1:-1]:
            number += 1
            schedule, outcome = _entry(parse(line))
            outcomes[schedule] = outcome
        number = len(lines)
        if number < 2 or parse(lines[-1]) != {"kind": "end", "records": len(outcomes)}:
            raise ValueError(f"does not end what has {len(outcomes)} schedules; the file was cut short")
    except ValueError as error:
        raise InputError(f"{path}, line {number}: {error}") from None
    except HeadstartError as error:
        raise InputError(f"{path}: {error}") from None
    return replace(recording, outcomes=outcomes)


def _opened(value: dict[str, Any]) -> Recording:
    """A recording without its outcomes, from the first line."""
    if value.get("kind") != "headstart recording":
        raise ValueError("is not the first line of a recording")
    if value.get("format") != FORMAT:
        raise ValueError(f"has format {value.get('format')}, this Headstart reads {FORMAT}")
    header = _HEADER(value)
    try:
        target = Target.from_spec(header["target"])
        workload = Workload.load(header["workload"]["operator"], header["workload"]["params"])
        assert target.cores > 0 and target.fingerprint
    except (TypeError, KeyError, AttributeError, AssertionError) as error:
        raise ValueError(f"target or workload: {error}") from None
    return Recording(workload, target, Policy(**header["policy"]), Toolchain(header["toolchain"]))


def _entry(value: dict[str, Any]) -> tuple[Schedule, Outcome]:
    entry = _ENTRY(value)
    samples: tuple[float, ...] = entry["samples"]
    good = entry["status"] is Status.OK
    if any(sample <= 0 for sample in samples) or good != bool(samples) or good == bool(entry["error"]):
        raise ValueError("must have positive samples where the status is ok, and an error where it is not")
    return Schedule(**entry["schedule"]), Outcome(entry["status"], samples, entry["error"], entry["build_s"])
