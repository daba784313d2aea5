"""Object files linked into the shared library of a bundle, with the system's compiler or, for other chips, with Zig."""

from __future__ import annotations

import platform
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from targets import Target
from targets.errors import HeadstartError
from tuner.zig import zig, zig_version

# Threads and scratch memory, in C: see ``pool.h`` there.
POOL = Path(__file__).parent / "pool"
HOW = "install gcc or clang, or name one in CXX"
# Other architectures that Zig links for, and the C library that it links with: what Python's packages for them need.
OTHERS = ("aarch64", "riscv64")
OLDEST_LIBC = "gnu.2.28"


def architecture(target: Target) -> str:
    """``x86_64``, ``aarch64``, ..., this machine's where a target names none; TVM's kind of target for a GPU."""
    named = str(target.tvm.get("mtriple", "")).partition("-")[0].replace("arm64", "aarch64") or _here()
    return named if target.kind == "llvm" else target.kind


def linkable(target: Target) -> bool:
    """Whether a bundle for it can be built on this machine."""
    return _lacking(target) is None


def check_linkable(target: Target) -> None:
    """See that a bundle for it can be built on this machine.

    Raises:
        HeadstartError: it cannot; the message says what is missing.
    """
    if target.kind != "llvm":
        raise HeadstartError(
            f"a bundle holds kernels for CPUs, and {target.name} is built for by other means ({target.kind}); "
            f"`headstart best WORKLOAD --target {target.name}` has the schedule that is to be built"
        )
    if lacking := _lacking(target):
        raise HeadstartError(f"cannot build a bundle for {target.name} ({architecture(target)}) on {_here()}{lacking}")


def _lacking(target: Target) -> str | None:
    """What keeps this machine from it; None where nothing does."""
    arch = architecture(target)
    if arch == _here():
        return None
    if arch not in OTHERS or platform.system() != "Linux":
        return "; build it on such a machine"
    return None if zig_version() else ": it takes Zig, which pip install 'headstart[cross]' installs"


def _here() -> str:
    return platform.machine().replace("AMD64", "x86_64").replace("arm64", "aarch64")


def link(library: Path, objects: Sequence[str], threads: int, target: Target) -> None:
    """Link object files and the pool of threads that they run on into a shared library.

    Args:
        library: file to make.
        objects: object files of TVM.
        threads: how many threads the kernels were tuned with.
        target: chip that they are for.

    Raises:
        HeadstartError: there is no compiler, or it cannot compile or link these.
    """
    import tvm_ffi

    arch = architecture(target)
    run = _system_compiler() if arch == _here() else partial(zig, "cc", "-target", f"{arch}-linux-{OLDEST_LIBC}")
    options = ["-O2", "-fPIC", "-fvisibility=hidden", "-pthread", f"-DTHREADS={threads}", "-std=gnu11"]
    options += [f"-I{folder}" for folder in tvm_ffi.libinfo.include_paths()]
    with tempfile.TemporaryDirectory() as folder:
        made = []
        for source in sorted(POOL.glob("*.c")):
            made.append(f"{folder}/{source.stem}.o")
            # A compiler of C++ takes a file for C only when it is told so.
            run("-x", "c", *options, "-c", str(source), "-o", made[-1])
        system = ["-ldl"] if platform.system() == "Linux" else []
        run("-shared", "-pthread", "-o", str(library), *objects, *made, *system)


def _system_compiler() -> Callable[..., None]:
    from tvm.support import cc

    # TVM's choice: what CXX or CC name, else the first there is of the usual ones.
    compiler = cc.get_cc()
    if compiler is None:
        raise HeadstartError(f"linking a bundle needs a C compiler and none was found: {HOW}")
    return partial(_run, compiler)


def _run(compiler: str, *arguments: str) -> None:
    try:
        done = subprocess.run([compiler, *arguments], capture_output=True, text=True, errors="replace", check=False)
    except OSError as error:
        raise HeadstartError(
            f"linking a bundle needs a C compiler and {compiler} cannot be run ({error.strerror}): {HOW}"
        ) from None
    if done.returncode:
        told = [line for line in done.stderr.splitlines() if "error" in line and "collect2" not in line] or ["?"]
        raise HeadstartError(f"{compiler} cannot link the kernels: {told[-1].strip()[:300]}")
