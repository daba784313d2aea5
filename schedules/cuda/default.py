"""What TVM does with a program for a GPU without tuning: its own rules, dlight, the first that fits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schedules.workload import Workload
from targets import Target

if TYPE_CHECKING:
    import tvm


def default_module(workload: Workload, target: Target) -> tvm.IRModule:
    """The workload under the first of dlight's rules for GPUs that takes it; the last of them takes anything."""
    import tvm
    from tvm.s_tir import dlight

    gpu = dlight.gpu
    rules = (gpu.Matmul(), gpu.GEMV(), gpu.Reduction(), gpu.GeneralReduction(), gpu.Fallback())
    with target.to_tvm():
        return dlight.ApplyDefaultSchedule(*rules)(tvm.IRModule({"main": workload.prim_func}))
