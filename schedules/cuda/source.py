"""The CUDA C of a scheduled module and how its kernels are launched; neither a GPU nor nvcc is needed for that."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from schedules.cuda.launch import BOXES, CLUSTER, Box, Launch, Source
from schedules.workload import numpy_dtype
from targets import Target
from targets.errors import InputError

if TYPE_CHECKING:
    import tvm

# Loops that are to be unrolled stay loops with a pragma: the text is short, and nvcc unrolls them as well.
CONFIG = {"tirx.UnrollLoop": {"auto_max_step": 0, "explicit_unroll": False}}
# TVM keeps eight float32 in a ulonglong4, and makes one of eight numbers by a function that takes four.
EIGHT = """
static inline __device__ ulonglong4 make_ulonglong4(
    float a, float b, float c, float d, float e, float f, float g, float h) {
  float2 pairs[4] = {{a, b}, {c, d}, {e, f}, {g, h}};
  ulonglong4 made;
  memcpy(&made, pairs, sizeof(made));
  return made;
}
"""
# Where kernels begin; inner ones in CUDA C stand before.
KERNEL = 'extern "C" __global__'
# What a reduction over the threads of several warps gave, in shared memory, and changed there by every thread: TVM has
# numbers that are computed from a reduction's take its place, and only then puts it in shared memory.
RACE = re.compile(r"red_result_ptr\w*\)\[[^=\n]*\] = .*red_result_ptr")
# What one thread of a row, or of a warp, writes for others: these have to wait at a barrier before they read it. TVM
# has one at shared memory only, and not where every thread reads the element that it would have written.
ALONE = re.compile(r"if \(+\(int\)threadIdx\.[^\n]*== 0\) \{\n *(?:\(\(volatile \w+\*\))?(\w+)_ptr\)?\[")
SHARED = re.compile(r"__shared__ [^\n]*?(\w+)_ptr\[")
DYNAMIC_SHARED = "tirx.use_dyn_shared_memory"


def source(module: tvm.IRModule, target: Target) -> Source:
    """The CUDA C of a module of ``schedules.space.apply``.

    Raises:
        InputError: no loop is bound to threads, or threads would read or change what another one writes, with no
            barrier between.
        tvm.error.InternalError: TVM has no CUDA for something in it.
    """
    import tvm
    from tvm.tirx.build import split_host_device_mods

    bound = target.to_tvm().with_host(tvm.target.Target("llvm"))
    with tvm.transform.PassContext(config=CONFIG):
        lower, _, finish = tvm.tirx.get_tir_pipeline("s_tir")
        host, devices = split_host_device_mods(lower(tvm.tirx.transform.BindTarget(bound)(_folded(module))))
        texts = [
            tvm.get_global_func("target.build.cuda")(finish()(device), kind).inspect_source("cuda")
            for kind, device in devices.items()
        ]
    if len(texts) != 1:
        raise InputError(f"none of the program's loops is bound to threads: it has no kernel for {target.name}")
    launches = [_launch(call) for func in host.functions.values() for call in _calls(func)]
    if RACE.search(texts[0]):
        raise InputError("TVM would have all threads of a row change what they reduced where they share it")
    head, mark, code = texts[0].partition(f"{KERNEL} ")
    if unsure := hasty(code, {name for launch in launches for name in launch.arguments}):
        raise InputError(f"threads would read {unsure}, which one of them writes, with no barrier between")
    attributes = next(iter(module.functions.values())).attrs or {}
    if CLUSTER in attributes:
        boxes = tuple(Box(*box) for box in json.loads(str(attributes[BOXES])))
        launches = [replace(launch, boxes=boxes) for launch in launches]
        code = code.replace("main_kernel(", f"__cluster_dims__({int(attributes[CLUSTER])}, 1, 1) main_kernel(")
    scratch = {name: size for func in host.functions.values() for name, size in _scratch(func).items()}
    if both := scratch.keys() & {buffer.name for func in module.functions.values() for buffer in func.params}:
        raise InputError(f"{min(both)} is an argument of the program and of memory between its kernels")
    return Source(head + EIGHT + mark + code, tuple(launches), scratch)


def hasty(code: str, arguments: set[str]) -> str:
    """What threads read that one of them wrote, with no barrier between; empty if there is nothing.

    Args:
        code: kernels.
        arguments: names of their buffers.
    """
    seen = arguments | set(SHARED.findall(code))
    for wrote in ALONE.finditer(code):
        name, (_, _, after) = wrote[1], code[wrote.end() :].partition("\n")
        if name in seen and re.search(rf" = .*\b{name}_ptr\b", after.partition("__syncthreads();")[0]):
            return name
    return ""


def _folded(module: tvm.IRModule) -> tvm.IRModule:
    """The module with the bits of constants as constants: TVM's CUDA C takes their address, and they have none."""
    import tvm
    import tvm_ffi
    from tvm import ir, tirx

    def fold(call: Any) -> Any:
        if getattr(call.op, "name", "") != "tirx.reinterpret" or not isinstance(call.args[0], tirx.FloatImm):
            return call
        value, kind = call.args[0], str(call.ty)
        bits = np.array(float(value.value), numpy_dtype(str(value.ty))).view(numpy_dtype(kind))
        return tirx.const(bits.item(), kind)

    return tvm.IRModule(
        {var.name_hint: tvm_ffi.structural_map(func, (ir.Call, fold)) for var, func in module.functions_items()}
    )


def _calls(func: Any) -> list[Any]:
    """The kernel calls of a host function, in order."""
    import tvm_ffi
    from tvm import ir

    found: list[Any] = []

    def note(call: Any) -> None:
        if getattr(call.op, "name", "") == "tirx.call_ffi_kernel":
            found.append(call)

    tvm_ffi.structural_walk(func.body, (ir.Call, note))
    return found


def _scratch(func: Any) -> dict[str, int]:
    """What a host function allocates for its kernels, in bytes by name."""
    import tvm_ffi
    from tvm.tirx import AllocBuffer

    found: dict[str, int] = {}

    def note(made: Any) -> None:
        kind = numpy_dtype(str(made.buffer.dtype))
        found[made.buffer.name] = math.prod(int(n) for n in made.buffer.shape) * kind.itemsize

    tvm_ffi.structural_walk(func.body, (AllocBuffer, note))
    return found


def _launch(call: Any) -> Launch:
    """What a kernel call of the host says: its name, buffers, then a size for each tag."""
    tags = [str(tag) for tag in call.attrs.launch_params]
    count = len(call.args) - len(tags)
    names = tuple(argument.args[0].name for argument in call.args[1:count])
    sizes = dict(zip(tags, (int(value) for value in call.args[count:]), strict=True))
    grid, block = _extents(sizes, "blockIdx"), _extents(sizes, "threadIdx")
    return Launch(str(call.args[0].value), names, grid, block, sizes.get(DYNAMIC_SHARED, 0))


def _extents(sizes: Mapping[str, int], kind: str) -> tuple[int, int, int]:
    x, y, z = (sizes.get(f"{kind}.{axis}", 1) for axis in "xyz")
    return x, y, z
