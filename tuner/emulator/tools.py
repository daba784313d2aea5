"""What kernels of another architecture are linked and run with here: Zig's linker, and QEMU."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tvm_ffi

from targets import Target
from targets.digest import digest
from targets.host import cache_folder
from tuner.ahead import UNCHECKED
from tuner.zig import zig, zig_version

if TYPE_CHECKING:
    import tvm

# From this version of QEMU on, its RISC-V chip "max" has everything that is ratified. Of older ones 7.2 was tried: it
# has no conditional zero and no vectors of float16, and ends with a failed assertion where a conversion of vectors
# towards zero is the first floating-point instruction of a block. One that does nothing is put before each of those, on
# the same page, since blocks end with pages.
FIRST_MAX_RISCV = 9
OLD_RISCV = "rv64,zba=true,zbb=true,zbc=true,zbs=true,Zfh=true,vext_spec=v1.0"
LACKING_RISCV = ("-zicond", "-zvfh", "-zvfhmin")
TOWARDS_ZERO = re.compile(r"^\s*v\w*cvt\.rtz\.", re.MULTILINE)
BEFORE_THESE = "\t.p2align 3\n\tfcvt.w.s zero, ft0, dyn\n"
SOURCES = Path(__file__).parent
# Nothing of a C library, and none of the calls that compilers make into one.
OPTIONS = ("-std=gnu11", "-O2", "-ffreestanding", "-fno-builtin", "-fno-stack-protector", "-fno-sanitize=undefined")


@cache
def emulator_version(arch: str) -> str | None:
    """Version of QEMU for programs of an architecture; None where it is not installed."""
    path = shutil.which(f"qemu-{arch}") or shutil.which(f"qemu-{arch}-static")
    if path is None:
        return None
    told = subprocess.run([path, "--version"], capture_output=True, text=True, check=False, timeout=10).stdout
    found = re.search(r"version (\S+)", told)
    return found.group(1) if found else None


def emulator(target: Target, arch: str) -> list[str]:
    """The command that runs a program of a chip, but for the program: it has the chip's vectors, by their width."""
    program = shutil.which(f"qemu-{arch}") or f"qemu-{arch}-static"
    bits = target.vector_bits
    if arch == "aarch64":
        return [program, "-cpu", f"max,sve-max-vq={bits // 128}" if target.has("sve") else "max,sve=off"]
    chip = OLD_RISCV if _is_old(arch) else "max"
    return [program, "-cpu", f"{chip},v=true,vlen={bits},elen=64" if target.has("v") else f"{chip},v=false"]


def _is_old(arch: str) -> bool:
    return int((emulator_version(arch) or "0").partition(".")[0]) < FIRST_MAX_RISCV


def compile_kernel(module: tvm.IRModule, target: Target, arch: str, folder: Path) -> Path:
    """An object file of a module, which may lie in the folder as text in between.

    Raises:
        HeadstartError: the assembler refuses; whatever TVM or LLVM says comes through as it is.
    """
    import tvm

    object, old = folder / "kernel.o", arch == "riscv64" and _is_old(arch)
    chip = target if not old else replace(target, tvm={**target.tvm, "mattr": [*_mattr(target), *LACKING_RISCV]})
    with tvm.transform.PassContext(config=UNCHECKED):
        code = tvm.compile(module, target=chip.to_tvm()).mod
    if not old:
        code.write_to_file(str(object))
        return object
    text = folder / "kernel.s"
    code.write_to_file(str(text))
    text.write_text(TOWARDS_ZERO.sub(lambda found: BEFORE_THESE + found[0], text.read_text()))
    zig("cc", "-target", f"{arch}-linux-musl", "-c", str(text), "-o", str(object))
    text.unlink()
    return object


def _mattr(target: Target) -> Sequence[str]:
    found: Sequence[str] = target.tvm.get("mattr", ())
    return found


def link(objects: Sequence[Path], program: Path, arch: str, last: int = 0) -> None:
    """Link the objects of a kernel with what calls it into a program that needs nothing but Linux.

    Args:
        objects: its files.
        program: file to make.
        arch: architecture.
        last: number of the parallel loop of which some parts may do (``last_loop``).

    Raises:
        HeadstartError: the linker refuses.
    """
    zig("ld.lld", "-static", "-o", str(program), str(_runner(arch, last)), *map(str, objects))


def last_loop(module: tvm.IRModule) -> int:
    """Number of the last parallel loop of ``main``, from 1, where all before it may be run whole and of it some parts.

    Nothing comes after it that could read what it writes, and its parts read nothing that others of them write: that
    would make a schedule wrong. 0 where there is no such loop.
    """
    from tvm import tirx

    body = module["main"].body
    body = body.block.body if hasattr(body, "block") else body
    statements = list(body.seq) if isinstance(body, tirx.SeqStmt) else [body]
    found: list[Any] = []
    tvm_ffi.structural_walk(body, (tirx.For, lambda loop: found.append(loop) if _is_parallel(loop) else None))
    loops = sum(map(_is_parallel, statements))
    return loops if len(found) == loops and _is_parallel(statements[-1]) else 0


def _is_parallel(statement: Any) -> bool:
    from tvm import tirx

    return isinstance(statement, tirx.For) and statement.kind == tirx.ForKind.PARALLEL


def _runner(arch: str, last: int) -> Path:
    """``run.c`` compiled for an architecture: once for each state of it, in the user's cache folder."""
    text = "".join((SOURCES / name).read_text() for name in ("run.c", "system.h"))
    path = cache_folder() / "emulator" / f"{digest('e', f'{arch} {last} {zig_version()} {text}')}.o"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.o")
        options = [*OPTIONS, f"-DLAST={last}", *(f"-I{folder}" for folder in tvm_ffi.libinfo.include_paths())]
        zig("cc", "-target", f"{arch}-linux-musl", *options, "-c", str(SOURCES / "run.c"), "-o", str(part))
        part.replace(path)
    return path
