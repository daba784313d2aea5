"""How kernels for the chip are built and run: TVM writes C, the system's compiler builds it, a simulator runs it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from targets import Target
from targets.backend import Backend, Program
from targets.errors import HeadstartError

if TYPE_CHECKING:
    import tvm

DEVICE = Path(__file__).parent / "device.c"
# Raise it whenever the model in device.c changes: times of one model are not to be compared with those of another.
MODEL = "1"
CLOCK = 100e6
# Every access to memory and every basic block call into the device. TVM's casts of pointers are not strict C.
INSTRUMENTED = ["-O1", "-fno-strict-aliasing", "-fsanitize=thread", "-fsanitize-coverage=trace-pc"]


class SimulatedNpu(Backend):
    """The chip as a process: its times are those of a model, and are the chip's, since there is no other."""

    clock = "simulated"

    def versions(self, target: Target) -> dict[str, str]:
        """What changes code or times beside TVM; a time is only ever compared with others of the same versions."""
        return {"cc": _run([_compiler(), "-dumpfullversion"]).strip(), "example-npu": MODEL}

    def devices(self, target: Target) -> Sequence[str]:
        """One device wherever there is a C compiler. A driver would be asked here, and name every card."""
        return ["npu:0"] if _found() else []

    def lacks(self, target: Target) -> str:
        """What is missing where there is no device."""
        return "the simulator needs a C compiler: install gcc, or name one in CC"

    def build(self, module: tvm.IRModule, target: Target, folder: Path) -> Path:
        """Scheduled TensorIR to C, and C to a program; a maker's own compiler may take either."""
        import tvm

        # The device makes no arguments that are not as the kernel wants them.
        with tvm.transform.PassContext(config={"tirx.disable_assert": True}):
            built = tvm.compile(module, target=target.to_tvm())
        source, program = folder / "kernel.c", folder / "device"
        source.write_text(built.mod.inspect_source())
        compiler, headers = _compiler(), _headers()
        _run([compiler, *INSTRUMENTED, *headers, "-c", str(source), "-o", f"{source}.o"])
        _run([compiler, "-O1", *headers, str(DEVICE), f"{source}.o", "-lm", "-o", str(program)])
        return program

    def load(self, artefact: Path, target: Target, device: str) -> Program:
        """Nothing is kept on the device between calls. A file that came from another machine is no program yet."""
        artefact.chmod(0o700)
        return SimulatedProgram(artefact)


class SimulatedProgram(Program):
    """A kernel on the simulated device."""

    def __init__(self, program: Path) -> None:
        self.program = program

    def call(
        self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray], calls: int, cold: bool
    ) -> Sequence[float]:
        """Copy in, run, copy out; seconds are counted by the device, and copying is not in them.

        Raises:
            HeadstartError: the device stopped; with its last words.
        """
        arrays = [*inputs, *outputs]
        words = [calls, int(cold), len(outputs), *(array.nbytes for array in arrays)]
        command = [str(self.program), *map(str, words)]
        ran = subprocess.run(command, input=b"".join(map(_bytes, arrays)), capture_output=True, check=False)
        if ran.returncode:
            said = ran.stderr.decode(errors="replace").strip() or _ending(ran.returncode)
            raise HeadstartError(f"the device stopped: {said}")
        at = 0
        for array in outputs:
            array.reshape(-1).view(np.uint8)[:] = np.frombuffer(ran.stdout, np.uint8, array.nbytes, at)
            at += array.nbytes
        cycles = np.frombuffer(ran.stdout, np.uint64, calls, at)
        return [float(count) / CLOCK for count in cycles]


def _bytes(array: np.ndarray) -> bytes:
    # Types such as bfloat16 have no buffer that Python knows.
    return array.reshape(-1).view(np.uint8).tobytes()


def _ending(code: int) -> str:
    return str(signal.strsignal(-code)) if code < 0 else f"exit code {code}"


def _found() -> str | None:
    return shutil.which(os.environ.get("CC", "cc"))


def _compiler() -> str:
    return _found() or "cc"


@cache
def _headers() -> list[str]:
    import tvm_ffi
    from tvm.libinfo import find_include_path

    folders = [*tvm_ffi.libinfo.include_paths(), find_include_path()]
    return [f"-I{folder}" for folder in folders]


def _run(command: Sequence[str]) -> str:
    """Run a program and return what it prints.

    Raises:
        HeadstartError: it cannot be run, or fails; with the first error that it prints.
    """
    try:
        ran = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    except OSError as error:
        raise HeadstartError(f"{command[0]}: {error.strerror}") from None
    if ran.returncode:
        lines = [line for line in ran.stderr.splitlines() if "error" in line or "undefined" in line]
        raise HeadstartError(f"{command[0]}: {(lines or ['no reason given'])[0].strip()[:300]}")
    return ran.stdout
