"""Read a machine from Linux's /proc and /sys, below any root, so that recorded trees can be read as well."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from headstart_runtime.machine import Machine

# TVM's thread pool binds the thread that first uses it, and with it all child processes, to fewer CPUs than it was
# given; what this process may use is therefore noted when this module is imported.
ALLOWED = frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None

# /proc/cpuinfo's names where LLVM's differ by more than underscores.
X86_FEATURES = {"pni": "sse3", "abm": "lzcnt", "bmi1": "bmi", "pclmulqdq": "pclmul", "sha_ni": "sha", "rdrand": "rdrnd"}
ARM_FEATURES = {"asimd": "neon", "asimdhp": "fullfp16", "asimddp": "dotprod", "asimdfhm": "fp16fml", "asimdrdm": "rdm"}
ARM_FEATURES |= {"fcma": "complxnum", "atomics": "lse", "sveaes": "sve-aes", "svebitperm": "sve-bitperm"}
ARM_FEATURES |= {"svesha3": "sve-sha3", "svesm4": "sve-sm4", "svef32mm": "f32mm", "svef64mm": "f64mm", "crc32": "crc"}
ARM_VENDORS = {"0x41": "Arm", "0x42": "Broadcom", "0x43": "Cavium", "0x46": "Fujitsu", "0x48": "HiSilicon"}
ARM_VENDORS |= {"0x4e": "NVIDIA", "0x50": "APM", "0x51": "Qualcomm", "0x53": "Samsung", "0x61": "Apple"}
ARM_VENDORS |= {"0x6d": "Microsoft", "0xc0": "Ampere"}
X86_VENDORS = {"GenuineIntel": "Intel", "AuthenticAMD": "AMD", "HygonGenuine": "Hygon", "CentaurHauls": "Zhaoxin"}


def read(arch: str, allowed: frozenset[int] | None = ALLOWED, root: Path = Path("/")) -> Machine:
    """The machine below ``root``.

    Args:
        arch: of the kernel, as ``platform.machine()`` has it.
        allowed: CPU numbers that the process may run on; None for all that are online.
        root: where ``proc`` and ``sys`` are.
    """
    cpus = _online(root)
    usable = sorted(cpus & allowed) if allowed is not None and cpus & allowed else sorted(cpus)
    info = _cpuinfo(root, usable[0])
    vendor, model = _names(info, root)
    caches = _caches(root, usable)
    return Machine(
        arch=arch,
        vendor=vendor,
        model=model,
        features=_features(info, arch),
        cpus=_one_per_core(root, usable),
        l1d=caches.get(1, 0),
        l2=caches.get(2, 0),
        l3=caches.get(3, 0),
        memory=_memory(root),
        vector_bits=8 * (_number(root / "proc/sys/abi/sve_default_vector_length") or 0) if "sve" in _words(info) else 0,
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip("\x00\n ")
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    text = _read(path)
    return int(text) if text.isdecimal() else None


def _list(text: str) -> set[int]:
    """``0-3,8`` as a set."""
    numbers: set[int] = set()
    for first, last in re.findall(r"([0-9]+)(?:-([0-9]+))?", text):
        numbers |= set(range(int(first), int(last or first) + 1))
    return numbers


def _blocks(root: Path) -> Iterator[dict[str, str]]:
    """/proc/cpuinfo, a dictionary for each CPU, keys in lower case."""
    for block in _read(root / "proc/cpuinfo").split("\n\n"):
        pairs = (line.partition(":") for line in block.splitlines() if ":" in line)
        yield {key.strip().lower(): value.strip() for key, _, value in pairs}


def _online(root: Path) -> set[int]:
    listed = _list(_read(root / "sys/devices/system/cpu/online"))
    return listed or {int(b["processor"]) for b in _blocks(root) if b.get("processor", "").isdecimal()} or {0}


def _cpuinfo(root: Path, cpu: int) -> dict[str, str]:
    """The entries of one CPU, over those that old kernels print once for all."""
    merged: dict[str, str] = {}
    for block in _blocks(root):
        if block.get("processor", str(cpu)) == str(cpu):
            merged |= block
    return merged


def _names(info: dict[str, str], root: Path) -> tuple[str, str]:
    """Vendor and model. Arm's /proc/cpuinfo has numbers only: firmware names the model there, else the part number."""
    if "vendor_id" in info:
        return X86_VENDORS.get(info["vendor_id"], info["vendor_id"]), info.get("model name", "unknown")
    if "cpu implementer" in info:
        vendor = ARM_VENDORS.get(info["cpu implementer"].lower(), info["cpu implementer"])
        product = _read(root / "sys/devices/virtual/dmi/id/product_name")
        part = f"{vendor} part {info.get('cpu part', 'unknown')}"
        return vendor, info.get("model name") or (f"{part} in {product}" if product else part)
    uarch = info.get("uarch", "")
    vendor = uarch.partition(",")[0] or info.get("mvendorid", "unknown")
    model = info.get("model name") or uarch or _read(root / "proc/device-tree/model") or "unknown"
    return vendor, model


