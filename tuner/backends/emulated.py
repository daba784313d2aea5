"""AArch64 and RISC-V chips that this machine is not: LLVM builds kernels for them, and QEMU runs them here.

What comes out is right or wrong as on the chip. How long it takes says nothing about the chip, and is never kept.
"""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from targets import Target, detect
from targets.backend import Backend, OverTime, Program
from targets.errors import HeadstartError
from tuner.child import HINTS
from tuner.emulator import tools
from tuner.emulator.arrays import ArrayFile, Kept, described
from tuner.link import architecture
from tuner.zig import zig_version

if TYPE_CHECKING:
    import tvm

ARCHITECTURES = ("aarch64", "riscv64")
# Parts of a parallel loop that are run first; if all of them are likely to take longer than this, no others are.
SOME, WHOLE_S = 4, 60.0
# The status by which ``run.c`` says that it left parts out.
LEFT_OUT = 3
# Memory that a workload of a model may take on each device: arguments, their files, weights laid out anew.
MEMORY = 6 << 30


def backend(target: Target) -> Backend | None:
    """The backend for a chip, where it is for such a chip."""
    return Emulated() if target.kind == "llvm" and architecture(target) in ARCHITECTURES else None


class Emulated(Backend):
    """Programs of another architecture under QEMU; any number of devices, since they are none."""

    timed = False
    # Calls take hundreds of times as long as on a chip, and one that lays out weights is a part of building.
    build_limit_s = 300.0
    run_limit_s = 600.0
    # Of one call, so that it is ended here and not with the whole worker.
    call_limit_s = 540.0

    def versions(self, target: Target) -> dict[str, str]:
        """Of Zig's linker and QEMU, where they are installed."""
        found = {"zig": zig_version(), "qemu": tools.emulator_version(architecture(target))}
        return {name: version for name, version in found.items() if version}

    def devices(self, target: Target) -> Sequence[str]:
        """One for each core of this machine, as far as memory goes; none where a tool is missing."""
        if self._missing(target):
            return []
        most = min(len(detect.cpus()), int(psutil.virtual_memory().total // MEMORY))
        return [f"emulated:{at}" for at in range(max(1, most))]

    def lacks(self, target: Target) -> str:
        """What to install."""
        return f"this machine is no {target.name}, and to emulate one it needs {' and '.join(self._missing(target))}"

    def _missing(self, target: Target) -> list[str]:
        if platform.system() != "Linux":
            return ["Linux"]
        missing = []
        if tools.emulator_version(architecture(target)) is None:
            missing.append("QEMU (apt-get install qemu-user)")
        if zig_version() is None:
            missing.append("Zig (pip install 'headstart[cross]')")
        return missing

    def build(self, module: tvm.IRModule, target: Target, folder: Path) -> Path:
        """A program in the folder."""
        program, arch = folder / "program", architecture(target)
        kernel = tools.compile_kernel(module, target, arch, folder)
        tools.link([kernel], program, arch, tools.last_loop(module))
        kernel.unlink()
        return program

    def load(self, artefact: Path, target: Target, device: str) -> Program:
        """The program, to be started at each call; a file that came from another machine may not be run yet."""
        artefact.chmod(0o700)
        return _Emulated([*tools.emulator(target, architecture(target)), str(artefact)], target.cores)


class _Emulated(Program):
    """A program under QEMU, whose parallel loops have so many parts."""

    def __init__(self, command: Sequence[str], parts: int) -> None:
        self.command, self.parts = list(command), parts

    @property
    def notes(self) -> Mapping[str, Any]:  # type: ignore[override]
        """How many parts of the last parallel loop were run, of how many, where some were left out."""
        return {} if self.whole else {"parts": [SOME, self.parts]}

    def call(
        self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray], calls: int, cold: bool
    ) -> Sequence[float]:
        """Run it once for each call; arrays are mapped, between pages that end it when it touches them."""
        # A file may stand for an array as long as nobody writes to that.
        own = [ArrayFile.of(array) for array in inputs if array.flags.writeable]
        written = [ArrayFile.of(array) for array in outputs]
        fresh = iter(own)
        try:
            read = [next(fresh) if array.flags.writeable else _kept().file(array) for array in inputs]
            arguments = [described(file, array, False) for file, array in zip(read, inputs, strict=True)]
            arguments += [described(file, array, True) for file, array in zip(written, outputs, strict=True)]
            for _ in range(calls):
                self._call(arguments, [file.descriptor for file in (*read, *written)])
            for at, (file, array) in enumerate(zip(written, outputs, strict=True)):
                if (harm := file.harm()) is not None:
                    raise HeadstartError(f"output {at}: {harm}")
                file.read(array)
        finally:
            for file in (*own, *written):
                file.close()
        return []

    def _call(self, arguments: Sequence[str], descriptors: Sequence[int]) -> None:
        """Run it whole, or in part where that may do and the whole is likely to take too long."""
        self.whole = True
        if self.part_will_do:
            start = time.monotonic()
            if not self._run(f"{self.parts}/{SOME}", arguments, descriptors):
                return
            self.whole = (time.monotonic() - start) * self.parts / SOME <= WHOLE_S
        if self.whole:
            self._run(str(self.parts), arguments, descriptors)

    def _run(self, parts: str, arguments: Sequence[str], descriptors: Sequence[int]) -> bool:
        """Run it once; whether parts were left out."""
        process = subprocess.Popen(
            [*self.command, parts, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=descriptors,
            env={},
        )
        # The thread that starts it is bound to one core, the same for all workers.
        os.sched_setaffinity(process.pid, detect.cpus())
        try:
            told = process.communicate(timeout=Emulated.call_limit_s)[1].decode("utf-8", "replace").split("\n")[0]
        except subprocess.TimeoutExpired:
            raise OverTime(f"took longer than {Emulated.call_limit_s:g} s under emulation") from None
        finally:
            process.kill()
            process.wait()
        code = process.returncode
        if code < 0 and "Assertion" in told:
            raise HeadstartError(f"the emulator cannot run it: {told[:300]}")
        if code < 0:
            raise HeadstartError(f"the emulated program died: {signal.Signals(-code).name}{HINTS.get(-code, '')}")
        if code and told.startswith("MemoryError"):
            raise MemoryError(told)
        if code not in (0, LEFT_OUT):
            raise HeadstartError(f"the emulated program ended with status {code}: {told[:300] or 'it says nothing'}")
        return code == LEFT_OUT


@cache
def _kept() -> Kept:
    """The files of what kernels read in this process."""
    return Kept()
