"""Who takes part: names, what they need to be installed, and the environment that their threads get."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from targets import threads
from targets.errors import InputError

TORCH = "pip install 'headstart[torch]'"


@dataclass(frozen=True)
class Entry:
    """One that is timed.

    Attributes:
        name: short, for options and tables.
        title: what it is.
        module: of ``tuner.bench.peers``.
        options: for the module's ``load``.
    """

    name: str
    title: str
    module: str
    options: Mapping[str, Any] = field(default_factory=dict)


# What can be asked for; tuned takes part whoever else does.
PEERS = {
    entry.name: entry
    for entry in (
        Entry("default", "Headstart's default schedule: what a sensible compiler does without tuning", "headstart"),
        Entry("numpy", "numpy, with its BLAS", "numpy"),
        Entry("torch", "torch, eager", "torch_eager"),
        Entry("compile", "torch.compile", "torch_compile", {"mode": "default"}),
        Entry("max-autotune", "torch.compile, max-autotune, weights frozen", "torch_compile", {"mode": "max-autotune"}),
        Entry("metaschedule", "TVM's own MetaSchedule", "metaschedule"),
    )
}
# MetaSchedule takes minutes a workload and is asked for by name.
USUAL = tuple(name for name in PEERS if name != "metaschedule")
# Peers that are torch: the best of them is what a user would have otherwise.
OF_TORCH = ("torch", "compile", "max-autotune")


def chosen(text: str) -> list[Entry]:
    """The peers of a list of names with commas; ``all`` is all of them.

    Raises:
        InputError: no such peer.
    """
    names = list(PEERS) if text == "all" else list(dict.fromkeys(filter(None, text.split(","))))
    unknown = [name for name in names if name not in PEERS]
    if unknown:
        raise InputError(f"no peer is called {unknown[0]!r}; there are {', '.join(PEERS)}, or all of them: all")
    return [PEERS[name] for name in names]


def absent(entry: Entry) -> str | None:
    """What a peer lacks on this machine and how to get it; None where it can take part."""
    if entry.module.startswith("torch_") and not _installed("torch"):
        return f"torch is not installed: {TORCH}"
    if entry.module == "torch_decoder" and not _installed("transformers"):
        return "transformers is not installed: pip install 'headstart[hf]'"
    compilers = (os.environ.get("CXX", ""), "g++", "clang++", "c++")
    compiles = entry.module == "torch_compile" or entry.options.get("compiled")
    if compiles and not any(name and shutil.which(name) for name in compilers):
        return "torch.compile needs a C++ compiler: install g++, or name one in CXX"
    missing = [name for name in ("cloudpickle", "tornado", "psutil") if not _installed(name)]
    if entry.module == "metaschedule" and missing:
        return f"MetaSchedule needs {' and '.join(missing)}: pip install 'headstart[bench]'"
    return None


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ValueError:  # what a module that was put out of reach with None in sys.modules raises
        return sys.modules.get(name) is not None


def environment(entry: Entry, cpus: Sequence[int], folder: str) -> dict[str, str]:
    """Environment variables for a peer's process: as many threads for everybody, each bound to a CPU where it can be.

    Pools keep the habit of spinning after a call, which a loop of calls needs, but stop soon enough to be asleep when
    it is another's turn.

    Args:
        cpus: to run on.
        folder: for what is compiled.
    """
    count = str(len(cpus))
    # BLAS inside our own peers serves references only, and its threads would spin beside kernels.
    blas = "1" if entry.module in ("headstart", "metaschedule", "roof") else count
    return {
        **threads.environment(len(cpus)),
        "OMP_NUM_THREADS": blas,
        "MKL_NUM_THREADS": blas,
        "OPENBLAS_NUM_THREADS": blas,
        "OMP_PLACES": ",".join(f"{{{cpu}}}" for cpu in cpus),
        "OMP_PROC_BIND": "true",
        "KMP_BLOCKTIME": "5",  # milliseconds that LLVM's and Intel's OpenMP spin, 200 by default
        "OPENBLAS_THREAD_TIMEOUT": "22",  # 2^22 cycles, a millisecond or two
        "TORCHINDUCTOR_CACHE_DIR": os.path.join(folder, "inductor"),
        "TORCHINDUCTOR_COMPILE_THREADS": "1",  # no pool of processes
        "TMPDIR": folder,
    }
