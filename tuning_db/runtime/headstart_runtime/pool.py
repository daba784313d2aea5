"""Which threads the kernels of a bundle run on: one pool for all bundles of a process, or the program's own OpenMP.

A library brings a pool of its own; the first one's serves all. A program with an OpenMP runtime (that of torch, say)
has threads that wait busily for their next loop: kernels then run on those very threads, since two pools would take the
cores from each other.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import threading
from pathlib import Path

import tvm_ffi

from headstart_runtime.errors import InputError
from headstart_runtime.linux import ALLOWED

POOLS = ("auto", "own", "openmp")
FUNCTION = "headstart_pool"
# GNU's, Intel's and LLVM's; all have the interface that GNU's compiler calls.
OPENMP = re.compile(r"/lib(gomp|iomp5|omp)[^/]*\.so[^/]*$")
ENTRIES = ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads")

_lock = threading.Lock()
_shared = 0


def set_up(library: tvm_ffi.Module, threads: int, pool: str) -> None:
    """Tell a library, before its first kernel runs, which threads to use.

    Args:
        library: of a bundle.
        threads: how many.
        pool: ``own``, ``openmp``, or ``auto`` for OpenMP's where this process has one loaded.

    Raises:
        InputError: another word, or no OpenMP runtime to use.
    """
    global _shared  # noqa: PLW0603
    if pool not in POOLS:
        raise InputError(f"pool is {pool!r}, must be one of {', '.join(POOLS)}")
    entries = None if pool == "own" else openmp()
    if pool == "openmp" and entries is None:
        raise InputError("pool is 'openmp', and this process has no OpenMP runtime loaded: import torch first, say")
    with _lock:
        _shared = library.get_function(FUNCTION)(threads, _shared, *(entries or (0, 0, 0)))


def count(tuned: int, asked: int | None) -> int:
    """How many threads to use: as many as were asked for, here or in ``HEADSTART_THREADS``, else as kernels were tuned
    with, and no more than there are CPUs for this process.

    Raises:
        InputError: not a positive number.
    """
    given = str(asked) if asked is not None else os.environ.get("HEADSTART_THREADS")
    if given is None:
        return min(tuned, len(ALLOWED) if ALLOWED else os.cpu_count() or 1)
    if not (given.isascii() and given.isdecimal()) or not 1 <= int(given) <= 512:
        raise InputError(f"the number of threads is {given!r}, must be from 1 to 512")
    return int(given)


def openmp() -> tuple[int, ...] | None:
    """Addresses of the functions of an OpenMP runtime that is loaded in this process; None where there is none."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/maps").read_text().splitlines():
            if OPENMP.search(line):
                with contextlib.suppress(OSError, AttributeError):
                    library = ctypes.CDLL(line.split(maxsplit=5)[-1])
                    return tuple(ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0 for name in ENTRIES)
    return None
