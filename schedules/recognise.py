"""From any PrimFunc to a workload: is it something that can be tuned, and is it an operator that is known?"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np

from schedules import tvm_json
from schedules.canonical import canonical, index_limit
from schedules.canonical_expr import kind
from schedules.operator import Arrays, Tolerance, fill, operators
from schedules.workload import Argument, Workload, numpy_dtype
from targets.errors import InputError

if TYPE_CHECKING:
    from tvm import tirx


def workload_of(func: tirx.PrimFunc, outputs: int | None = None, label: str = "") -> Workload:
    """The workload of a PrimFunc: an operator of ours where one computes the same thing, else ``primfunc``.

    Args:
        func: static shapes, buffers only, nothing scheduled yet; inputs first, outputs last.
        outputs: how many arguments are outputs; found out where it is not given.
        label: for people, where no operator matches.

    Raises:
        InputError: it cannot be tuned; the message says why.
    """
    func = _plain(func)
    text = canonical(func)
    outputs = _outputs(func, text, outputs)
    signature = [(tuple(int(extent) for extent in buffer.shape), str(buffer.dtype)) for buffer in func.params]
    for operator in operators().values():
        for candidate in operator.match(signature):
            known = Workload.of(candidate)
            if known.canonical == text:
                return known
    import tvm

    return Workload("primfunc", {"ir": tvm.ir.save_json(func), "outputs": outputs}, label, func, outputs)


def load_prim_func(params: Mapping[str, Any], label: str) -> Workload:
    """The workload that ``workload_of`` stored as ``primfunc``.

    The program passes the same checks again, since it may come from somebody else.

    Raises:
        InputError: not such parameters, or a program that cannot be tuned.
    """

    if set(params) != {"ir", "outputs"} or not isinstance(params["ir"], str) or not isinstance(params["outputs"], int):
        raise InputError("a primfunc workload takes ir (text) and outputs (a number)")
    try:
        func = tvm_json.load(params["ir"])
    except InputError as error:
        raise InputError(f"the ir of a primfunc workload cannot be read: {error}") from None
    return safely(func, params["outputs"], label)


def safely(func: Any, outputs: int | None = None, label: str = "") -> Workload:
    """``workload_of`` for what a stranger wrote, of which TVM may say no in many types of error.

    Raises:
        InputError: as ``workload_of``, and for those.
    """
    try:
        return workload_of(func, outputs, label)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"the program cannot be taken: {_first_line(error)}") from None


def count_flops(func: tirx.PrimFunc) -> int:
    """Arithmetic operations of one call, as TVM counts them: one for each operation on numbers that are not indices.

    A function such as an exponential counts as nothing.
    """
    import tvm
    from tvm.s_tir.analysis import estimate_tir_flops

    return int(estimate_tir_flops(tvm.IRModule({"main": func})))


def random_inputs(func: tirx.PrimFunc, arguments: Sequence[Argument], rng: np.random.Generator) -> Arrays:
    """Random inputs: normal floats, fair booleans, and integers that are safe where they are used as an index."""
    limit = index_limit(func)
    return [_random(argument, limit, rng) for argument in arguments]


def _random(argument: Argument, limit: int, rng: np.random.Generator) -> np.ndarray:
    dtype = numpy_dtype(argument.dtype)
    if dtype == np.bool_:
        return rng.integers(0, 2, argument.shape).astype(dtype)
    if np.issubdtype(dtype, np.integer):
        return rng.integers(0, min(limit, np.iinfo(dtype).max + 1), argument.shape).astype(dtype)
    return fill(rng, argument.shape, dtype)


def default_tolerance(dtype: str) -> Tolerance:
    """The tolerance of an output that is only known by its dtype, against the unscheduled build of the same program.

    Sums in another order differ by a few ulps of the largest partial sum, and a rounding may fall to either side.
    Integers, booleans included, must be equal.
    """
    if not dtype.lstrip("b").startswith("float"):
        return Tolerance(0.0, 0.0)
    ulp = float(ml_dtypes.finfo(numpy_dtype(dtype)).eps)
    return Tolerance(max(ulp, 1e-5), min(max(4 * ulp, 1e-4), 1e-3))


def _plain(func: Any) -> tirx.PrimFunc:
    """The function without attributes and annotations, which may carry orders to the compiler, and blocks numbered.

    A trace finds blocks by name, so functions with one id should not differ in them.

    Raises:
        InputError: TVM cannot schedule it.
    """
    import tvm
    from tvm.s_tir import Schedule

    if not isinstance(func, tvm.tirx.PrimFunc):
        raise InputError(f"not a PrimFunc but {type(func).__name__}")
    if kind(func.body) != "SBlockRealize" or func.body.block.iter_vars:
        raise InputError("a program is scheduled through its blocks, and this one has no block around it")
    canonical(func)
    attrs = tvm.ir.make_node("ir.DictAttrs", **{"global_symbol": "main", "s_tir": True, "tirx.noalias": True})
    plain = tvm.tirx.PrimFunc(func.params, _bare(func.body, itertools.count()), attrs=attrs)
    try:
        Schedule(tvm.IRModule({"main": plain}))
    except Exception as error:  # TVM raises errors of many classes
        raise InputError(f"TVM cannot schedule this program: {_first_line(error)}") from None
    return plain


def _bare(node: Any, numbers: Iterator[int]) -> Any:
    """A statement without annotations, its blocks named ``root``, ``block1``, ``block2`` in order.

    Raises:
        InputError: a loop is scheduled already.
    """
    from tvm.s_tir import SBlock, SBlockRealize
    from tvm.tirx import For, IfThenElse, SeqStmt

    match kind(node):
        case "SeqStmt":
            return SeqStmt([_bare(part, numbers) for part in node.seq])
        case "IfThenElse":
            otherwise = None if node.else_case is None else _bare(node.else_case, numbers)
            return IfThenElse(node.condition, _bare(node.then_case, numbers), otherwise)
        case "For":
            if int(node.kind) != 0:
                raise InputError("the program is scheduled already: a loop is parallel, vectorised or unrolled")
            return For(node.loop_var, node.min, node.extent, node.kind, _bare(node.body, numbers))
        case "SBlockRealize":
            block, number = node.block, next(numbers)
            init = None if block.init is None else _bare(block.init, numbers)
            name, body = f"block{number}" if number else "root", _bare(block.body, numbers)
            bare = SBlock(block.iter_vars, block.reads, block.writes, name, body, init, block.alloc_buffers)
            return SBlockRealize(node.iter_values, node.predicate, bare)
    return node


def _outputs(func: tirx.PrimFunc, text: str, expected: int | None) -> int:
    """How many arguments are outputs, from the canonical text, where argument ``i`` is ``b<i>``.

    Raises:
        InputError: none, one before an input, one that is read before it is written, or another number than expected.
    """
    written: set[str] = set()
    early: set[str] = set()
    for target, rest in re.findall(r"^ *(?:(b\d+)\[[^=]*\] =)?(.*)$", text, re.MULTILINE):
        early |= set(re.findall(r"\b(b\d+)\[", rest)) - written
        written |= {target}
    is_output = [f"b{at}" in written for at in range(len(func.params))]
    outputs = sum(is_output)
    if not outputs:
        raise InputError("the program writes none of its arguments")
    if not all(is_output[-outputs:]):
        name = func.params[is_output.index(True)].name
        raise InputError(f"argument {name} is written and stands before one that is not: outputs go last")
    for at, buffer in enumerate(func.params):
        if is_output[at] and f"b{at}" in early:
            raise InputError(f"argument {buffer.name} is read before it is written, so it is not an output")
    if expected is not None and expected != outputs:
        raise InputError(f"the program has {outputs} outputs, not {expected}")
    return outputs


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1] if lines else 'no reason given'}"[:300]
