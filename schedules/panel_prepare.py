"""Weights laid out in panels, once, when they are loaded."""

from __future__ import annotations

from typing import Any

from schedules.panel_plan import Plan
from schedules.panel_product import Shapes


def prepare(plan: Plan) -> Any:
    """``prepare(W, [SW], WP, [SP], [FIRST])``: the weights in panels, zeros beyond their ends."""
    from tvm import tirx
    from tvm.script.ir_builder import IRBuilder
    from tvm.script.ir_builder import tirx as T

    p, f = plan.product, plan.format
    shapes = p.shapes()
    given: Shapes = {name: kind for name, kind in shapes.items() if name in p.laid_out}
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name("prepare")
        T.func_attr({"tirx.noalias": True})
        arrays = arguments(given)
        made = arguments(plan.packed())
        w, wp = arrays["W"], made["WP"]
        with T.sblock("root"), T.parallel(0, p.sets * plan.width) as loop, T.sblock("panel"):
            number = T.axis.spatial(p.sets * plan.width, loop)
            T.reads(*(whole(array) for array in arrays.values()))
            T.writes(*(whole(array) for array in made.values()))
            own, panel = number // plan.width, number % plan.width
            size = (plan.units, plan.vectors, f.quarters, f.halves, f.lanes // f.quarters, f.together)
            with T.grid(*size) as (u, v, q, h, lane, b):
                j = panel * plan.columns + v * f.lanes + q * (f.lanes // f.quarters) + lane
                e = u * f.elements + h * f.together + b
                at = (*p.weights(own), tirx.min(j, p.n - 1), tirx.min(e, p.width - 1))
                element = w[at]
                if p.stored != f.stored:
                    element = tirx.reinterpret(f.stored, element)
                value = tirx.Select(tirx.And(j < p.n, e < p.width), element, tirx.const(0, f.stored))
                T.buffer_store(wp, value, [own, panel, u, v, q, h, lane, b])
            if p.right:
                sw, sp = arrays["SW"], made["SP"]
                count = -(-p.k // p.group)
                with T.grid(plan.scales, plan.columns) as (g, c):
                    j = tirx.min(panel * plan.columns + c, p.n - 1) // p.right.rows
                    at = (*p.weights(own), j, tirx.min(g, count - 1))
                    T.buffer_store(sp, sw[at], [own, panel, g, c])
            if f.offset:
                _first(plan, w, made["FIRST"], own, panel)
    return builder.get()


def _first(plan: Plan, w: Any, first: Any, own: Any, panel: Any) -> None:
    """What the sums of a block of k start at, where activations are stored with ``offset`` added to them."""
    from tvm import tirx
    from tvm.script.ir_builder import tirx as T

    p, zero = plan.product, tirx.const(0, "int32")
    with T.grid(plan.blocks, plan.columns) as (block, c):
        place, j = [own, panel, block, c], panel * plan.columns + c
        T.buffer_store(first, zero, place)
        with T.serial(0, plan.block) as e:
            k = block * plan.block + e
            at = (*p.weights(own), tirx.min(j, p.n - 1), tirx.min(k, p.k - 1))
            value = tirx.Select(tirx.And(j < p.n, k < p.k), w[at].astype("int32") * plan.format.offset, zero)
            T.buffer_store(first, first[tuple(place)] - value, place)


def arguments(wanted: Shapes) -> dict[str, Any]:
    """The next arguments of the function that is being built, by name."""
    from tvm.script.ir_builder import tirx as T

    return {name: T.arg(name, T.buffer(shape, dtype)) for name, (shape, dtype) in wanted.items()}


def whole(array: Any) -> Any:
    """All of a buffer, as what a block reads or writes."""
    return array[tuple(slice(0, extent) for extent in array.shape)]
