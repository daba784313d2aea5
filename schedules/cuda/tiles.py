"""How a product on tensor cores is divided into tiles, and the two forms of its program: for a GPU and in plain terms.

The loops over tiles and along k, and the places in shared memory, are the same in both. For the GPU, tiles are copied,
multiplied and finished by inner kernels in CUDA C; in the plain form that is written out element by element.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from schedules.cuda import bulk_text, tensor_text
from schedules.cuda.launch import BOXES, CLUSTER
from schedules.workload import Argument, numpy_dtype

# Rows of a tile that the barriers of places in shared memory take.
BARRIERS = 8


@dataclass(frozen=True)
class Tiles:
    """How a product ``S[i, j] = sum_k L[i, k] R[j, k]`` is divided.

    Attributes:
        m, n, k: its extents; ``n`` is a multiple of ``columns``, and a row along k one of 128 bytes.
        dtype: of both operands, ``bfloat16`` or ``float8_e4m3fn``.
        rows, columns: of a thread block's tile; 128 bytes along k are a step.
        down, across: warps along each side of the tile, where they are not in warpgroups.
        stages: steps that have a place in shared memory.
        group: tiles of rows that neighbouring blocks walk through before the next tile of columns.
        wgmma: products by warpgroups (1) or by warps (0).
        pending: products of warpgroups that may be under way while the next is started.
        bulk: thread blocks of a cluster whose tiles the tensor memory unit copies; 0 where threads copy them.
    """

    m: int
    n: int
    k: int
    dtype: str
    rows: int
    columns: int
    down: int
    across: int
    stages: int
    group: int
    wgmma: int
    pending: int
    bulk: int = 0

    @property
    def depth(self) -> int:
        """Elements along k of a step."""
        return tensor_text.ROW // numpy_dtype(self.dtype).itemsize

    @property
    def steps(self) -> int:
        """Steps along k."""
        return self.k // self.depth

    @property
    def height(self) -> int:
        """Tiles along the rows."""
        return -(-self.m // self.rows)

    @property
    def width(self) -> int:
        """Tiles along the columns."""
        return self.n // self.columns

    @property
    def blocks(self) -> int:
        """Thread blocks."""
        return self.height * self.width

    @property
    def ahead(self) -> int:
        """Steps whose tiles are being copied while one is multiplied; all of them where there is a place for each."""
        return self.steps if self.steps <= self.stages else self.stages - 1 - self.pending

    @property
    def warps(self) -> tuple[int, int]:
        """Warps along the rows and the columns of a tile."""
        return (self.rows // 16, 1) if self.wgmma else (self.down, self.across)

    @property
    def threads(self) -> int:
        """Threads of a block; a warpgroup more than multiplies where the tensor memory unit copies."""
        return 32 * math.prod(self.warps) + 128 * bool(self.bulk)

    @property
    def sums(self) -> int:
        """Sums of a thread."""
        return self.rows * self.columns // (32 * math.prod(self.warps))

    @property
    def pieces(self) -> int:
        """Registers of a thread for the parts of both operands that its warp multiplies at once; none by warpgroups."""
        down, across = self.warps
        return 0 if self.wgmma else 4 * (self.rows // down // 16) + 2 * (self.columns // across // 8)

    @property
    def copies(self) -> int:
        """Copies of 16 bytes that a thread makes in each step."""
        return 0 if self.bulk else -(-(self.rows + self.columns) * tensor_text.ROW // (16 * self.threads))

    def heavy(self, kinds: int) -> bool:
        """Whether threads that multiply need registers of those that copy; ``kinds`` of sums, 2 if a step has own."""
        return bool(self.bulk) and self.rows == 128 and self.sums * kinds > 96

    @property
    def shared(self) -> int:
        """Bytes of shared memory of a block."""
        return (self.stages * (self.rows + self.columns) + BARRIERS * bool(self.bulk)) * tensor_text.ROW

    def sizes(self) -> dict[str, int]:
        """What the inner kernels want to know, by the names of ``tensor_text.kernels``."""
        down, across = self.warps
        return {
            "M": self.m,
            "N": self.n,
            "ROWS": self.rows,
            "COLUMNS": self.columns,
            "STRIDE": self.steps * tensor_text.ROW,
            "STEPS": self.steps,
            "STAGES": self.stages,
            "AHEAD": self.ahead,
            "PENDING": self.pending,
            "THREADS": self.threads,
            "ACROSS": across,
            "MT": self.rows // down // 16,
            "NT": self.columns // across // 8,
            "WGMMA": self.wgmma,
        }

    def place(self, block: Any) -> tuple[Any, Any]:
        """First row and column of a block's tile: ``group`` tiles of rows take turns at each tile of columns."""
        from tvm import tirx

        span = self.group * self.width
        first = block // span * self.group
        size = tirx.min(self.height - first, self.group) if self.height % self.group else self.group
        return (first + block % span % size) * self.rows, block % span // size * self.columns


