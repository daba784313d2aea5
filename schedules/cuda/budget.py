"""What a kernel takes of a multiprocessor, how many of its blocks fit there, and a space's guess of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from targets import Target

# Of compute capability 8.0, 9.0 and 10.0: CUDA C++ Programming Guide, table of technical specifications.
THREADS_PER_MULTIPROCESSOR, BLOCKS_PER_MULTIPROCESSOR, REGISTERS_PER_THREAD = 2048, 32, 255
# What every block takes of a multiprocessor's shared memory besides its own: same table.
SHARED_RESERVED = 1024
WARP = 32
# ptxas gives up addresses and keeps fewer loads under way before it spills: so much more than there are, and it does.
STRETCH = 1.2
# Registers are given to a thread eight at a time: a warp gets 256.
STEP = 8
# What a cost model sees of a kernel that was compiled, see ``tuner.cuda.cubin.Resources``.
TAKEN, MOST = ("threads", "registers", "shared", "spilled", "stack", "resident"), 1 << 40
BUILT = ("built registers", "built shared", "built stack", "built resident")


def warps(threads: int) -> int:
    """Warps of a block."""
    return -(-threads // WARP)


def registers_of_block(threads: int, registers: int) -> int:
    """Registers that a block takes whose threads have so many each."""
    return warps(threads) * WARP * -(-registers // STEP) * STEP


def most_registers(threads: int, target: Target) -> int:
    """Registers that ptxas may give a thread of a block of so many; what needs more is spilled to memory."""
    even = int(target.tvm["registers_per_block"]) // (warps(threads) * WARP)
    return min(REGISTERS_PER_THREAD, even // STEP * STEP)


def resident(threads: int, registers: int, shared: int, target: Target) -> int:
    """Blocks that a multiprocessor holds at once; none where one does not fit.

    Args:
        threads: of a block.
        registers: of a thread.
        shared: bytes of a block.
        target: a GPU.
    """
    return min(
        BLOCKS_PER_MULTIPROCESSOR,
        THREADS_PER_MULTIPROCESSOR // (WARP * warps(threads)),
        int(target.tvm["registers_per_block"]) // registers_of_block(threads, registers),
        (int(target.tvm["max_shared_memory_per_block"]) + SHARED_RESERVED) // (shared + SHARED_RESERVED),
    )


@dataclass(frozen=True)
class Budget:
    """What a space expects a kernel to take, without compiling it.

    Attributes:
        threads: of a block.
        registers: that a thread needs for what it holds at once, whether it may have as many or not.
        shared: bytes of a block, without the few that threads of several warps reduce through.
    """

    threads: int
    registers: int
    shared: int = 0

    def fits(self, target: Target) -> bool:
        """Whether a block of it can run on the chip, and most likely without spilling."""
        return (
            self.threads <= int(target.tvm["max_threads_per_block"])
            and self.shared <= int(target.tvm["max_shared_memory_per_block"])
            and self.registers <= STRETCH * most_registers(self.threads, target)
        )

    def resident(self, target: Target) -> int:
        """Blocks that a multiprocessor holds at once."""
        registers = min(self.registers, most_registers(self.threads, target))
        return resident(self.threads, registers, self.shared, target)

    def features(self, target: Target) -> dict[str, float]:
        """For a cost model: log2 of each, and registers over those that a thread may have."""
        held = self.resident(target)
        return {
            "block threads": math.log2(self.threads),
            "thread registers": math.log2(self.registers),
            "block shared": math.log2(1 + self.shared),
            "resident threads": math.log2(1 + held * self.threads),
            "pressure": self.registers / most_registers(self.threads, target),
        }


def compiled_features(resources: Mapping[str, Any] | None) -> dict[str, float]:
    """What a cost model sees of a kernel by ptxas, of ``asdict(Resources)``; NaN of one that was not compiled.

    A stranger's evidence may hold anything: what are no such figures are none.
    """
    given = [(resources or {}).get(name) for name in TAKEN]
    figures = [value for value in given if isinstance(value, int) and 0 <= value < MOST]
    if len(figures) < len(TAKEN):
        return dict.fromkeys(BUILT, math.nan)
    threads, registers, shared, spilled, stack, held = figures
    counts = (registers, shared, spilled + stack, held * threads)
    return {name: math.log2(1 + count) for name, count in zip(BUILT, counts, strict=True)}
