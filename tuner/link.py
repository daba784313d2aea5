"""Object files linked into the shared library of a bundle, with the system's compiler."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path

from targets import Target
from targets.errors import HeadstartError


def architecture(target: Target) -> str:
    """``x86_64``, ``aarch64``, ..., this machine's where a target names none; TVM's kind of target for a GPU."""
    named = str(target.tvm.get("mtriple", "")).partition("-")[0].replace("arm64", "aarch64") or _here()
    return named if target.kind == "llvm" else target.kind


def check_linkable(target: Target) -> None:
    """The compiler that links is this machine's own, so only its architecture is possible.

    Raises:
        HeadstartError: it is another.
    """
    if architecture(target) != _here():
        raise HeadstartError(
            f"cannot build a bundle for {target.name} ({architecture(target)}) on {_here()} yet; "
            "build it on such a machine"
        )


def _here() -> str:
    return platform.machine().replace("AMD64", "x86_64").replace("arm64", "aarch64")


def link(library: Path, objects: Sequence[str]) -> None:
    """Link object files into a shared library with the system's C or C++ compiler.

    Raises:
        HeadstartError: there is no compiler, or it cannot link these.
    """
    from tvm.support import cc

    compiler = cc.get_cc()
    try:
        if compiler is None:
            raise FileNotFoundError
        cc.create_shared(str(library), list(objects), cc=compiler)
    except FileNotFoundError:
        found = "none was found" if compiler is None else f"{compiler} is not there"
        raise HeadstartError(
            f"linking a bundle needs a C compiler and {found}: install gcc or clang, or name one in CXX"
        ) from None
    except RuntimeError as error:
        told = [line for line in str(error).splitlines() if "error" in line and "collect2" not in line] or ["?"]
        raise HeadstartError(f"{compiler} cannot link the kernels: {told[-1].strip()[:300]}") from None
