"""Zig, which compiles C and links for architectures that this machine is not: the package ``ziglang``."""

from __future__ import annotations

import importlib.util
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from targets.errors import HeadstartError


@cache
def zig_version() -> str | None:
    """Version of the package; None where it is not installed."""
    try:
        return version("ziglang")
    except PackageNotFoundError:
        return None


def zig(*arguments: str) -> None:
    """Run it.

    Raises:
        HeadstartError: it is not installed, or refuses.
    """
    found = importlib.util.find_spec("ziglang")
    if found is None or found.origin is None:
        raise HeadstartError(
            "linking for another architecture needs the package ziglang: pip install 'headstart[cross]'"
        )
    # The program itself: starting Python to start it would take three times as long.
    done = subprocess.run(
        [Path(found.origin).with_name("zig"), *arguments], capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        told = [line for line in done.stderr.splitlines() if "error" in line] or ["?"]
        raise HeadstartError(f"zig {arguments[0]} refuses the kernel: {told[0].strip()[:300]}")
