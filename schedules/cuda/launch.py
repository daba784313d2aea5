"""A program for a GPU and how its kernels are started: needs neither TVM nor a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# Attributes of a program: which matrices the tensor memory unit copies, as JSON, and thread blocks of a cluster.
BOXES, CLUSTER = "headstart.boxes", "headstart.cluster"
# Attribute of a module whose program has inner kernels in CUDA C: a module with the same program in plain terms.
PLAIN = "headstart.plain"
# What the CUDA C calls the descriptions of those matrices.
MAPS = "hs_maps"


@dataclass(frozen=True)
class Box:
    """A matrix that the tensor memory unit copies boxes of: 128 bytes of some rows, with the 128-byte swizzle.

    Attributes:
        argument: the buffer.
        size: bytes of a row.
        rows: of the matrix; those behind it are read as zeros.
        height: rows of a box.
    """

    argument: str
    size: int
    rows: int
    height: int


@dataclass(frozen=True)
class Launch:
    """One kernel of a program and how it is started.

    Attributes:
        name: of the function in the CUDA C.
        arguments: names of the buffers that it takes, in its order.
        grid, block: how many blocks, and threads of each, along x, y and z.
        shared: bytes of shared memory that are asked for at the launch, besides what the code declares.
        boxes: what the constant ``MAPS`` of the code describes, in its order.
    """

    name: str
    arguments: tuple[str, ...]
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    shared: int = 0
    boxes: tuple[Box, ...] = ()

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return self.block[0] * self.block[1] * self.block[2]

    @property
    def blocks(self) -> int:
        """Thread blocks."""
        return self.grid[0] * self.grid[1] * self.grid[2]

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Launch:
        """Read what ``dataclasses.asdict`` wrote as JSON."""
        tuples = {name: tuple(value[name]) for name in ("arguments", "grid", "block")}
        boxes = tuple(Box(**box) for box in value.get("boxes", ()))
        return cls(name=value["name"], shared=value["shared"], boxes=boxes, **tuples)


@dataclass(frozen=True)
class Source:
    """A program for the GPU.

    Attributes:
        text: CUDA C of all kernels.
        launches: the kernels in the order in which they run.
        scratch: bytes of memory of the GPU, by the name that launches give it, through which one hands on to another.
    """

    text: str
    launches: tuple[Launch, ...]
    scratch: Mapping[str, int] = field(default_factory=dict)
