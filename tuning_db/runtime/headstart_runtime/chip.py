"""Whether this machine is the chip that a bundle was built for, and whether it can run the code at all.

A target's fingerprint is a hash of what changes code or speed: LLVM's name of the chip, the extensions that change
code, cores, and sizes of caches. All but the name, which LLVM is not there to be asked for, is compared here as the
system shows it. So the chip that a bundle was built for always passes, and so does another one that has the same
extensions, cores and caches.
"""

from __future__ import annotations

import platform
from functools import cache

from headstart_runtime import linux, macos
from headstart_runtime.errors import HeadstartError
from headstart_runtime.machine import Machine, code_features
from headstart_runtime.manifest import BundleTarget

# Where the system reports extensions in words that are LLVM's, or can be turned into them.
REPORTED = ("x86_64", "aarch64")


class OtherChipError(HeadstartError):
    """The bundle was built for another chip than this machine is."""


@cache
def here() -> Machine:
    """This machine, as this process may use it."""
    arch = platform.machine().replace("AMD64", "x86_64").replace("arm64", "aarch64")
    if platform.system() == "Linux":
        return linux.read(arch)
    return macos.read(arch, macos.sysctl(), frozenset())


def check_chip(built_for: BundleTarget, any_chip: bool = False) -> None:
    """Refuse a bundle for another chip, and always one with instructions that this CPU lacks.

    Args:
        built_for: of the manifest.
        any_chip: take a bundle for another chip all the same where its code runs.

    Raises:
        OtherChipError: it is for another; the message names both, and what differs.
    """
    machine = here()
    what = f"the bundle is for {built_for.name} ({built_for.model})"
    this = f"this machine is {machine.model} ({machine.arch}, {machine.cores} cores)"
    if built_for.arch != machine.arch:
        raise OtherChipError(f"{what}, {built_for.arch}; {this}")
    if platform.system() == "Linux" and machine.arch in REPORTED:
        lacking = sorted(set(built_for.instructions) - machine.features)
        if lacking:
            raise OtherChipError(f"{what}; {this}, and lacks instructions that its code uses: {', '.join(lacking)}")
    different = _differences(built_for, machine)
    if different and not any_chip:
        raise OtherChipError(
            f"{what}; {this}: {', '.join(different)}. Its kernels would run but were not tuned for this chip; "
            "take a bundle that was, or load it with any_chip=True"
        )


def _differences(built_for: BundleTarget, machine: Machine) -> list[str]:
    """What of the chip is not as it is here."""
    found = [
        f"{getattr(machine, name)} {what} and not {getattr(built_for, name)}"
        for name, what in (
            ("cores", "cores"),
            ("l1d", "bytes of first-level cache"),
            ("l2", "bytes of second-level cache"),
            ("l3", "bytes of third-level cache"),
        )
        if getattr(machine, name) != getattr(built_for, name)
    ]
    if platform.system() == "Linux" and machine.arch in REPORTED:
        more = sorted(code_features(machine.arch, machine.features) - set(built_for.features))
        found += [f"it has {', '.join(more)} too"] if more else []
    return found
