"""What of a database of MetaSchedule can be tried here: each line is read, or refused with a reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from schedules.schedule import Schedule
from schedules.workload import Workload
from targets import Target
from targets.errors import InputError
from tuner.metaschedule.lines import RECORDS, WORKLOADS, Known, lines, read_program, read_record, schedule_of


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
        schedules: of each workload, each once, those first that are said to be fastest.
        refused: every line that cannot be used.
    """

    schedules: Mapping[Workload, Sequence[Schedule]] = field(default_factory=dict)
    refused: Sequence[Refusal] = ()


def read(folder: Path, target: Target) -> Found:
    """Read the two files of a database in a folder, and see that each schedule can be built for a chip.

    Raises:
        InputError: a file cannot be read, or is longer than any such file.
    """
    refused: list[Refusal] = []
    programs: list[Known | None] = []
    for number, line in lines(folder / WORKLOADS):
        try:
            programs.append(read_program(line))
        except InputError as error:
            programs.append(None)
            refused.append(Refusal(WORKLOADS, number, str(error)))
    timed: dict[Workload, dict[Schedule, float]] = {}
    for number, line in lines(folder / RECORDS):
        try:
            record = read_record(line)
            known = _program(programs, record.workload)
            schedule = schedule_of(known, record.trace, target)
        except InputError as error:
            refused.append(Refusal(RECORDS, number, str(error)))
        else:
            times = timed.setdefault(known.workload, {})
            times[schedule] = min(record.seconds, times.get(schedule, record.seconds))
    schedules = {workload: sorted(times, key=times.__getitem__) for workload, times in timed.items()}
    return Found(schedules, refused)


def _program(programs: Sequence[Known | None], at: int) -> Known:
    if not 0 <= at < len(programs):
        raise InputError(f"is of workload {at}, and there are {len(programs)}")
    known = programs[at]
    if known is None:
        raise InputError(f"is of the workload in line {at + 1}, which is refused")
    return known
