"""Read a machine from macOS's ``sysctl``."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping

from headstart_runtime.machine import Machine

KEYS = (
    "machdep.cpu.brand_string",
    "hw.memsize",
    "hw.physicalcpu",
    "hw.l1dcachesize",
    "hw.l2cachesize",
    "hw.l3cachesize",
    # The performance cores, on chips with two kinds of cores: those are the ones to tune for.
    "hw.perflevel0.physicalcpu",
    "hw.perflevel0.l1dcachesize",
    "hw.perflevel0.l2cachesize",
    "hw.perflevel0.cpusperl2",
)


def sysctl() -> dict[str, str]:
    """The values of ``KEYS`` that this machine has."""
    output = subprocess.run(["sysctl", *KEYS], capture_output=True, text=True, check=False).stdout
    return {key: value.strip() for key, _, value in (line.partition(":") for line in output.splitlines())}


def read(arch: str, values: Mapping[str, str], features: frozenset[str]) -> Machine:
    """The machine that ``sysctl`` described; ``features`` are LLVM's, since ``sysctl`` spells them its own way."""

    def number(*keys: str) -> int:
        return next((int(values[key]) for key in keys if values.get(key, "").isdigit()), 0)

    model = values.get("machdep.cpu.brand_string", "unknown")
    return Machine(
        arch="aarch64" if arch == "arm64" else arch,
        vendor=model.split()[0],
        model=model,
        features=features,
        cpus=tuple(range(max(1, number("hw.perflevel0.physicalcpu", "hw.physicalcpu")))),
        l1d=number("hw.perflevel0.l1dcachesize", "hw.l1dcachesize"),
        l2=number("hw.perflevel0.l2cachesize", "hw.l2cachesize") // max(1, number("hw.perflevel0.cpusperl2")),
        l3=number("hw.l3cachesize"),
        memory=number("hw.memsize"),
    )
