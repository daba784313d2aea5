"""What turns a schedule into machine code, with versions: part of the key of every time figure."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from pathlib import Path


@cache
def versions(kind: str = "llvm") -> dict[str, str]:
    """Versions of what builds and runs kernels of a TVM target kind.

    Always ``tvm`` and ``llvm``; for ``rocm`` also ``rocm`` and ``driver``, each where it is installed.
    """
    import tvm

    found = {
        "tvm": version("apache-tvm"),
        "llvm": str(tvm.get_global_func("target.llvm_version_major")()),
    }
    if kind == "rocm":
        rocm, driver = Path("/opt/rocm/.info/version"), Path("/sys/module/amdgpu/version")
        found |= present(rocm=_text(rocm), driver=_text(driver))
    return found


def present(**values: str | None) -> dict[str, str]:
    """Those that are installed."""
    return {name: value for name, value in values.items() if value}


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