class TiledProduct(ABC):
    """A program around a product on tensor cores.

    Attributes:
        tiles: how it is divided.
        arguments: of the program.
    """

    left: str
    right: str
    """Names of the operands; their memory is that of ``L[m, k]`` and ``R[n, k]``."""

    def __init__(self, tiles: Tiles, arguments: Sequence[Argument]) -> None:
        self.tiles, self.arguments = tiles, arguments

    @abstractmethod
    def element(self, buffers: Mapping[str, Any], name: str, row: Any, k: Any) -> Any:
        """An element of an operand as it is stored."""

    def value(self, element: Any) -> Any:
        """What a stored element stands for, in float32."""
        from schedules.low_bit import decode_e4m3

        return decode_e4m3(element) if self.tiles.dtype == "float8_e4m3fn" else element.astype("float32")

    def factors(self, buffers: Mapping[str, Any], row: Any, column: Any, step: Any) -> list[Any]:
        """What products of a step are multiplied by as well."""
        return []

    @abstractmethod
    def finish(self, buffers: Mapping[str, Any], sums: Any, row: Any, column: Any) -> None:
        """Write the outputs of a tile in plain terms."""

    @property
    def text(self) -> str:
        """CUDA C of further inner kernels, after those of ``tensor_text.kernels``."""
        return ""

    def multiply(self, buffers: Mapping[str, Any], sums: Any, tiles: Any, at: Sequence[Any]) -> tuple[Any, ...]:
        """The inner kernel that multiplies the tiles of a step, and its arguments.

        Args:
            buffers: arguments by name.
            sums: of a thread.
            tiles: in shared memory.
            at: row, column, step and thread.
        """
        return "hs_product", sums.data, tiles.data, at[2], at[3]

    @abstractmethod
    def store(self, buffers: Mapping[str, Any], sums: Any, at: Sequence[Any]) -> tuple[Any, ...]:
        """The inner kernel that writes the outputs of a tile, and its arguments; ``at``: row, column and thread."""

    def plain(self) -> Any:
        """The program in plain terms, with thread blocks and without threads."""
        from tvm import tirx
        from tvm.script.ir_builder import tirx as T

        t = self.tiles
        with (
            self._function() as (builder, buffers),
            T.thread_binding(0, t.blocks, thread="blockIdx.x") as block,
            T.sblock("tile"),
        ):
            at = T.axis.spatial(t.blocks, block)
            self._touches(buffers)
            row, column = t.place(at)
            # Values and not codes: TVM computes with few-bit floats in float32 and could not keep their bits.
            tiles = T.sblock_alloc_buffer((t.stages, t.rows + t.columns, t.depth), "float32", scope="shared")
            sums = T.sblock_alloc_buffer((t.rows, t.columns), "float32", scope="local")

            def fetch(step: Any) -> None:
                slot = step % t.stages
                with T.grid(t.rows, t.depth) as (i, c):
                    inside = tirx.min(row + i, t.m - 1)
                    value = self.element(buffers, self.left, inside, step * t.depth + c)
                    T.buffer_store(tiles, self.value(value), [slot, i, c])
                with T.grid(t.columns, t.depth) as (j, c):
                    value = self.element(buffers, self.right, column + j, step * t.depth + c)
                    T.buffer_store(tiles, self.value(value), [slot, t.rows + j, c])

            with T.grid(t.rows, t.columns) as (i, j):
                T.buffer_store(sums, tirx.const(0, "float32"), [i, j])
            with T.serial(0, min(t.ahead, t.steps)) as step:
                fetch(step)
            with T.serial(0, t.steps) as step:
                if t.ahead < t.steps:
                    with T.If(step < t.steps - t.ahead), T.Then():
                        fetch(step + t.ahead)
                with T.grid(t.rows, t.depth, t.columns) as (i, c, j):
                    slot = step % t.stages
                    product = tiles[slot, i, c] * tiles[slot, t.rows + j, c]
                    for factor in self.factors(buffers, tirx.min(row + i, t.m - 1), column + j, step):
                        product = product * factor
                    T.buffer_store(sums, sums[i, j] + product, [i, j])
            self.finish(buffers, sums, row, column)
        return builder.get()

    def device(self) -> Any:
        """The program for a GPU."""
        from tvm import tirx
        from tvm.backend.cuda.op import cuda_func_call
        from tvm.script.ir_builder import tirx as T

        t = self.tiles
        if t.bulk:
            return self._bulk()
        code = tensor_text.kernels(t.sizes(), t.dtype) + self.text

        def call(name: str, *arguments: Any) -> None:
            # The text of all functions goes with the first, which every program calls before the others.
            T.evaluate(cuda_func_call(name, *arguments, source_code=code if name == "hs_fetch" else ""))

        with (
            self._function() as (builder, buffers),
            T.thread_binding(0, t.blocks, thread="blockIdx.x") as block,
            T.thread_binding(0, t.threads, thread="threadIdx.x") as lane,
            T.sblock("tile"),
        ):
            at, thread = T.axis.spatial(t.blocks, block), T.axis.spatial(t.threads, lane)
            self._touches(buffers)
            row, column = t.place(at)
            tiles = T.sblock_alloc_buffer((t.stages, t.rows + t.columns, t.depth), t.dtype, scope="shared.dyn")
            sums = T.sblock_alloc_buffer((t.sums,), "float32", scope="local")
            operands = (tiles.data, buffers[self.left].data, buffers[self.right].data, row, column)
            with T.unroll(0, t.sums) as i:
                T.buffer_store(sums, tirx.const(0, "float32"), [i])
            with T.unroll(0, t.ahead) as step:
                call("hs_fetch", *operands, step, thread)
            with T.serial(0, t.steps) as step:
                call("hs_arrived")
                call("hs_fetch", *operands, step + t.ahead, thread)
                call(*self.multiply(buffers, sums, tiles, (row, column, step, thread)))
            call(*self.store(buffers, sums, (row, column, thread)))
        return builder.get()

    def _bulk(self) -> Any:
        """The program for a GPU whose tensor memory unit copies the tiles: one inner kernel does all of a tile."""
        from tvm.backend.cuda.op import cuda_func_call
        from tvm.script.ir_builder import tirx as T

        t = self.tiles
        takes = [f"const float* {name}" for name in self.streamed]
        text = bulk_text.stream(t.bulk, t.heavy(1 + bool(takes)), takes, self.streaming)
        code = tensor_text.kernels(t.sizes(), t.dtype) + self.text + text
        size = t.steps * tensor_text.ROW
        boxes = [(self.left, size, t.m, t.rows), (self.right, size, t.n, t.columns // t.bulk)]
        with (
            _Function(self.arguments, {BOXES: json.dumps(boxes), CLUSTER: t.bulk}) as (builder, buffers),
            T.thread_binding(0, t.blocks, thread="blockIdx.x") as block,
            T.thread_binding(0, t.threads, thread="threadIdx.x") as lane,
            T.sblock("tile"),
        ):
            at, thread = T.axis.spatial(t.blocks, block), T.axis.spatial(t.threads, lane)
            self._touches(buffers)
            rows = t.stages * (t.rows + t.columns) + BARRIERS
            tiles = T.sblock_alloc_buffer((rows, t.depth), t.dtype, scope="shared.dyn")
            given = [buffers[name].data for name in (self.arguments[-1].name, *self.streamed)]
            given.insert(1, tiles.data)
            T.evaluate(cuda_func_call("hs_stream", *given, *t.place(at), thread, source_code=code))
        return builder.get()

    streamed: tuple[str, ...] = ()
    """Inputs in float32 that ``streaming`` reads besides the tiles."""
    streaming = "hs_product(sums, tiles, step, thread)"
    """The call that multiplies the tiles of a step where the tensor memory unit copies them."""

    def _function(self) -> Any:
        return _Function(self.arguments)

    def _touches(self, buffers: Mapping[str, Any]) -> None:
        """Say that the block may read any input and write the output, which is the last argument."""
        from tvm.script.ir_builder import tirx as T

        *inputs, output = (buffers[argument.name] for argument in self.arguments)
        T.reads(*(buffer[tuple(slice(0, int(n)) for n in buffer.shape)] for buffer in inputs))
        T.writes(output[tuple(slice(0, int(n)) for n in output.shape)])


class _Function:
    """The frames of a function ``main`` with these arguments and a root block; gives the builder and the buffers."""

    def __init__(self, arguments: Sequence[Argument], attributes: Mapping[str, Any] | None = None) -> None:
        self.arguments, self.attributes = arguments, attributes or {}

    def __enter__(self) -> tuple[Any, dict[str, Any]]:
        from contextlib import ExitStack

        from tvm.script.ir_builder import IRBuilder
        from tvm.script.ir_builder import tirx as T

        self.frames = ExitStack()
        builder = self.frames.enter_context(IRBuilder())
        self.frames.enter_context(T.prim_func(s_tir=True))
        T.func_name("main")
        T.func_attr({"tirx.noalias": True, **self.attributes})
        buffers = {a.name: T.arg(a.name, T.buffer(a.shape, a.dtype)) for a in self.arguments}
        self.frames.enter_context(T.sblock("root"))
        return builder, buffers

    def __exit__(self, *error: Any) -> None:
        self.frames.__exit__(*error)
