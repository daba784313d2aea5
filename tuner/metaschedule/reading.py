"""What of a database of MetaSchedule can be tried here: each line is read, or refused with a reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from schedules.schedule import Schedule
from schedules.workload import Workload
from targets import Target
from targets.errors import InputError
from tuner.metaschedule.lines import RECORDS, WORKLOADS, Known, allowed, lines, read_program, read_record, schedule_of


@dataclass(frozen=True)
class Refusal:
    """A line that cannot be used: of which file, which one, why."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: {self.reason}"


@dataclass(frozen=True)
class Found:
    """What a database holds that can be tried.

    Attributes:
        schedules: of each workload, each once, as many as are wanted, those first that are said to be fastest.
        refused: every line that was looked at and cannot be used.
    """

    schedules: Mapping[Workload, Sequence[Schedule]] = field(default_factory=dict)
    refused: Sequence[Refusal] = ()


def read(folder: Path, target: Target, most: int) -> Found:
    """Read the two files of a database in a folder, and see that each schedule is allowed and the first can be built.

    Args:
        folder: where they are.
        target: the chip to build for.
        most: schedules of a workload that are wanted, those that are said to be fastest: what comes after them is not
            replayed, which takes long.

    Raises:
        InputError: a file cannot be read, or is longer than any such file.
    """
    refused: list[Refusal] = []
    programs = _programs(folder, refused)
    claimed: dict[Workload, list[_Claimed]] = {}
    for number, line in lines(folder / RECORDS):
        try:
            record = read_record(line)
            known = _program(programs, record.workload)
            trace = allowed(known, record.trace)
        except InputError as error:
            refused.append(Refusal(RECORDS, number, str(error)))
        else:
            claimed.setdefault(known.workload, []).append(_Claimed(record.seconds, number, known, trace))
    schedules: dict[Workload, list[Schedule]] = {}
    for workload, claims in claimed.items():
        found: dict[Schedule, None] = {}
        for claim in sorted(claims, key=lambda claim: claim[:2]):
            if len(found) == most:
                break
            try:
                found[schedule_of(claim.known, claim.trace, target)] = None
            except InputError as error:
                refused.append(Refusal(RECORDS, claim.line, str(error)))
        if found:
            schedules[workload] = [*found]
    return Found(schedules, sorted(refused, key=lambda refusal: (refusal.file != WORKLOADS, refusal.line)))


class _Claimed(NamedTuple):
    """A schedule that is allowed: how long somebody says it takes, its line, its program and its trace."""

    seconds: float
    line: int
    known: Known
    trace: Any


def _programs(folder: Path, refused: list[Refusal]) -> list[Known | None]:
    """The programs of a database, None in the place of those that are refused."""
    programs: list[Known | None] = []
    for number, line in lines(folder / WORKLOADS):
        try:
            programs.append(read_program(line))
        except InputError as error:
            programs.append(None)
            refused.append(Refusal(WORKLOADS, number, str(error)))
    return programs


def _program(programs: Sequence[Known | None], at: int) -> Known:
    if not 0 <= at < len(programs):
        raise InputError(f"is of workload {at}, and there are {len(programs)}")
    known = programs[at]
    if known is None:
        raise InputError(f"is of the workload in line {at + 1}, which is refused")
    return known
