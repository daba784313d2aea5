"""A kernel on a GPU of this machine: arguments copied there, calls timed by the GPU, what it wrote copied back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Any

import numpy as np

from targets.backend import DeviceLost, Program
from targets.errors import HeadstartError
from tuner.cuda.artefact import Artefact
from tuner.cuda.device import Device
from tuner.cuda.driver import OUT_OF_MEMORY, DriverError


@cache
def gpu(ordinal: int) -> Device:
    """The GPU of this process with that number, opened once.

    Raises:
        HeadstartError: it cannot be used.
    """
    return Device(ordinal)


class GpuProgram(Program):
    """A kernel on a GPU."""

    def __init__(self, artefact: Artefact, device: Device) -> None:
        self.artefact, self.device = artefact, device
        self.notes: Mapping[str, Any] = artefact.notes
        self._kernels = device.driver.load(artefact.code, artefact.launches)
        # Never copied, so these arrays take no memory of the host.
        self._scratch = {name: np.empty(size, np.uint8) for name, size in artefact.scratch.items()}
        self._checked = False

    def call(
        self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray], calls: int, cold: bool
    ) -> Sequence[float]:
        """Run it; the outputs are there what they are here before the first call.

        The first time, inputs are compared with what they were; beside every argument nothing may be written ever.

        Raises:
            DeviceLost: a function of the driver failed, most likely for what the kernel did.
            MemoryError: the arguments do not fit into the GPU's memory.
            HeadstartError: it wrote where it must not.
        """
        try:
            return self._call(inputs, outputs, calls, cold)
        except DriverError as error:
            if error.code == OUT_OF_MEMORY:
                raise MemoryError(str(error)) from None
            # Whatever fails after an illegal access is of no use until another process begins anew.
            raise DeviceLost(str(error)) from None

    def _call(
        self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray], calls: int, cold: bool
    ) -> Sequence[float]:
        arrays = dict(zip(self.artefact.arguments, [*inputs, *outputs], strict=True))
        buffers = {name: self.device.buffer(array) for name, array in arrays.items()}
        for name, buffer in buffers.items():
            buffer.upload(arrays[name])
        buffers |= {name: self.device.buffer(array) for name, array in self._scratch.items()}
        addresses = {name: buffer.address for name, buffer in buffers.items()}
        work = partial(self._kernels.start, addresses, self.device.stream)
        if cold:
            seconds = [self.device.cold(work) for _ in range(calls)]
        elif calls == 1:
            seconds = [self.device.timed(work)]
        else:
            seconds = [self.device.warm(work, calls)] * calls
        for name, output in zip(self.artefact.arguments[len(inputs) :], outputs, strict=True):
            buffers[name].download(output)
        for name, buffer in buffers.items():
            if reason := buffer.overrun():
                raise HeadstartError(f"{name}: {reason}")
        if not self._checked:
            for name, array in zip(self.artefact.arguments, inputs, strict=False):
                if reason := buffers[name].harm(array):
                    raise HeadstartError(f"{name}: {reason}")
            self._checked = True
        return seconds
