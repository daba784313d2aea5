"""A database applied to programs by TVM alone: ``python plain_tvm.py FOLDER PROGRAMS.json``.

PROGRAMS is a list of programs, as TVM's JSON or as the id of a workload that the database has a finished program for,
with files of arrays: the inputs, weights last, and the output that is right. Printed for each is whether the database
has a schedule for it, how many steps it takes, and how far its output is off.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tvm
from tvm.s_tir import meta_schedule as ms

TARGET = tvm.target.Target({"kind": "llvm", "num-cores": 2})


def applied(folder: Path, program: str, arrays: list[str]) -> dict[str, Any]:
    """What becomes of one program."""
    *inputs, right = (np.load(path) for path in arrays)
    given = [tvm.runtime.tensor(value) for value in inputs]
    out = tvm.runtime.empty(right.shape, "float32")
    if program.startswith("{"):
        database = ms.database.JSONDatabase(work_dir=str(folder), allow_missing=False)
        sch = database.query_schedule(tvm.IRModule({"main": tvm.ir.load_json(program)}), TARGET, "main")
        if sch is None:
            return {"found": False}
        module, steps = sch.mod, len(sch.trace.insts)
    else:
        files = (str(folder / f"program_{name}.json") for name in ("workload", "tuning_record"))
        database = ms.database.JSONDatabase(*files, allow_missing=False)
        modules = [record.workload.mod for record in database.get_all_tuning_records()]
        (module,) = (one for one in modules if str(one["main"].attrs["headstart.workload"]) == program)
        steps = 0
    lib = tvm.compile(module, TARGET)
    if "main_prepare" in [name.name_hint for name in module.get_global_vars()]:
        weight = given.pop()
        laid_out = module["main_prepare"].params[1:]
        made = [tvm.runtime.empty([int(size) for size in each.shape], str(each.dtype)) for each in laid_out]
        lib["main_prepare"](weight, *made)
        given += made
    lib["main"](*given, out)
    wrong = np.abs(out.numpy() - right).max() / np.abs(right).max()
    return {"found": True, "steps": steps, "wrong": float(wrong)}


if __name__ == "__main__":
    print(json.dumps([applied(Path(sys.argv[1]), *one) for one in json.loads(Path(sys.argv[2]).read_text())]))
    ours = ("headstart_runtime", "targets", "schedules", "tuning_db", "tuner", "cli")
    assert not [name for name in sys.modules if name.partition(".")[0] in ours]
