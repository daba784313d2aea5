"""Small tensor programs of many kinds, as they come out of importers, for tests of spaces that take any PrimFunc."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from schedules.workload import Workload, numpy_dtype
from targets import Target

# For what is only to be right: LLVM takes a fraction of the time where it is not to optimise.
UNOPTIMISED = Target("unoptimised", "any", "any", {"kind": "llvm", "opt-level": 0}, 1, 128)
ZEN4 = Target("zen4", "AMD", "EPYC 9004", {"kind": "llvm", "mcpu": "znver4", "num-cores": 2}, 2, 512)


def host() -> Target:
    """The chip the tests run on, without naming its features: eight lanes, two cores."""
    import tvm

    return Target("test", "any", "any", {"kind": "llvm", "mcpu": tvm.target.codegen.llvm_get_system_cpu()}, 2, 256)


def _te() -> Any:
    from tvm import te

    return te


def matmul_bias_gelu(m: int, n: int, k: int) -> Any:
    """``gelu(A W^T + b)`` as one fused function."""
    from tvm import te, tirx

    a, w, b = te.placeholder((m, k), name="A"), te.placeholder((n, k), name="W"), te.placeholder((n,), name="B")
    r = te.reduce_axis((0, k), "k")
    c = te.compute((m, n), lambda i, j: te.sum(a[i, r] * w[j, r], axis=r), name="C")
    d = te.compute((m, n), lambda i, j: c[i, j] + b[j], name="D")
    e = te.compute((m, n), lambda i, j: d[i, j] * 0.5 * (1.0 + tirx.erf(d[i, j] * 0.70710678)), name="E")
    return te.create_prim_func([a, w, b, e])


def matmul_plain(m: int, n: int, k: int) -> Any:
    """``A B``, the second operand contiguous along the output's columns."""
    te = _te()
    a, b = te.placeholder((m, k), name="A"), te.placeholder((k, n), name="B")
    r = te.reduce_axis((0, k), "k")
    c = te.compute((m, n), lambda i, j: te.sum(a[i, r] * b[r, j], axis=r), name="C")
    return te.create_prim_func([a, b, c])


def chain(rows: int, columns: int) -> Any:
    """Four elementwise steps."""
    from tvm import te, tirx

    x = te.placeholder((rows, columns), name="X")
    y = te.compute(x.shape, lambda i, j: x[i, j] * 2.0 + 1.0)
    z = te.compute(x.shape, lambda i, j: tirx.max(y[i, j], 0.0))
    u = te.compute(x.shape, lambda i, j: tirx.exp(0.0 - z[i, j]))
    v = te.compute(x.shape, lambda i, j: u[i, j] * x[i, j])
    return te.create_prim_func([x, v])


def softmax(rows: int, columns: int) -> Any:
    """Row-wise softmax in four blocks."""
    from tvm import te, topi

    x = te.placeholder((rows, columns), name="X")
    return te.create_prim_func([x, topi.nn.softmax(x)])


def conv2d(channels: int, size: int, filters: int, stride: int, layout: str) -> Any:
    """3x3 convolution with padding and a ReLU."""
    from tvm import te, topi

    if layout == "NCHW":
        x, w = te.placeholder((1, channels, size, size), name="X"), te.placeholder((filters, channels, 3, 3), name="W")
    else:
        x, w = te.placeholder((1, size, size, channels), name="X"), te.placeholder((3, 3, channels, filters), name="W")
    y = topi.nn.conv2d(x, w, stride, 1, 1, layout, "OIHW" if layout == "NCHW" else "HWIO", "float32")
    return te.create_prim_func([x, w, topi.nn.relu(y)])


def pool(size: int) -> Any:
    """Max pooling 3x3, stride 2, padded."""
    from tvm import te, topi

    x = te.placeholder((1, 5, size, size), name="X")
    return te.create_prim_func([x, topi.nn.pool2d(x, [3, 3], [2, 2], [1, 1], [1, 1, 1, 1], "max")])


