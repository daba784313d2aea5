"""A database applied to programs by TVM alone: ``python plain_tvm.py FOLDER PROGRAMS.json``.

PROGRAMS is a list of programs, as TVM's JSON, with files of arrays: the inputs and the outputs that are right. Printed
for each is whether the database has a schedule for it, whether that runs in parallel, and how far its outputs are off.
"""

import json
import sys

import numpy as np
import tvm
from tvm.s_tir import meta_schedule as ms


def applied(database: ms.database.JSONDatabase, text: str, arrays: list[str]) -> dict[str, object]:
    """What becomes of one program."""
    target = tvm.target.Target({"kind": "llvm", "num-cores": 2})
    sch = database.query_schedule(tvm.IRModule({"main": tvm.ir.load_json(text)}), target, "main")
    if sch is None:
        return {"found": False}
    values = [np.load(path) for path in arrays]
    given = [tvm.runtime.tensor(value) for value in values[:-1]]
    out = tvm.runtime.empty(values[-1].shape, "float32")
    tvm.compile(sch.mod, target)["main"](*given, out)
    wrong = np.abs(out.numpy() - values[-1]).max() / np.abs(values[-1]).max()
    return {"found": True, "steps": len(sch.trace.insts), "wrong": float(wrong)}


if __name__ == "__main__":
    found = ms.database.JSONDatabase(work_dir=sys.argv[1], allow_missing=False)
    with open(sys.argv[2]) as file:
        print(json.dumps([applied(found, *one) for one in json.load(file)]))
    ours = ("headstart_runtime", "targets", "schedules", "tuning_db", "tuner", "cli")
    assert not [name for name in sys.modules if name.partition(".")[0] in ours]
