"""A small database as MetaSchedule makes one, by TVM alone: ``python stock_database.py FOLDER``.

The program is a matrix product and a maximum, whose blocks are called C and D. It runs nothing: times are made up.
"""

import sys

import tvm
from tvm import te
from tvm.s_tir import Schedule
from tvm.s_tir import meta_schedule as ms
from tvm.s_tir.schedule import Trace


def program(rows: int = 16) -> tvm.tirx.PrimFunc:
    """``max(A @ B, 0)``."""
    a, b = te.placeholder((rows, 64), name="A"), te.placeholder((64, 32), name="B")
    k = te.reduce_axis((0, 64), name="k")
    product = te.compute((rows, 32), lambda i, j: te.sum(a[i, k] * b[k, j], axis=k), name="C")
    zero = tvm.tirx.const(0.0, "float32")
    return te.create_prim_func([a, b, te.compute((rows, 32), lambda i, j: tvm.tirx.max(product[i, j], zero), name="D")])


def make(folder: str) -> None:
    """Write the database: a sketch of each kind with its choices made by chance, as its search begins."""
    module = tvm.IRModule({"main": program().with_attr("global_symbol", "main")})
    target = tvm.target.Target({"kind": "llvm", "num-cores": 2})
    rule, post = ms.schedule_rule, ms.postproc
    generator = ms.space_generator.PostOrderApply(
        sch_rules=[
            rule.AddRFactor(max_jobs_per_core=16, max_innermost_factor=64),
            rule.MultiLevelTiling(
                structure="SSRSRS",
                max_innermost_factor=64,
                reuse_write=rule.ReuseType(req="may", levels=[1, 2], scope="global"),
            ),
            rule.ParallelizeVectorizeUnroll(16, 64, [0, 16, 64], True),
            rule.RandomComputeLocation(),
        ],
        postprocs=[],
        mutator_probs={},
    )
    context = ms._ffi_api.TuneContext(module, target, generator, None, "main", 1, 1, lambda *message: None)
    ms._ffi_api.TuneContextInitialize(context)
    database = ms.database.JSONDatabase(work_dir=folder)
    workload = database.commit_workload(module)
    arguments = ms.arg_info.ArgInfo.from_prim_func(program())
    steps = (post.DisallowDynamicLoop(), post.RewriteParallelVectorizeUnroll(), post.RewriteReductionBlock())
    for number, sketch in enumerate(generator.generate_design_space(module), 1):
        sch = Schedule(module, seed=number)
        Trace(sketch.trace.insts, {}).apply_to_schedule(sch, remove_postproc=True)
        sch.enter_postproc()
        assert all(step.apply(sch) for step in steps)
        record = ms.database.TuningRecord(sch.trace, workload, [number * 1e-3], target, arguments)
        database.commit_tuning_record(record)
    ours = ("headstart_runtime", "targets", "schedules", "tuning_db", "tuner", "cli")
    assert not [name for name in sys.modules if name.partition(".")[0] in ours]


if __name__ == "__main__":
    make(sys.argv[1])