def total(size: int) -> Any:
    """The sum of everything, a 0-d output."""
    from tvm import te, topi

    x = te.placeholder((3, size), name="X")
    return te.create_prim_func([x, topi.sum(x)])


def columns_sum(rows: int, columns: int) -> Any:
    """Sum over the first axis."""
    from tvm import te, topi

    x = te.placeholder((rows, columns), name="X")
    return te.create_prim_func([x, topi.sum(x, axis=0)])


def row_statistics(rows: int, columns: int) -> Any:
    """Two outputs, sum and maximum of each row, and a third that uses both."""
    te = _te()
    from tvm import topi

    x = te.placeholder((rows, columns), name="X")
    s, m = topi.sum(x, axis=1), topi.max(x, axis=1)
    y = te.compute(x.shape, lambda i, j: x[i, j] * s[i] - m[i], name="Y")
    return te.create_prim_func([x, s, m, y])


def argmax(rows: int, columns: int) -> Any:
    """A reduction of pairs; the index is the output."""
    from tvm import te, topi

    x = te.placeholder((rows, columns), name="X")
    return te.create_prim_func([x, topi.argmax(x, axis=1)])


def transpose(rows: int, columns: int) -> Any:
    """No axis is contiguous on both sides."""
    from tvm import te, topi

    x = te.placeholder((rows, columns), name="X")
    return te.create_prim_func([x, topi.transpose(x)])


def gather(rows: int, columns: int) -> Any:
    """Rows by index: addresses depend on data."""
    te = _te()
    x, at = te.placeholder((rows, columns), name="X"), te.placeholder((7,), "int32", name="I")
    return te.create_prim_func([x, at, te.compute((7, columns), lambda i, j: x[at[i], j], name="Y")])


def concatenate(rows: int, columns: int) -> Any:
    """Two inputs side by side."""
    from tvm import te, topi

    x, y = te.placeholder((rows, columns), name="X"), te.placeholder((rows, 3), name="Y")
    return te.create_prim_func([x, y, topi.concatenate([x, y], axis=1)])


def cumulative(size: int) -> Any:
    """A running sum in hand-written TIR: nothing may run in parallel or in another order."""
    from tvm.script import tirx as T

    @T.prim_func(s_tir=True)
    def func(x: T.Buffer((size,), "float32"), y: T.Buffer((size,), "float32")) -> None:
        for i in range(size):
            with T.sblock("Y"):
                v = T.axis.opaque(size, i)
                T.reads(x[v], y[0:size])
                T.writes(y[v])
                y[v] = x[v] + T.if_then_else(v > 0, y[T.max(v - 1, 0)], T.float32(0.0))

    return func


def own_memory(rows: int, columns: int) -> Any:
    """An elementwise stage, then a hand-written stage whose block has a buffer and loops of its own."""
    from tvm.script import tirx as T

    @T.prim_func(s_tir=True)
    def func(x: T.Buffer((rows, columns), "float32"), y: T.Buffer((rows,), "float32")) -> None:
        key = T.sblock_alloc_buffer((rows, columns), "float32")
        for i, j in T.grid(rows, columns):
            with T.sblock("KEY"):
                vi, vj = T.axis.remap("SS", [i, j])
                key[vi, vj] = T.exp(x[vi, vj])
        for i in range(rows):
            with T.sblock("Y"):
                v = T.axis.spatial(rows, i)
                T.reads(key[v, 0:columns])
                T.writes(y[v])
                most = T.sblock_alloc_buffer((1,), "float32", scope="local")
                most[0] = T.float32(0)
                for j in range(columns):
                    most[0] = most[0] * T.float32(0.5) + key[v, j]
                y[v] = most[0]

    return func


