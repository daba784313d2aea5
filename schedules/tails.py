"""Reductions of a length that no vector divides, as two: whole vectors first, then the rest on top of their result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tvm.tirx import PrimFunc


def has_tails(func: PrimFunc, lanes: int) -> bool:
    """Whether a reduction of the function is longer than a vector and not a whole number of vectors."""
    return any(_length(nest, lanes) for nest in _nests(func))


def without_tails(func: PrimFunc, lanes: int) -> PrimFunc:
    """The same computation with each such reduction divided at the last multiple of ``lanes``.

    A stage ``Q`` becomes ``Q_whole`` over the whole vectors, and ``Q``, which starts from it and takes the rest.
    """
    from tvm import tirx
    from tvm.s_tir import SBlock, SBlockRealize

    nests, added = [], []
    for nest in _nests(func):
        length = _length(nest, lanes)
        if not length:
            nests.append(nest)
            continue
        whole = length // lanes * lanes
        block = _realize(nest).block
        (result,) = (region.source for region in block.writes)
        buffer = tirx.decl_buffer(result.shape, str(result.dtype), f"{result.name}_whole")
        added.append(buffer)
        nests += [_part(nest, 0, whole, {result: buffer}), _part(nest, whole, length - whole, {}, buffer)]
    root = func.body.block
    body = tirx.SeqStmt(nests) if len(nests) > 1 else nests[0]
    renewed = SBlock(
        root.iter_vars, root.reads, root.writes, root.name_hint, body, root.init, [*root.alloc_buffers, *added]
    )
    return func.with_body(SBlockRealize(func.body.iter_values, func.body.predicate, renewed))


def _nests(func: PrimFunc) -> list[Any]:
    """The statements of the root block."""
    from tvm import tirx
    from tvm.s_tir import SBlockRealize

    if not isinstance(func.body, SBlockRealize):
        return []
    body = func.body.block.body
    return list(body.seq) if isinstance(body, tirx.SeqStmt) else [body]


def _realize(nest: Any) -> Any:
    """The block at the heart of loops of which each holds nothing but the next; None where it is not so."""
    from tvm import tirx
    from tvm.s_tir import SBlockRealize

    while isinstance(nest, tirx.For):
        nest = nest.body
    return nest if isinstance(nest, SBlockRealize) else None


def _length(nest: Any, lanes: int) -> int:
    """The length of the nest's innermost loop where that alone is a reduced axis and has a tail; 0 otherwise."""
    from tvm import tirx

    realize = _realize(nest)
    inner = None
    while isinstance(nest, tirx.For):
        inner, nest = nest.loop_var, nest.body
    if realize is None or realize.block.init is None or len(realize.block.writes) != 1:
        return 0
    block = realize.block
    last = block.iter_vars[-1]
    if last.iter_type != tirx.IterVar.CommReduce or not isinstance(block.body, tirx.BufferStore):
        return 0
    if not realize.iter_values[-1].same_as(inner):
        return 0
    length = int(last.dom.extent)
    return length if length > lanes and length % lanes else 0


def _part(nest: Any, start: int, length: int, other: Mapping[Any, Any], before: Any = None) -> Any:
    """The reduction over ``length`` steps from ``start`` on, with variables of its own and buffers as ``other`` says.

    It starts from what ``before`` holds at the same place, if that is given.
    """
    import tvm_ffi
    from tvm import tirx
    from tvm.ir import Range, Var
    from tvm.s_tir import SBlock, SBlockRealize

    loops = []
    while isinstance(nest, tirx.For):
        loops.append(nest)
        nest = nest.body
    block, loop_vars = nest.block, {loop.loop_var: tirx.Var(loop.loop_var.name, "int32") for loop in loops}
    own = [tirx.Var(axis.var.name, "int32") for axis in block.iter_vars]
    uses = {axis.var: var for axis, var in zip(block.iter_vars, own, strict=True)}
    uses[block.iter_vars[-1].var] = own[-1] + start
    named: dict[Any, Any] = {**uses, **other}

    def renamed(node: Any, names: Mapping[Any, Any] = named) -> Any:
        return tvm_ffi.structural_map(node, (Var, lambda var: names.get(var, var)))

    extents = [int(axis.dom.extent) for axis in block.iter_vars[:-1]] + [length]
    init, reads = renamed(block.init), [renamed(region) for region in block.reads]
    if before is not None:
        init = tirx.BufferStore(init.buffer, tirx.BufferLoad(before, init.indices), init.indices)
        places = [Range.from_min_extent(index, 1) for index in init.indices]
        reads.append(tirx.BufferRegion(before, places))
    part = SBlock(
        [
            tirx.IterVar(Range(0, extent), var, axis.iter_type)
            for extent, var, axis in zip(extents, own, block.iter_vars, strict=True)
        ],
        reads,
        [renamed(region) for region in block.writes],
        block.name_hint if before is not None else f"{block.name_hint}_whole",
        renamed(block.body),
        init,
    )
    body: Any = SBlockRealize([renamed(value, loop_vars) for value in nest.iter_values], nest.predicate, part)
    for loop in reversed(loops):
        extent = length if loop is loops[-1] else loop.extent
        body = tirx.For(loop_vars[loop.loop_var], loop.min, extent, loop.kind, body)
    return body
