"""What a process gives up before it reads a word of what a stranger sent; it cannot take any of it back.

It is loaded before everything else, while there is one thread, and needs the standard library alone. Each layer is
there for where another is missing: a kernel without Landlock, a container that allows no namespaces.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tuner.referee import landlock, seccomp

NEW_NETWORK, NEW_IPC, NEW_USER = 0x40000000, 0x08000000, 0x10000000
# Options of prctl.
SIGNAL_WHEN_PARENT_ENDS, NO_NEW_PRIVS, DROP_BOUNDING = 1, 38, 24
# What programs and libraries need to read beside Python's own folders. Not a home, not /etc, not /var, not /tmp.
SYSTEM = (
    *("/usr", "/lib", "/lib64", "/opt/rocm", "/usr/local/cuda", "/proc", "/sys", "/etc/ld.so.cache"),
    *("/etc/localtime", "/etc/alternatives", "/dev/null", "/dev/urandom", "/dev/zero"),
)
FILES, THREADS = 256, 256
ROOT = Path(__file__).resolve().parents[2]
LAYERS = ("targets", "schedules", "tuning_db", "tuner")


def confine(scratch: str, limits: Mapping[str, int]) -> dict[str, bool]:
    """Give up network, privileges, other processes and all files but reading what Python and its libraries need.

    Args:
        scratch: the one folder that may be written to.
        limits: ``memory`` (bytes of address space), ``cpu`` (seconds of all threads), ``file`` (bytes of a file).

    Returns:
        By layer, whether it is in force.
    """
    readable = [*SYSTEM, *_python()]
    _expendable()
    return {
        "network namespace": _attempt(_leave_network),
        "no new privileges": _attempt(lambda: _prctl(NO_NEW_PRIVS, 1)),
        "limits": _attempt(lambda: _limit(limits)),
        "no capabilities": _attempt(_drop_capabilities),
        "landlock": _attempt(lambda: landlock.restrict(readable, [scratch, "/dev/null"], [str(ROOT)])),
        "seccomp": _attempt(seccomp.restrict),
    }


def isolates(layers: Mapping[str, bool]) -> bool:
    """Whether nothing can be sent anywhere."""
    return layers.get("network namespace", False) or layers.get("seccomp", False)


def _python() -> Sequence[str]:
    """Where Python, its libraries and our own code are; of a checkout, nothing else that lies in it."""
    found = {Path(place).resolve() for place in (sys.prefix, sys.base_prefix, sys.exec_prefix, *sys.path) if place}
    own = [ROOT / layer for layer in LAYERS]
    return sorted(map(str, [*(found - {Path("/"), ROOT}), *own]))


def _attempt(layer: Callable[[], Any]) -> bool:
    try:
        return layer() is not False
    except (OSError, AttributeError, ValueError):
        return False


def _prctl(*arguments: int) -> bool:
    return bool(ctypes.CDLL(None, use_errno=True).prctl(*map(ctypes.c_ulong, (*arguments, 0, 0, 0, 0)[:5])) == 0)


def _expendable() -> None:
    """End with the referee, be the first that the kernel ends when memory runs out, leave no core behind."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("900")
    _attempt(lambda: _prctl(SIGNAL_WHEN_PARENT_ENDS, signal.SIGKILL))


def _leave_network() -> bool:
    """A network of its own, with nothing in it; as somebody without privileges, in a namespace of users too."""
    unshare = ctypes.CDLL(None, use_errno=True).unshare
    user, group = os.getuid(), os.getgid()
    if unshare(NEW_NETWORK | NEW_IPC) == 0:
        return True
    if unshare(NEW_USER | NEW_NETWORK | NEW_IPC) != 0:
        return False
    # Without these it is nobody, whose files are nobody's; they matter to nothing else.
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with contextlib.suppress(OSError), open(f"/proc/self/{name}", "w") as file:
            file.write(text)
    return True


def _limit(limits: Mapping[str, int]) -> bool:
    threads = sum(1 for _ in Path("/proc").glob("[0-9]*/task/*")) if Path("/proc").is_dir() else THREADS
    for kind, most in (
        (resource.RLIMIT_AS, limits["memory"]),
        (resource.RLIMIT_CPU, limits["cpu"]),
        (resource.RLIMIT_FSIZE, limits["file"]),
        (resource.RLIMIT_NOFILE, FILES),
        # Of all processes of this user there are: a limit on bombs, not on what the next process may start.
        (resource.RLIMIT_NPROC, threads + THREADS),
    ):
        hard = resource.getrlimit(kind)[1]
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (least, least))
    return True


def _drop_capabilities() -> bool:
    """Nothing of what root may do beyond other users; where there is nothing to drop, that holds already."""
    for capability in range(64):
        _prctl(DROP_BOUNDING, capability)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    sets = (ctypes.c_uint32 * 6)()
    return bool(ctypes.CDLL(None, use_errno=True).capset(header, sets) == 0)