def bf16_dot(m: int, n: int, k: int) -> Any:
    """bfloat16 operands and result, float32 sum."""
    te = _te()
    a, w = te.placeholder((m, k), "bfloat16", "A"), te.placeholder((n, k), "bfloat16", "W")
    r = te.reduce_axis((0, k), "k")
    s = te.compute((m, n), lambda i, j: te.sum(a[i, r].astype("float32") * w[j, r].astype("float32"), axis=r))
    return te.create_prim_func([a, w, te.compute((m, n), lambda i, j: s[i, j].astype("bfloat16"))])


# name: (maker, how many of the arguments are outputs)
PROGRAMS: dict[str, tuple[Callable[[], Any], int]] = {
    "linear 64x128x256": (lambda: matmul_bias_gelu(64, 128, 256), 1),
    "linear primes": (lambda: matmul_bias_gelu(7, 37, 101), 1),
    "linear units": (lambda: matmul_bias_gelu(1, 1, 1), 1),
    "linear one row": (lambda: matmul_bias_gelu(1, 96, 160), 1),
    "matmul": (lambda: matmul_plain(33, 64, 48), 1),
    "matmul primes": (lambda: matmul_plain(13, 17, 29), 1),
    "chain": (lambda: chain(128, 192), 1),
    "chain primes": (lambda: chain(131, 197), 1),
    "chain one": (lambda: chain(1, 1), 1),
    "softmax": (lambda: softmax(16, 256), 1),
    "softmax primes": (lambda: softmax(5, 127), 1),
    "conv2d nchw": (lambda: conv2d(8, 16, 16, 1, "NCHW"), 1),
    "conv2d nchw stride": (lambda: conv2d(3, 15, 5, 2, "NCHW"), 1),
    "conv2d nhwc": (lambda: conv2d(8, 14, 32, 1, "NHWC"), 1),
    "max pool": (lambda: pool(17), 1),
    "total": (lambda: total(1024), 1),
    "total prime": (lambda: total(1021), 1),
    "columns": (lambda: columns_sum(64, 96), 1),
    "row statistics": (lambda: row_statistics(24, 160), 3),
    "argmax": (lambda: argmax(9, 64), 1),
    "transpose": (lambda: transpose(64, 48), 1),
    "gather": (lambda: gather(11, 80), 1),
    "concatenate": (lambda: concatenate(6, 64), 1),
    "cumulative": (lambda: cumulative(50), 1),
    "own memory": (lambda: own_memory(32, 48), 1),
    "bf16 dot": (lambda: bf16_dot(5, 24, 64), 1),
}


def workload(name: str) -> Workload:
    """A program as a workload, as the generic path makes one."""
    make, outputs = PROGRAMS[name]
    return Workload("primfunc", {}, name, make(), outputs)


def inputs(work: Workload) -> list[np.ndarray]:
    """Random inputs; integers are valid row indices."""
    rng = np.random.default_rng(0)
    arrays = []
    for argument in work.input_arguments:
        dtype = numpy_dtype(argument.dtype)
        drawn = rng.standard_normal(argument.shape) if dtype.kind != "i" else rng.integers(0, 7, argument.shape)
        arrays.append(np.asarray(drawn).astype(dtype))
    return arrays


def outputs(module: Any, work: Workload, target: Target, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """What a module computes, from poisoned outputs, as float64."""
    import tvm

    kernel = tvm.compile(module, target.to_tvm()).jit()["main"]
    empty = [np.full(a.shape, 77).astype(numpy_dtype(a.dtype)) for a in work.output_arguments]
    tensors = [tvm.runtime.tensor(array) for array in [*arrays, *empty]]
    kernel(*tensors)
    return [tensor.numpy().astype(np.float64) for tensor in tensors[len(arrays) :]]


@cache
def as_written(name: str) -> list[np.ndarray]:
    """What a program computes of its ``inputs`` without a schedule."""
    import tvm

    work = workload(name)
    unscheduled = tvm.IRModule({"main": work.prim_func.with_attr("global_symbol", "main")})
    return outputs(unscheduled, work, UNOPTIMISED, inputs(work))
