"""Machine code for a GPU, by nvcc, and what its own report says of registers, shared memory and spills."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from schedules.cuda.budget import most_registers, registers_of_block, resident
from schedules.cuda.launch import Launch, Source
from targets import Target
from targets.backend import OverLimit
from targets.errors import HeadstartError

# A kernel that takes longer than this to compile is not worth having.
TIMEOUT_S = 120
NO_NVCC = "no nvcc on this machine: install the CUDA toolkit, or put its bin folder in PATH"


@dataclass(frozen=True)
class Resources:
    """What a kernel takes of a multiprocessor, by ptxas.

    Attributes:
        registers: of a thread.
        shared: bytes of a block, those asked for at the launch included.
        spilled: bytes that a thread stores to and loads from memory although it has registers left.
        stack: bytes of a thread's stack frame.
        threads: of a block.
        resident: blocks that a multiprocessor holds at once.
    """

    registers: int
    shared: int
    spilled: int
    stack: int
    threads: int
    resident: int


@dataclass(frozen=True)
class Cubin:
    """A program compiled for a chip.

    Attributes:
        code: the ELF file that the driver loads.
        source: what it was compiled of.
        resources: of each kernel.
    """

    code: bytes
    source: Source
    resources: tuple[Resources, ...]


def nvcc() -> str | None:
    """The path of nvcc, None where it is not installed."""
    return shutil.which("nvcc")


def version() -> str | None:
    """The version of CUDA that nvcc is of, None where it is not installed."""
    compiler = nvcc()
    return None if compiler is None else _version(compiler)


@cache
def _version(compiler: str) -> str | None:
    said = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False, timeout=10).stdout
    match = re.search(r"release ([\d.]+)", said)
    return match.group(1) if match else None


def compile_source(program: Source, target: Target) -> Cubin:
    """The machine code of a program.

    Raises:
        OverLimit: a kernel has more threads, shared memory or registers than a block may, or spills for want of
            registers.
        HeadstartError: there is no nvcc, or it refused the text.
    """
    for launch in program.launches:
        _check("threads", launch.threads, "max_threads_per_block", target, launch)
        _check("bytes of shared memory", launch.shared, "max_shared_memory_per_block", target, launch)
    compiler = nvcc()
    if compiler is None:
        raise HeadstartError(NO_NVCC)
    with tempfile.TemporaryDirectory(prefix="headstart-") as folder:
        text, binary = Path(folder, "kernel.cu"), Path(folder, "kernel.cubin")
        text.write_text(program.text)
        options = ["-cubin", f"-arch={target.tvm['arch']}", "-O3", "-w", "-Xptxas", "-v"]
        command = [compiler, *options, "-o", str(binary), str(text)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise HeadstartError(f"nvcc was not done after {TIMEOUT_S} seconds") from None
        if done.returncode:
            reason = next((line for line in done.stderr.splitlines() if "rror" in line), f"exit code {done.returncode}")
            # ptxas knows the limits of shared memory as well, and of constants and parameters besides.
            kind = OverLimit if "too much" in reason or "exceeds" in reason else HeadstartError
            raise kind(f"nvcc: {reason.replace(folder + '/', '').strip()}")
        return Cubin(binary.read_bytes(), program, report(done.stderr, program.launches, target))


def report(text: str, launches: Sequence[Launch], target: Target) -> tuple[Resources, ...]:
    """What ``ptxas -v`` says of each kernel.

    Raises:
        OverLimit: a kernel would not start, or spills for want of registers.
        HeadstartError: a kernel is missing in the report.
    """
    parts = re.split(r"Compiling entry function '(\w+)' for ", text)
    by_name = dict(zip(parts[1::2], parts[2::2], strict=True))
    found = []
    for launch in launches:
        said = by_name.get(launch.name)
        if said is None:
            raise HeadstartError(f"ptxas reports nothing of kernel {launch.name}")
        registers = _number(r"Used (\d+) registers", said)
        shared = _number(r"(\d+) bytes smem", said) + launch.shared
        spilled = _number(r"(\d+) bytes spill stores", said) + _number(r"(\d+) bytes spill loads", said)
        taken = registers_of_block(launch.threads, registers)
        _check("registers", taken, "registers_per_block", target, launch)
        _check("bytes of shared memory", shared, "max_shared_memory_per_block", target, launch)
        most = most_registers(launch.threads, target)
        if spilled and registers >= most:
            raise OverLimit(
                f"kernel {launch.name} spills: {spilled} bytes a thread go to memory and back, "
                f"as {most} registers are all that one of {launch.threads} threads gets"
            )
        stack = _number(r"(\d+) bytes stack frame", said)
        held = resident(launch.threads, registers, shared, target)
        found.append(Resources(registers, shared, spilled, stack, launch.threads, held))
    return tuple(found)


def _number(pattern: str, text: str) -> int:
    match = re.search(pattern, text)
    return int(match.group(1)) if match else 0


def _check(what: str, wanted: int, limit: str, target: Target, launch: Launch) -> None:
    most: Any = target.tvm[limit]
    if wanted > int(most):
        raise OverLimit(f"kernel {launch.name} takes {wanted} {what} a block; {target.name} has {most}")
