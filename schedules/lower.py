"""The program that is compiled: a schedule applied, the function named, its arguments allowed to lie anywhere.

A schedule may lay out weights anew. Its module then has a second function, which is called once, when weights are
loaded: it takes the inputs that the operator lists in ``weights``, in their order, and writes arrays of other shapes.
The first function takes the other inputs, then those arrays, then the outputs.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from schedules.schedule import Schedule
from schedules.space import apply
from schedules.workload import Argument, Workload, numpy_dtype
from targets import Target

if TYPE_CHECKING:
    import tvm
    from tvm.tirx import Buffer, PrimFunc

# Part of the toolchain: raise it when a change here, in ``fastmath`` or in ``intrinsics`` changes the code of schedules
# that were timed before.
VERSION = 1
# The largest number of an element that 32 bits hold.
MOST_32 = (1 << 31) - 1
# What the name of the function that lays out weights ends in.
PREPARE = "_prepare"


def lower(workload: Workload, schedule: Schedule, target: Target, name: str = "main") -> tvm.IRModule:
    """The module to compile: a function called ``name`` and, where weights are laid out, ``name`` + ``PREPARE``.

    Raises:
        InputError: the schedule does not fit the workload and target.
        tvm.s_tir.ScheduleError: TVM refused a step of it.
    """
    import tvm

    functions = {}
    applied = apply(workload, schedule, target)
    for found, func in applied.functions_items():
        called = name if found.name_hint == "main" else name + PREPARE
        # Arrays of a device start where its own allocator lets them.
        free = for_arrays(func, aligned=target.kind != "llvm")
        functions[called] = free.with_attr("global_symbol", called)
    return tvm.IRModule(functions, attrs=applied.attrs)


def prepared(workload: Workload, module: tvm.IRModule, name: str = "main") -> tuple[Argument, ...]:
    """The arrays that weights are laid out in, in order; none where ``module``, of ``lower``, leaves them alone."""
    if name + PREPARE not in [var.name_hint for var in module.get_global_vars()]:
        return ()
    made = module[name + PREPARE].params[len(workload.weights) :]
    return tuple(Argument(b.name, tuple(int(d) for d in b.shape), str(b.dtype)) for b in made)


def for_arrays(func: PrimFunc, aligned: bool = True) -> PrimFunc:
    """The same function for arguments of any size and, unless they are ``aligned``, aligned to their elements only.

    TVM numbers the elements of an array with what its extents are written in, and says nothing where 32 bits are too
    few. It promises LLVM that every argument starts at a multiple of 64 bytes, does not check it, and the vector loads
    made from that promise end the process on an array of numpy, which keeps to 16. Loads without the promise are as
    fast where the address happens to be a multiple of 64.
    """
    import tvm_ffi
    from tvm.ir import Var
    from tvm.s_tir import SBlock

    # TVM refuses to match a buffer of a stricter alignment inside an argument.
    matched: list[Buffer] = []
    tvm_ffi.structural_walk(func, (SBlock, lambda block: matched.extend(m.buffer for m in block.match_buffers)))
    buffers = [buffer for buffer in (*func.params, *matched) if not aligned or _is_large(buffer)]
    changed = {buffer: _declared(buffer, aligned) for buffer in buffers}
    return tvm_ffi.structural_map(func, (Var, lambda var: changed.get(var, var))) if changed else func


def _is_large(buffer: Buffer) -> bool:
    return math.prod(map(int, buffer.shape)) > MOST_32


def _declared(buffer: Buffer, aligned: bool) -> Buffer:
    from tvm.tirx import IntImm, decl_buffer

    kind = buffer.ty
    return decl_buffer(
        [IntImm("int64", int(extent)) for extent in kind.shape] if _is_large(buffer) else kind.shape,
        kind.dtype,
        buffer.name,
        strides=kind.strides,
        elem_offset=kind.elem_offset,
        scope=buffer.scope(),
        data_alignment=kind.data_alignment if aligned else numpy_dtype(str(buffer.dtype)).itemsize,
        offset_factor=kind.offset_factor,
        layout=kind.layout,
    )
