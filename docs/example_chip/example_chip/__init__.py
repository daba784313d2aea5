"""A plug-in for Headstart: one chip, what it can do, how to build for it and run on it, and its spaces.

The chip is made up, and the device that stands for it is a simulator (``device.c``) whose clock is a model. A maker
replaces ``backend.py`` with the calls of a driver, and ``NPU`` with the figures of a data sheet.
"""

from __future__ import annotations

from example_chip.backend import SimulatedNpu
from example_chip.spaces import Rows, Tiles
from targets import Peaks, Target
from targets.backend import Backend

CLOCK = 100e6
NPU = Target(
    name="example-npu",
    vendor="Example",
    model="Example NPU (simulated)",
    # ``c``: TVM writes C. ``mcpu`` tells the chip from every other in the database.
    tvm={"kind": "c", "mcpu": "example-npu"},
    cores=1,
    vector_bits=32,
    l1d=4096,
    memory=1 << 30,
    # No kernel can beat these by the model in device.c: a line of 64 bytes takes 20 cycles, and a multiply-add of
    # values in a tile of 3 x 4 registers, the largest there is, 7 reads for 12 of them.
    peaks=Peaks({"float32": 2 * 12 / 7 * CLOCK}, dram=64 / 20 * CLOCK, source="cycle model"),
)


class ExampleChip:
    """What the entry point names."""

    targets = (NPU,)
    spaces = (Tiles, Rows)

    def backend(self, target: Target) -> Backend:
        """How kernels for the chip are built and run."""
        return SimulatedNpu()


plugin = ExampleChip()