def _words(info: dict[str, str]) -> set[str]:
    return set((info.get("flags") or info.get("features") or "").split())


def _features(info: dict[str, str], arch: str) -> frozenset[str]:
    words = _words(info)
    if "isa" in info:  # RISC-V: rv64imafdcv_zba_zbb
        base, *extensions = info["isa"].lower().split("_")
        return frozenset([*base.removeprefix("rv64").removeprefix("rv32"), *extensions])
    if arch == "aarch64":
        return frozenset(ARM_FEATURES.get(word, word) for word in words)
    return frozenset(X86_FEATURES.get(word, _x86_spelling(word)) for word in words)


def _x86_spelling(word: str) -> str:
    """LLVM's ``avx512bf16``, ``avxvnni``, ``amx-tile``, ``sse4.1`` for ``avx512_bf16``, ``avx_vnni``, and so on."""
    if word.startswith("avx"):
        return word.replace("_", "")
    return word.replace("_", "." if word.startswith("sse4_") else "-")


def _one_per_core(root: Path, usable: list[int]) -> tuple[int, ...]:
    """The first of ``usable`` on each physical core, as many as the CPU time that control groups grant is worth."""
    cpus = {_siblings(root, cpu): cpu for cpu in reversed(usable)}
    quota = _quota(root)
    return tuple(sorted(cpus.values()))[: max(1, int(quota)) if quota else None]


def _siblings(root: Path, cpu: int) -> frozenset[int]:
    topology = root / f"sys/devices/system/cpu/cpu{cpu}/topology"
    listed = _read(topology / "core_cpus_list") or _read(topology / "thread_siblings_list")
    return frozenset(_list(listed) or {cpu})


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Directories of the control groups that hold this process, innermost first, up to the root of each hierarchy."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number != "0" and controller not in controllers.split(","):
            continue
        base = root / "sys/fs/cgroup" / (controllers if number != "0" else "")
        # Inside a container the path may be the host's, which is not there: its parents are tried, the root last.
        inner = base / path.strip("/")
        while inner != base:
            yield inner
            inner = inner.parent
        yield base


def _quota(root: Path) -> float | None:
    """CPUs' worth of time that the tightest control group grants; None without a limit."""
    quotas = []
    for group in _groups(root, "cpu"):
        quota, _, period = _read(group / "cpu.max").partition(" ")
        if not quota:
            quota, period = _read(group / "cpu.cfs_quota_us"), _read(group / "cpu.cfs_period_us")
        if quota.isdecimal() and period.isdecimal() and int(period):
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def _memory(root: Path) -> int:
    names = ("memory.max", "memory.limit_in_bytes")
    limits = [_number(group / name) for group in _groups(root, "memory") for name in names]
    for line in _read(root / "proc/meminfo").splitlines():
        if match := re.match(r"MemTotal:\s*([0-9]+) kB", line):
            limits.append(int(match.group(1)) * 1024)
    return min((limit for limit in limits if limit is not None), default=0)


def _caches(root: Path, usable: list[int]) -> dict[int, int]:
    """Bytes of data cache by level: 1 and 2 a core's share of the first usable core's, from 3 on in all.

    A cache of an outer level is counted once, and only if a usable CPU is behind it.
    """
    sizes: dict[int, int] = {}
    seen: set[tuple[int, frozenset[int]]] = set()
    for cpu in usable:
        for index in sorted((root / f"sys/devices/system/cpu/cpu{cpu}/cache").glob("index*")):
            level, size = _number(index / "level"), _bytes(_read(index / "size"))
            if level is None or not size or _read(index / "type") == "Instruction":
                continue
            shared = frozenset(_list(_read(index / "shared_cpu_list")) or {cpu})
            if level < 3 and cpu == usable[0]:
                sizes[level] = size // len({_siblings(root, other) for other in shared})
            elif level >= 3 and (level, shared) not in seen:
                sizes[3] = sizes.get(3, 0) + size
                seen.add((level, shared))
    return sizes


def _bytes(text: str) -> int:
    units = {"K": 2**10, "M": 2**20, "G": 2**30}
    number, unit = (text[:-1], units[text[-1]]) if text[-1:] in units else (text, 1)
    return int(number) * unit if number.isdecimal() else 0
