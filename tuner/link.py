"""Object files linked into the shared library of a bundle, with the system's compiler."""

from __future__ import annotations

import platform
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from targets import Target
from targets.errors import HeadstartError

# Threads and scratch memory, in C: see ``pool.h`` there.
POOL = Path(__file__).parent / "pool"
HOW = "install gcc or clang, or name one in CXX"


def architecture(target: Target) -> str:
    """``x86_64``, ``aarch64``, ..., this machine's where a target names none; TVM's kind of target for a GPU."""
    named = str(target.tvm.get("mtriple", "")).partition("-")[0].replace("arm64", "aarch64") or _here()
    return named if target.kind == "llvm" else target.kind


def linkable(target: Target) -> bool:
    """Whether a bundle for it can be built on this machine."""
    return architecture(target) == _here()


def check_linkable(target: Target) -> None:
    """The compiler that links is this machine's own, so only its architecture is possible.

    Raises:
        HeadstartError: it is another.
    """
    if target.kind != "llvm":
        raise HeadstartError(
            f"a bundle holds kernels for CPUs, and {target.name} is built for by other means ({target.kind}); "
            f"`headstart best WORKLOAD --target {target.name}` has the schedule that is to be built"
        )
    if not linkable(target):
        raise HeadstartError(
            f"cannot build a bundle for {target.name} ({architecture(target)}) on {_here()} yet; "
            "build it on such a machine"
        )


def _here() -> str:
    return platform.machine().replace("AMD64", "x86_64").replace("arm64", "aarch64")


def link(library: Path, objects: Sequence[str], threads: int) -> None:
    """Link object files and the pool of threads that they run on into a shared library.

    Args:
        library: file to make.
        objects: object files of TVM.
        threads: how many threads the kernels were tuned with.

    Raises:
        HeadstartError: there is no compiler, or it cannot compile or link these.
    """
    import tvm_ffi
    from tvm.support import cc

    # TVM's choice: what CXX or CC name, else the first there is of the usual ones.
    compiler = cc.get_cc()
    if compiler is None:
        raise HeadstartError(f"linking a bundle needs a C compiler and none was found: {HOW}")
    options = ["-O2", "-fPIC", "-fvisibility=hidden", "-pthread", f"-DTHREADS={threads}", "-std=gnu11"]
    options += [f"-I{folder}" for folder in tvm_ffi.libinfo.include_paths()]
    with tempfile.TemporaryDirectory() as folder:
        made = []
        for source in sorted(POOL.glob("*.c")):
            made.append(f"{folder}/{source.stem}.o")
            # A compiler of C++ takes a file for C only when it is told so.
            _run(compiler, ["-x", "c", *options, "-c", str(source), "-o", made[-1]])
        system = ["-ldl"] if platform.system() == "Linux" else []
        _run(compiler, ["-shared", "-pthread", "-o", str(library), *objects, *made, *system])


def _run(compiler: str, arguments: Sequence[str]) -> None:
    try:
        done = subprocess.run([compiler, *arguments], capture_output=True, text=True, errors="replace", check=False)
    except OSError as error:
        raise HeadstartError(
            f"linking a bundle needs a C compiler and {compiler} cannot be run ({error.strerror}): {HOW}"
        ) from None
    if done.returncode:
        told = [line for line in done.stderr.splitlines() if "error" in line and "collect2" not in line] or ["?"]
        raise HeadstartError(f"{compiler} cannot link the kernels: {told[-1].strip()[:300]}")
