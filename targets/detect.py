"""Recognise the CPU that this process runs on."""

from __future__ import annotations

import platform
import re
from dataclasses import replace
from functools import cache
from typing import Any

from headstart_runtime import linux, macos
from headstart_runtime.machine import Machine, code_features
from targets import catalogue
from targets.target import Target

# Older extensions that LLVM uses unprompted where a chip of the name has them. They were never part of fingerprints.
UNPROMPTED = {"x86_64": r"s?sse3|sse4a|movbe"}

# RISC-V kernels report the extension on the left and leave out what it brings along; vendors' own extensions to
# vectors they do not report at all.
BRINGS = {"v": r"zve.*|zvl.*|xsmt.*|xthead.*", "zfh": "zfhmin", "zvfh": "zvfhmin"}


@cache
def host() -> Target:
    """The CPU of this machine, as this process may use it, without peaks."""
    import tvm

    found = machine()
    triple = f"{found.arch}-linux-gnu"
    if platform.system() != "Linux":
        triple = str(tvm.get_global_func("target.llvm_get_system_triple")())
    return describe(found, str(tvm.get_global_func("target.llvm_get_system_cpu")()), triple)


@cache
def machine() -> Machine:
    """What the operating system says about this machine."""
    import tvm

    arch = platform.machine().replace("AMD64", "x86_64")
    if platform.system() == "Linux":
        return linux.read(arch)
    flags = tvm.get_global_func("tvm.codegen.llvm.GetHostCPUFeatures")() or {}
    return macos.read(arch, macos.sysctl(), frozenset(str(name) for name, present in flags.items() if present))


def cpus() -> tuple[int, ...]:
    """Numbers of the CPUs to run kernels on, one for each core of ``host``; see ``targets.threads.bind``."""
    return machine().cpus


def describe(machine: Machine, cpu: str, triple: str) -> Target:
    """The target that a machine is.

    It is called after the catalogue's chip of the same LLVM name, with the number of cores (``zen4-2c``), and just
    as the catalogue has it when the fingerprints are equal; else ``cpu-<LLVM's name>-<cores>c``.

    Args:
        machine: what the operating system reports.
        cpu: LLVM's name of the chip.
        triple: LLVM's name of architecture and system.
    """
    has = code_features(machine.arch, machine.features)
    implied = code_features(machine.arch, llvm_features(triple, cpu))
    if machine.arch == "riscv64":
        brought = [pattern for word, pattern in BRINGS.items() if word in has]
        has |= {name for name in implied if any(re.fullmatch(pattern, name) for pattern in brought)}
    tvm_target: dict[str, Any] = {"kind": "llvm", "mtriple": triple, "mcpu": cpu, "num-cores": machine.cores}
    # What the system reports counts: a hypervisor may hide a part of what LLVM takes a chip of this name to have.
    if has != implied:
        tvm_target["mattr"] = [f"+{name}" for name in sorted(has - implied)]
        tvm_target["mattr"] += [f"-{name}" for name in sorted(implied - has)]
    relatives = [target for target in catalogue.targets() if target.tvm.get("mcpu") == cpu]
    family = relatives[0].name if relatives else f"cpu-{cpu}"
    target = Target(
        name=f"{family}-{machine.cores}c",
        vendor=machine.vendor,
        model=machine.model,
        tvm=tvm_target,
        cores=machine.cores,
        vector_bits=_vector_bits(machine, has),
        features=tuple(sorted(has)),
        l1d=machine.l1d,
        l2=machine.l2,
        l3=machine.l3,
        memory=machine.memory,
    )
    same = [relative for relative in relatives if relative.fingerprint == target.fingerprint]
    return replace(target, name=same[0].name) if same else target


def instructions(target: Target) -> tuple[str, ...]:
    """Extensions that code for a target may use, LLVM's spelling, sorted: a CPU that lacks one cannot run it."""
    triple, cpu = str(target.tvm.get("mtriple", "")), str(target.tvm.get("mcpu", ""))
    pattern = UNPROMPTED.get(triple.partition("-")[0])
    implied = llvm_features(triple, cpu) if pattern and cpu else set()
    return tuple(sorted({*target.features, *(name for name in implied if re.fullmatch(pattern or "", name))}))


def llvm_features(triple: str, cpu: str) -> set[str]:
    """What LLVM takes every chip of this name to have, tuning hints included."""
    from tvm.target import Target as TvmTarget
    from tvm.target.codegen import llvm_get_cpu_features

    return {str(name) for name in llvm_get_cpu_features(TvmTarget({"kind": "llvm", "mtriple": triple, "mcpu": cpu}))}


def _vector_bits(machine: Machine, features: set[str]) -> int:
    """Width of the widest vector registers; 64 bits, one general register, on a chip without any."""
    scalable = [int(name[3:-1]) for name in features if re.fullmatch(r"zvl\d+b", name)]
    if machine.arch == "x86_64":
        return 512 if "avx512f" in features else 256 if "avx" in features else 128
    if machine.arch == "aarch64":
        return max(128, machine.vector_bits if "sve" in features else 0)
    return max(scalable, default=64)
