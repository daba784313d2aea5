"""How kernels are built for, and run on, chips that a process of this machine cannot simply call into."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from targets.errors import HeadstartError
from targets.target import Target

if TYPE_CHECKING:
    import tvm


class OverLimit(HeadstartError):
    """A kernel needs more than the chip has: registers, shared memory."""


class OverTime(HeadstartError):
    """A kernel did not come to an end in the time that it may take."""


class DeviceLost(HeadstartError):
    """This process cannot use the device any more, another one may: a kernel left it in a state that does not end."""


class Program(ABC):
    """A kernel that was built, ready on a device.

    Attributes:
        notes: what the evidence of its trial is to say of it beside times, as JSON types.
        whole: False where the last call ran part of a large kernel, for want of the chip: what it did not write is not
            compared.
        part_will_do: set by whoever calls it and wants no more than to compare what it writes: only then may a call run
            part of it.
    """

    notes: Mapping[str, Any] = MappingProxyType({})
    whole: bool = True
    part_will_do: bool = False

    @abstractmethod
    def call(
        self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray], calls: int, cold: bool
    ) -> Sequence[float]:
        """Run it.

        Args:
            inputs: what it reads, in the order of its arguments; contiguous, and the same arrays from call to call as
                long as nobody may write to them (``flags.writeable`` is false), so that a device may keep them.
            outputs: what it writes, in place, after the inputs in its arguments; contiguous.
            calls: how many times.
            cold: whether all arguments but the first must come from memory, not from a cache, at each call.

        Returns:
            Seconds of each call as the device timed them; nothing where the backend is not ``timed``.

        Raises:
            OverTime: it did not come to an end.
            DeviceLost: this process cannot use the device any more.
            HeadstartError: it died, or wrote where it must not.
        """


class Backend(ABC):
    """Builds and runs kernels for a kind of chip.

    Attributes:
        timed: False where something stands in for the chip, such as an emulator: its times say nothing about the
            chip and are never recorded.
        clock: whose times they are, for people and as a part of the policy: ``wall``, or a clock of the device's own.
        build_limit_s, run_limit_s: seconds that building a schedule, and running it for a trial, may take.
        limits_memory: whether the address space of the process that runs kernels may be limited; drivers of GPUs
            reserve more of it than there is memory.
    """

    timed: bool = True
    clock: str = "wall"
    build_limit_s: float = 5.0
    run_limit_s: float = 20.0
    limits_memory: bool = True

    def versions(self, target: Target) -> dict[str, str]:
        """Versions of the tools that build and run kernels, beside TVM's and LLVM's; they join the toolchain."""
        return {}

    @abstractmethod
    def devices(self, target: Target) -> Sequence[str]:
        """Names of what this machine has to run kernels for the chip on: ``cuda:0``; empty where there is nothing."""

    def lacks(self, target: Target) -> str:
        """Where ``devices`` is empty: what is missing here and what to do about it, for people."""
        return f"this machine has no {target.name}"

    def slack(self, arithmetic: str) -> float:
        """How many times as far from zero as an operator says results may be off where such values are multiplied."""
        return 1.0

    @abstractmethod
    def build(self, module: tvm.IRModule, target: Target, folder: Path) -> Path:
        """Build the function ``main`` of scheduled TensorIR.

        Args:
            module: arguments are inputs, then outputs.
            target: the chip.
            folder: an empty one of this kernel alone, for whatever files building takes.

        Returns:
            What ``load`` reads, in the folder: one file that stands alone, since another machine may have the device.

        Raises:
            OverLimit: it needs more than the chip has.
            HeadstartError: it cannot be built; whatever TVM or LLVM says of it comes through as it is.
        """

    @abstractmethod
    def load(self, artefact: Path, target: Target, device: str) -> Program:
        """Make ready what ``build`` made, on one of ``devices``.

        Raises:
            HeadstartError: it cannot be loaded.
        """
