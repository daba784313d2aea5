"""Champions as a database of MetaSchedule, which TVM alone can apply: programs, and the traces that change them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schedules.schedule import Schedule
from schedules.space import spaces
from schedules.workload import Workload
from targets import Target
from targets.errors import HeadstartError, InputError, one_line
from tuner.metaschedule.lines import RECORDS, WORKLOADS
from tuning_db.embargo import embargoed
from tuning_db.place import replacing
from tuning_db.store import Store


@dataclass(frozen=True)
class Written:
    """What became of a champion.

    Attributes:
        champion: its row, as ``Store.champions`` has it.
        left_out: why it is not in the database; empty where it is.
    """

    champion: Mapping[str, Any]
    left_out: str = ""


def write(
    store: Store, target: Target, folder: Path, cache: str | None = None, now: float | None = None
) -> list[Written]:
    """Write the champions on a chip that a trace leads to, one for each workload.

    What is not public yet is left out, as of any export, and nothing is said of it.

    Args:
        store: where they are.
        target: the chip.
        folder: made, with the two files in it; such a folder is replaced.
        cache: only champions that were timed ``warm`` or ``cold``; of each workload the latest unless said.
        now: seconds since 1970, the clock unless said.

    Returns:
        Every champion, whether it was written or why not.

    Raises:
        InputError: the folder cannot be written, or is another.
        HeadstartError: there is no champion on this chip, or none that a trace leads to.
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
        if all(one.left_out for one in found):
            raise HeadstartError(f"no trace leads to any of the {len(found)} champions: {found[0].left_out}")
        return found


def is_database(folder: Path) -> bool:
    """Whether a folder holds the two files and nothing else."""
    return folder.is_dir() and {path.name for path in folder.iterdir()} == {WORKLOADS, RECORDS}


def _write(
    folder: Path, target: Target, chosen: Mapping[str, Mapping[str, Any]], kept: Mapping[str, Mapping[str, Any]]
) -> Iterator[Written]:
    import tvm
    from tvm.s_tir.meta_schedule.arg_info import ArgInfo
    from tvm.s_tir.meta_schedule.database import JSONDatabase, TuningRecord

    database = JSONDatabase(str(folder / WORKLOADS), str(folder / RECORDS))
    chip = tvm.target.Target({**target.tvm, "num-cores": target.cores})
    for id, row in chosen.items():
        try:
            func, trace = _traced(id, row, kept[id], target)
        except HeadstartError as error:
            yield Written(row, str(error))
            continue
        module = tvm.IRModule({"main": func})
        record = TuningRecord(
            trace, database.commit_workload(module), row["samples"], chip, ArgInfo.from_prim_func(func)
        )
        database.commit_tuning_record(record)
        yield Written(row)


def _traced(id: str, row: Mapping[str, Any], kept: Mapping[str, Any], target: Target) -> tuple[Any, Any]:
    """The program of a workload, and the trace of its champion.

    Raises:
        HeadstartError: there is no such trace here.
    """
    workload = Workload.load(kept["operator"], kept["params"], kept["label"])
    if workload.id != id:
        raise InputError("its computation cannot be made again")
    space = spaces().get(row["space"])
    if space is None or not space.supports(workload, target):
        raise InputError(f"space {row['space']} has nothing for it here")
    try:
        made = space(workload, target).traced(Schedule(row["space"], row["version"], row["config"]))
    except InputError:
        raise
    except Exception as error:  # from C++, in many types
        raise InputError(f"its schedule cannot be made again: {one_line(error)}") from None
    if made is None:
        raise InputError(f"space {row['space']} writes a program of its own, to which no trace leads")
    if any(instruction.kind.name == "Tensorize" for instruction in made.trace.insts):
        raise InputError(f"space {row['space']} uses tensor intrinsics that TVM does not have")
    return workload.prim_func.with_attr("global_symbol", "main"), made.trace


def _when(row: Mapping[str, Any]) -> tuple[float, str]:
    return row["created"], row["trial"]


def _is_timed(store: Store, row: Mapping[str, Any], cache: str | None) -> bool:
    return cache is None or store.value("SELECT cache FROM policy WHERE id = ?", (row["policy"],)) == cache
