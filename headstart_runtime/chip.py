"""Whether this machine can run the code of a bundle."""

from __future__ import annotations

import platform

from headstart_runtime import linux
from headstart_runtime.errors import HeadstartError
from headstart_runtime.manifest import BundleTarget


def check_chip(built_for: BundleTarget) -> None:
    """Refuse code with instructions that this CPU lacks: running one would end the process.

    Raises:
        HeadstartError: another architecture, or instructions lacking; the message names the chip and them.
    """
    arch = platform.machine().replace("AMD64", "x86_64").replace("arm64", "aarch64")
    if built_for.arch != arch:
        raise HeadstartError(f"the bundle is for {built_for.name} ({built_for.arch}), this machine is {arch}")
    # Elsewhere the system does not report features in LLVM's words, or not all of them.
    if platform.system() == "Linux" and arch in ("x86_64", "aarch64"):
        lacking = sorted(set(built_for.instructions) - linux.read(arch).features)
        if lacking:
            raise HeadstartError(f"the bundle is for {built_for.name}; this CPU lacks {', '.join(lacking)}")
