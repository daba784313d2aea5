"""NVIDIA GPUs: kernels by nvcc, run by the driver on a GPU that is the target, or on the CPU for what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from schedules.cuda.source import source
from schedules.cuda.space import architecture
from targets import Target
from targets.backend import Backend, Program
from targets.errors import HeadstartError, InputError
from targets.toolchain import present
from tuner.cuda import cubin, driver
from tuner.cuda.artefact import Artefact
from tuner.cuda.device import slack
from tuner.cuda.driver import Driver, Gpu, NoDriver
from tuner.cuda.program import GpuProgram, gpu
from tuner.cuda.serial_program import SerialProgram

if TYPE_CHECKING:
    import tvm

# What stands in for a GPU where there is none: the CPU, one thread after the other.
SERIAL = "serial:0"


def backend(target: Target) -> Backend | None:
    """For GPUs that TVM writes CUDA C for."""
    return CudaBackend(target) if target.kind == "cuda" else None


class CudaBackend(Backend):
    """One kind of NVIDIA GPU.

    Where this machine has such a GPU, kernels run on it. Where it has no GPU they are compiled all the same, and what
    they mean is run on the CPU, without times. A GPU of another kind is refused.
    """

    # nvcc takes a second or two for most schedules, and a minute for some by warps with large tiles.
    build_limit_s = 90.0
    # CUDA reserves address space for all memory that there is.
    limits_memory = False

    def __init__(self, target: Target) -> None:
        self.target = target

    @property
    def timed(self) -> bool:  # type: ignore[override]
        """Whether there is such a GPU here."""
        with suppress(HeadstartError):  # a driver that cannot be used: ``devices`` says so
            return bool(self._fitting())
        return False

    def versions(self, target: Target) -> dict[str, str]:
        """Of nvcc, and of the driver where there is one."""
        return present(cuda=cubin.version(), driver=driver.version() if self.timed else None)

    def devices(self, target: Target) -> Sequence[str]:
        """The GPUs of this machine that are the target, or else what stands in for one; nothing without nvcc.

        Raises:
            InputError: the GPUs of this machine are others.
            HeadstartError: there is a driver that cannot be used.
        """
        fitting = self._fitting()
        if gpus() and not fitting:
            here = ", ".join(dict.fromkeys(map(str, gpus())))
            raise InputError(f"this machine has {here}, and {self.target.name} is {describe(self.target)}")
        return ([f"cuda:{gpu.ordinal}" for gpu in fitting] or [SERIAL]) if cubin.nvcc() else []

    def lacks(self, target: Target) -> str:
        return f"kernels for {target.name} are compiled by nvcc, and {cubin.NO_NVCC}"

    def _fitting(self) -> list[Gpu]:
        return [gpu for gpu in gpus() if matches(gpu, self.target)]

    def slack(self, arithmetic: str) -> float:
        return slack(arithmetic) if self.timed else 1.0

    def build(self, module: tvm.IRModule, target: Target, folder: Path) -> Path:
        return Artefact.of(module, cubin.compile_source(source(module, target), target)).write(folder / "kernel.json")

    def load(self, artefact: Path, target: Target, device: str) -> Program:
        found = Artefact.read(artefact)
        return SerialProgram(found) if device == SERIAL else GpuProgram(found, gpu(int(device.partition(":")[2])))


@cache
def gpus() -> tuple[Gpu, ...]:
    """The GPUs that this process may use; none where there is no driver.

    Raises:
        HeadstartError: there is a driver that cannot be used.
    """
    try:
        return tuple(Driver().gpus())
    except NoDriver:
        return ()


def matches(gpu: Gpu, target: Target) -> bool:
    """Whether a GPU is of the target's kind: its name as a word, compute capability and multiprocessors.

    The same die goes by several names, with memory of another speed; a part of a GPU has fewer multiprocessors.
    """
    return (
        _word(target) in gpu.name.replace("-", " ").split()
        and gpu.capability == architecture(target)
        and gpu.multiprocessors == target.cores
    )


def describe(target: Target) -> str:
    """A target as ``Gpu`` describes what is there."""
    return f"{target.vendor} {_word(target)} (sm_{architecture(target)}, {target.cores} multiprocessors)"


def _word(target: Target) -> str:
    """What NVIDIA calls the GPU: the first word of ``H100 SXM``."""
    return target.model.split()[0]
