"""A program with thread bindings as one without: what a GPU would compute, for a CPU to check.

At the level of blocks a program means what it means with every loop in order: each block says what it reads and writes,
and threads only divide its loops. So loops that are bound to threads become serial ones, memory of threads and of
thread blocks becomes plain memory, and annotations for the lowering to a GPU go. What a thread block computes does not
depend on the others, so a check of a large program may run a few of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from schedules.cuda.launch import PLAIN

if TYPE_CHECKING:
    import tvm
    from tvm.tirx import PrimFunc


def serial(module: tvm.IRModule, blocks: int = 0) -> tvm.IRModule:
    """The same module without bindings.

    Args:
        module: with loops bound to threads, all its computation in terms that a CPU has; or with inner kernels in CUDA
            C, and then its plain form is taken (``PLAIN``).
        blocks: how many of the thread blocks along each axis are kept, evenly spread, the last one among them;
            0 for all. Outputs of the others are not written.
    """
    import tvm

    return tvm.IRModule({var.name_hint: _serial(func, blocks) for var, func in plain(module).functions_items()})


def plain(module: tvm.IRModule) -> tvm.IRModule:
    """A scheduled module in terms that a CPU has as well, with its thread bindings."""
    found: tvm.IRModule = (module.attrs or {}).get(PLAIN, module)
    return found


def _serial(func: PrimFunc, blocks: int) -> PrimFunc:
    import tvm_ffi
    from tvm.ir import Var
    from tvm.s_tir import SBlock
    from tvm.tirx import For

    owned: list[Any] = []
    tvm_ffi.structural_walk(func, (SBlock, lambda block: owned.extend(block.alloc_buffers)))
    plain = {buffer: _plain(buffer) for buffer in owned}
    func = tvm_ffi.structural_map(func, (Var, lambda var: plain.get(var, var)))
    return tvm_ffi.structural_map(func, [(For, lambda loop: _loop(loop, blocks)), (SBlock, _bare)])


def _plain(buffer: Any) -> Any:
    from tvm.tirx import decl_buffer

    return decl_buffer(buffer.ty.shape, buffer.ty.dtype, buffer.name)


def _bare(block: Any) -> Any:
    """A block without annotations."""
    from tvm.s_tir import SBlock

    return SBlock(
        block.iter_vars,
        block.reads,
        block.writes,
        block.name_hint,
        block.body,
        block.init,
        block.alloc_buffers,
        block.match_buffers,
        {},
    )


def _loop(loop: Any, blocks: int) -> Any:
    """A serial loop, over some values only where it is one over thread blocks."""
    import tvm_ffi
    from tvm.tirx import For, ForKind

    extent, body = int(loop.extent), loop.body
    tag = loop.thread_binding.thread_tag if loop.thread_binding is not None else ""
    if blocks and extent > blocks and tag.startswith("blockIdx"):
        step = (extent - 1) // max(blocks - 1, 1)
        first = extent - 1 - step * (blocks - 1)
        var = loop.loop_var
        body = tvm_ffi.structural_map(body, (type(var), lambda seen: var * step + first if seen.same_as(var) else seen))
        extent = blocks
    return For(loop.loop_var, 0, extent, ForKind.SERIAL, body)
