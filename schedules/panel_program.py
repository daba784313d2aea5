"""The program of a panel schedule: lay the weights out (once), then tiles of the product.

Activations are first copied so that the rows of a tile lie together along k, decoded where they are codes. Then each
task has some tiles of rows and some panels of columns, and sums of its own in float32, which it adds to block of k by
block of k and writes out at the end. The inner kernel is ``schedules/panel_tile.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from schedules.panel_plan import DECODE, LAST, TILE, Plan
from schedules.panel_prepare import arguments, whole
from schedules.panel_prepare import prepare as laid_out

if TYPE_CHECKING:
    import tvm

# Activations up to which copying them in several threads would cost more than it saves.
SERIAL = 1 << 14


def program(plan: Plan) -> tvm.IRModule:
    """The module of a plan: ``main`` and ``prepare``."""
    import tvm

    return tvm.IRModule({"main": _main(plan), "prepare": laid_out(plan)})


def _main(plan: Plan) -> Any:
    from tvm.script.ir_builder import IRBuilder
    from tvm.script.ir_builder import tirx as T

    p = plan.product
    shapes = p.shapes()
    output = shapes.pop("C")
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name("main")
        T.func_attr({"tirx.noalias": True})
        given = arguments({name: kind for name, kind in shapes.items() if name not in p.laid_out})
        given |= arguments(plan.packed())
        c = T.arg("C", T.buffer(*output))
        with T.sblock("root"):
            rows = _pack_rows(plan, given)
            if plan.split == 1:
                _tasks(plan, given, rows, lambda at, sums: _write(plan, given, c, at, lambda i, j: sums[i, j]))
            else:
                _split(plan, given, rows, c)
    return builder.get()


def _pack_rows(plan: Plan, given: Mapping[str, Any]) -> dict[str, Any]:
    """Copy the activations to ``[tile, step, row, part]`` in the type that products take."""
    from tvm import tirx
    from tvm.script.ir_builder import tirx as T

    p, f = plan.product, plan.format
    a, kind = given["A"], f.activation
    packed = T.sblock_alloc_buffer((p.groups * plan.height, plan.steps, plan.mr, f.parts), kind)
    found = {"AP": packed}
    if plan.scaled_rows:
        found["SAP"] = T.sblock_alloc_buffer((p.groups * plan.height, plan.scales, plan.mr), "float32")
    loop = T.serial if p.groups * p.rows * p.k <= SERIAL else T.parallel

    def source(tile: Any, i: Any) -> list[Any]:
        row = p.row(tile // plan.height, tirx.min(tile % plan.height * plan.mr + i, p.rows - 1))
        return [tirx.min(row[0], p.total - 1)] if p.order == "flat" else row

    with loop(0, p.groups * plan.height) as tile, T.sblock("rows"):
        t = T.axis.spatial(p.groups * plan.height, tile)
        T.reads(*(whole(given[name]) for name in ("A", "SA") if name in given))
        T.writes(*(whole(array) for array in found.values()))
        with T.grid(plan.mr, plan.units, f.steps, f.parts) as (i, u, s, b):
            k = u * f.depth + f.column(s, b)
            inside = k < p.k
            at = tirx.min(k, p.k - 1)
            row = source(t, i)
            cell = (*row, at)
            value = a[cell]
            if p.left:
                value = p.left.value(a, given["SA"], *row, at)
                if p.row_scales and not f.pairs:
                    block = (*row, at // p.left.columns)
                    value = value * given["SA"][block]
            if f.integer:
                value = (value.astype("int32") + f.offset).astype(kind)
            elif not f.pairs:
                value = value.astype("float32")
            elif p.left:
                # Exact: codes have few bits. (TVM computes with bfloat16 as float32 and could not reinterpret one.)
                bits = tirx.reinterpret("uint32", value) >> tirx.const(16, "uint32")
                value = bits.astype("uint16")
            else:
                value = tirx.reinterpret("uint16", value)
            if plan.units * f.depth != p.k:
                value = tirx.Select(inside, value, tirx.const(0, kind))
            T.buffer_store(packed, value, [t, u * f.steps + s, i, b])
        if plan.scaled_rows and p.left:
            wide = p.left.columns
            with T.grid(plan.mr, plan.scales) as (i, g):
                block = (*source(t, i), tirx.min(g * p.group // wide, -(-p.k // wide) - 1))
                T.buffer_store(found["SAP"], given["SA"][block], [t, g, i])
    return found


@dataclass(frozen=True)
class _Task:
    """Where a task is: its group, first tile of rows, first panel, part of k, and how many tiles and panels it has."""

    group: Any
    tile: Any
    panel: Any
    part: Any
    tiles: Any
    panels: Any


def _tasks(plan: Plan, given: Mapping[str, Any], rows: Mapping[str, Any], finish: Any) -> None:
    """The parallel loop over tasks; ``finish(task, sums)`` writes each one's sums."""
    from tvm import tirx
    from tvm.script.ir_builder import tirx as T

    p, f = plan.product, plan.format
    down, across = -(-plan.height // plan.tiles), -(-plan.width // plan.panels)
    count = p.groups * down * across * plan.split
    tall, wide = min(plan.tiles, plan.height) * plan.mr, plan.panels * plan.columns
    with T.parallel(0, count, annotations={"pragma_import_llvm": plan.text()}) as loop, T.sblock("task"):
        number = T.axis.spatial(count, loop)
        arrays = [array for name, array in given.items() if name != "A"]
        T.reads(*(whole(array) for array in (*arrays, *rows.values())))
        T.writes()
        part, rest = number % plan.split, number // plan.split
        inner = across if plan.rows_outer else down
        group, rest = rest // (down * across), rest % (down * across)
        i, j = (rest // inner, rest % inner) if plan.rows_outer else (rest % inner, rest // inner)
        task = _Task(
            group, i * plan.tiles, j * plan.panels, part,
            tirx.min(plan.tiles, plan.height - i * plan.tiles), tirx.min(plan.panels, plan.width - j * plan.panels),
        )  # fmt: skip
        sums = _zeros(tall, wide, f.lanes)
        # Room for the operands of a block of a panel, filled since TVM keeps of a buffer what it sees accessed.
        ahead = _zeros(*plan.scratch, f.lanes) if plan.ahead else None
        each = plan.blocks // plan.split
        with T.serial(0, each) as b, T.serial(0, task.panels) as x:
            if ahead is not None:
                _decode(plan, given, ahead, task, part * each + b, x)
            with T.serial(0, task.tiles) as y:
                _call(plan, given, rows, sums, ahead, task, part * each + b, x, y)
        finish(task, sums)


def _zeros(rows: int, columns: int, lanes: int) -> Any:
    """Memory of a task, whole vectors of float32, set to zero."""
    from tvm import tirx
    from tvm.script.ir_builder import tirx as T

    made = T.sblock_alloc_buffer((rows, columns), "float32", scope="local")
    with T.grid(rows, columns // lanes) as (y, x), T.vectorized(0, lanes) as lane:
        T.buffer_store(made, tirx.const(0.0, "float32"), [y, x * lanes + lane])
    return made


def _where_used(plan: Plan, given: Mapping[str, Any], task: _Task, y: Any, call: Callable[[], None]) -> None:
    """Call where tile ``y`` of the task has rows that are in use."""
    from tvm.script.ir_builder import tirx as T

    if plan.product.extra != "COUNT":
        call()
        return
    with T.If((task.tile + y) * plan.mr < given["COUNT"][task.group]), T.Then():
        call()


def _own(plan: Plan, given: Mapping[str, Any], task: _Task) -> Any:
    """Which set of weights a task has."""
    p = plan.product
    return given["EXPERT"][task.group] if p.extra == "EXPERT" else task.group if p.sets > 1 else 0


def _panel(plan: Plan, given: Mapping[str, Any], own: Any, panel: Any, b: Any) -> Any:
    """The address of block ``b`` of a panel."""
    from tvm.script.ir_builder import tirx as T

    place = (own, panel, b * (plan.block // plan.format.depth), 0, 0, 0, 0, 0)
    return T.address_of(given["WP"][place])


def _decode(plan: Plan, given: Mapping[str, Any], ahead: Any, task: _Task, b: Any, x: Any) -> None:
    """Decode block ``b`` of panel ``x`` of the task, where any of its rows are in use."""
    from tvm.script.ir_builder import tirx as T

    def call() -> None:
        packed = _panel(plan, given, _own(plan, given, task), task.panel + x, b)
        T.evaluate(T.call_extern("void", DECODE, packed, T.address_of(ahead[0, 0])))

    _where_used(plan, given, task, 0, call)


def _call(
    plan: Plan, given: Mapping[str, Any], rows: Mapping[str, Any], sums: Any, ahead: Any, task: _Task,
    b: Any, x: Any, y: Any,
) -> None:  # fmt: skip
    """One call of the inner kernel: block ``b`` of k, panel ``x`` and tile ``y`` of the task."""
    from tvm import tirx
    from tvm.script.ir_builder import tirx as T

    p, f = plan.product, plan.format
    units = plan.block // f.depth
    own = _own(plan, given, task)
    panel, tile = task.panel + x, task.group * plan.height + task.tile + y
    groups = plan.block // p.group if p.group else 0
    # The next panel at this block, after the last one the first panel at the next block: each tile asks for its share.
    ended = x + 1 >= task.panels
    then = tirx.Select(ended, task.panel, panel + 1), tirx.min(b + tirx.Select(ended, 1, 0), plan.blocks - 1)
    after = _panel(plan, given, own, *then)
    if plan.fetch:
        share = plan.tile(plan.mr).fetch
        after = tirx.call_intrin("handle", "tirx.handle_add_byte_offset", after, y * share)
    none = T.address_of(sums[0, 0])
    if p.group:
        beside = T.address_of(given["SP"][own, panel, b * groups, 0])
    else:
        beside = T.address_of(given["FIRST"][own, panel, b, 0]) if f.offset else none
    arguments = (
        T.address_of(rows["AP"][tile, b * units * f.steps, 0, 0]),
        _panel(plan, given, own, panel, b) if ahead is None else T.address_of(ahead[0, 0]),
        T.address_of(sums[y * plan.mr, x * plan.columns]),
        beside,
        T.address_of(rows["SAP"][tile, b * groups, 0]) if "SAP" in rows else none,
        after,
    )

    def call() -> None:
        if p.rows % plan.mr == 0:
            T.evaluate(T.call_extern("void", TILE, *arguments))
            return
        with T.If(task.tile + y < plan.height - 1):
            with T.Then():
                T.evaluate(T.call_extern("void", TILE, *arguments))
            with T.Else():
                T.evaluate(T.call_extern("void", LAST, *arguments))

    _where_used(plan, given, task, y, call)


def _write(plan: Plan, given: Mapping[str, Any], c: Any, task: _Task, value: Any) -> None:
    """Round the sums of a task and store those that are of rows and columns that there are."""
    from tvm import tirx
    from tvm.script.ir_builder import tirx as T

    p, lanes = plan.product, plan.format.lanes
    tall = min(plan.tiles, plan.height) * plan.mr
    with T.grid(tall, plan.panels * plan.vectors) as (y, x):
        i = task.tile * plan.mr + y
        j = task.panel * plan.columns + x * lanes
        row = p.row(task.group, i)
        there = i < p.rows if p.order != "flat" else tirx.And(i < p.rows, row[0] < p.total)

        def store(lane: Any) -> None:
            total = value(y, x * lanes + lane)
            if p.channels:
                column = (*p.weights(task.group), j + lane)
                total = total * (given["SA"][tuple(row)] * given["SW"][column])
            if p.extra == "COUNT":
                # Rows that are not in use are zeros, whatever their activations are.
                total = tirx.Select(i < given["COUNT"][task.group], total, tirx.const(0.0, "float32"))
            T.buffer_store(c, total.astype(p.out), [*row, j + lane])

        with T.If(tirx.And(there, j + lanes <= p.n)):
            with T.Then(), T.vectorized(0, lanes) as lane:
                store(lane)
            if p.n % lanes:
                with T.Else(), T.serial(0, lanes) as lane, T.If(tirx.And(there, j + lane < p.n)), T.Then():
                    store(lane)


def _split(plan: Plan, given: Mapping[str, Any], rows: Mapping[str, Any], c: Any) -> None:
    """Tasks that each have a part of k leave their sums in memory; others add them up."""
    from tvm.script.ir_builder import tirx as T

    p, lanes = plan.product, plan.format.lanes
    down, across = -(-plan.height // plan.tiles), -(-plan.width // plan.panels)
    tall, wide = min(plan.tiles, plan.height) * plan.mr, plan.panels * plan.columns
    partial = T.sblock_alloc_buffer((p.groups, down, across, plan.split, tall, wide), "float32")

    def where(task: _Task) -> tuple[Any, ...]:
        return task.group, task.tile // plan.tiles, task.panel // plan.panels

    def keep(task: _Task, sums: Any) -> None:
        with T.grid(tall, wide // lanes) as (y, x), T.vectorized(0, lanes) as lane:
            T.buffer_store(partial, sums[y, x * lanes + lane], [*where(task), task.part, y, x * lanes + lane])

    _tasks(plan, given, rows, keep)
    with T.parallel(0, p.groups * down * across) as loop, T.sblock("sum"):
        number = T.axis.spatial(p.groups * down * across, loop)
        T.reads(whole(partial))
        T.writes(whole(c))
        group, rest = number // (down * across), number % (down * across)
        task = _Task(group, rest // across * plan.tiles, rest % across * plan.panels, 0, 0, 0)

        def total(y: Any, x: Any) -> Any:
            places = [(*where(task), part, y, x) for part in range(plan.split)]
            parts = [partial[place] for place in places]
            return sum(parts[1:], parts[0])

        _write(plan, given, c, task, total)
