"""Champions as databases of MetaSchedule, which TVM alone can build.

Those that a trace leads to are written as MetaSchedule writes its own: the program of the workload, and the trace that
makes the champion of it. No trace replaces a program by another, which many spaces do: what these wrote is in a
database beside the first, as programs that are finished, each with an empty trace, and with attributes that say what
it computes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from schedules.lower import lower
from schedules.schedule import Schedule
from schedules.space import spaces_on
from schedules.workload import Workload
from targets import Target
from targets.digest import canonical_json
from targets.errors import HeadstartError, InputError, one_line
from tuner.metaschedule.lines import RECORDS, WORKLOADS
from tuning_db.embargo import embargoed
from tuning_db.place import replacing
from tuning_db.store import Store

T = TypeVar("T")

PROGRAMS = ("program_workload.json", "program_tuning_record.json")
FILES = {WORKLOADS, RECORDS, *PROGRAMS}
TRACE, PROGRAM = "trace", "program"


@dataclass(frozen=True)
class Written:
    """What became of a champion.

    Attributes:
        champion: its row, as ``Store.champions`` has it.
        form: ``trace``, ``program``, or empty where it is left out.
        reason: why it is no trace.
    """

    champion: Mapping[str, Any]
    form: str
    reason: str = ""


class _NoTrace(HeadstartError):
    """There is no trace that TVM could replay; the message says why."""


def write(
    store: Store, target: Target, folder: Path, cache: str | None = None, now: float | None = None
) -> list[Written]:
    """Write the champions on a chip, one for each workload.

    What is not public yet is left out, as of any export, and nothing is said of it.

    Args:
        store: where they are.
        target: the chip.
        folder: made, with the files of a database in it, or of both; such a folder is replaced.
        cache: only champions that were timed ``warm`` or ``cold``; of each workload the latest unless said.
        now: seconds since 1970, the clock unless said.

    Returns:
        What became of every champion.

    Raises:
        InputError: the folder cannot be written, or is another.
        HeadstartError: there is no champion on this chip, or none that can be made again.
    """
    with store.snapshot():
        hidden = embargoed(store, time.time() if now is None else now).get("champion", set())
        rows = [row for row in store.champions(target=target.fingerprint) if row["trial"] not in hidden]
        chosen = {row["workload"]: row for row in sorted(rows, key=_when) if _is_timed(store, row, cache)}
        kept = {id: store.workload(id) for id in chosen}
    if not chosen:
        raise HeadstartError(f"no champion for {target.name} ({target.fingerprint}) in {store.path}")
    if folder.exists() and not is_database(folder):
        raise InputError(f"{folder} is there and is no MetaSchedule database; choose another folder, or remove it")
    with replacing(folder, is_database) as work:
        found = list(_write(work, target, chosen, kept))
        if not any(one.form for one in found):
            raise HeadstartError(f"none of the {len(found)} champions can be written: {found[0].reason}")
        return found


def is_database(folder: Path) -> bool:
    """Whether a folder holds files of such databases, and nothing else."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    return bool(names) and names <= FILES


def _write(
    folder: Path, target: Target, chosen: Mapping[str, Mapping[str, Any]], kept: Mapping[str, Mapping[str, Any]]
) -> Iterator[Written]:
    import tvm
    from tvm.s_tir.meta_schedule.arg_info import ArgInfo
    from tvm.s_tir.meta_schedule.database import JSONDatabase, TuningRecord
    from tvm.s_tir.schedule import Trace

    databases: dict[str, Any] = {}
    cores = {"num-cores": target.cores} if target.kind == "llvm" else {}
    chip = tvm.target.Target({**target.tvm, **cores})
    for id, row in chosen.items():
        reason = ""
        try:
            workload = _workload(id, kept[id])
            try:
                trace = _trace(workload, row, target)
                form, module = TRACE, tvm.IRModule({"main": workload.prim_func.with_attr("global_symbol", "main")})
            except _NoTrace as error:
                form, module, trace, reason = PROGRAM, _program(workload, row, target), Trace([], {}), str(error)
        except HeadstartError as error:
            yield Written(row, "", str(error))
            continue
        if form not in databases:
            files = PROGRAMS if form == PROGRAM else (WORKLOADS, RECORDS)
            databases[form] = JSONDatabase(*(str(folder / name) for name in files))
        committed = databases[form].commit_workload(module)
        arguments = ArgInfo.from_prim_func(module["main"])
        databases[form].commit_tuning_record(TuningRecord(trace, committed, row["samples"], chip, arguments))
        yield Written(row, form, reason)


def _workload(id: str, kept: Mapping[str, Any]) -> Workload:
    workload = Workload.load(kept["operator"], kept["params"], kept["label"])
    if workload.id != id:
        raise InputError("its computation cannot be made again")
    return workload


def _trace(workload: Workload, row: Mapping[str, Any], target: Target) -> Any:
    """The trace that makes a champion of the program of its workload.

    Raises:
        _NoTrace: there is none.
        InputError: the champion cannot be made again here.
    """
    space = spaces_on(target).get(row["space"])
    if space is None or not space.supports(workload, target):
        raise InputError(f"space {row['space']} has nothing for it here")
    made = _tried(lambda: space(workload, target).traced(_schedule(row)))
    if made is None:
        raise _NoTrace(f"space {row['space']} writes a program of its own")
    if any(instruction.kind.name == "Tensorize" for instruction in made.trace.insts):
        raise _NoTrace(f"space {row['space']} uses tensor intrinsics that TVM does not have")
    return made.trace


def _program(workload: Workload, row: Mapping[str, Any], target: Target) -> Any:
    """A champion as the program that is compiled, with what it computes in its attributes."""
    module = _tried(lambda: lower(workload, _schedule(row), target))
    says = {"workload": workload.id, "operator": workload.operator}
    if workload.instance is not None:
        says["params"] = canonical_json(dict(workload.params))
    main = module["main"]
    for name, value in says.items():
        main = main.with_attr(f"headstart.{name}", value)
    module["main"] = main
    return module


def _schedule(row: Mapping[str, Any]) -> Schedule:
    return Schedule(row["space"], row["version"], row["config"])


def _tried(make: Callable[[], T]) -> T:
    try:
        return make()
    except HeadstartError:
        raise
    except Exception as error:  # from C++, in many types
        raise InputError(f"its schedule cannot be made again: {one_line(error)}") from None


def _when(row: Mapping[str, Any]) -> tuple[float, str]:
    return row["created"], row["trial"]


def _is_timed(store: Store, row: Mapping[str, Any], cache: str | None) -> bool:
    return cache is None or store.value("SELECT cache FROM policy WHERE id = ?", (row["policy"],)) == cache
