"""What it costs to load a bundle and to call its kernels here: ``python -m headstart_runtime.cost DIR``.

Each run is a process of its own, which imports nothing that the others have imported. Times are of the smallest kernel,
so that little but the call is in them: through Headstart, and of the same compiled function called by tvm-ffi itself.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from headstart_runtime.errors import HeadstartError

RUNS = 5
# Calls that are timed together, and how often: the least time is what it takes when nothing comes between.
CALLS, ROUNDS = 500, 30


def measure(path: str | os.PathLike[str], runs: int = RUNS, torch: bool = False) -> dict[str, Any]:
    """The median of each figure over some fresh processes.

    Args:
        path: of a bundle.
        runs: how many processes.
        torch: import torch first and call with its tensors too; otherwise tvm-ffi does not get to import it.

    Returns:
        ``seconds`` of each step from importing numpy to the end of the first call, and ``total``, their sum;
        ``bytes`` of memory: with numpy and tvm-ffi, and what loading and the first call add; ``kernel``, which was
        called; ``calls``, seconds of a call by the way it is called.

    Raises:
        HeadstartError: a process ended without figures; the message has its last line.
    """
    command = [sys.executable, "-m", "headstart_runtime.cost", os.fspath(path), *["torch"] * torch]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    found = []
    with tempfile.TemporaryDirectory() as bytecode:
        # Modules are compiled once wherever they are installed: the run that does it here does not count.
        environment["PYTHONPYCACHEPREFIX"] = bytecode
        for _ in range(1 + runs):
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                raise HeadstartError((done.stderr.strip().splitlines() or ["no figures"])[-1].partition(": ")[2])
            found.append(json.loads(done.stdout))
    del found[0]
    return {key: _median([one[key] for one in found]) for key in found[0]}


def _median(values: list[Any]) -> Any:
    if isinstance(values[0], dict):
        return {key: _median([value[key] for value in values]) for key in values[0]}
    return values[0] if isinstance(values[0], str) else statistics.median(values)


def run(path: str, with_torch: bool) -> dict[str, Any]:
    """The figures of this process, which must have imported nothing yet."""
    seconds: dict[str, float] = {}
    memory: dict[str, int] = {}

    def step(name: str, do: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = do()
        seconds[name] = time.perf_counter() - start
        return result

    if with_torch:
        step("import torch", lambda: __import__("torch"))
    else:
        sys.modules["torch"] = None  # type: ignore[assignment]
    numpy = step("import numpy", lambda: __import__("numpy"))
    step("import tvm_ffi", lambda: __import__("tvm_ffi"))
    memory["numpy and tvm_ffi"] = before = _resident()
    bundle = step("import headstart_runtime", lambda: __import__("headstart_runtime.bundle").bundle)
    kernels = step("load", lambda: bundle.load(path))
    entry = min(kernels.manifest.kernels, key=lambda kernel: sum(a.nbytes for a in kernel.arguments))
    kernel = kernels[entry.workload]
    arrays = [numpy.zeros(a.shape, a.numpy_dtype) for a in kernel.arguments]
    step("first call", lambda: kernel(*arrays))
    memory["headstart_runtime and the bundle"] = _resident() - before
    return {
        "seconds": {**seconds, "total": sum(seconds.values())},
        "bytes": memory,
        "kernel": kernel.name,
        "calls": _calls(kernel, arrays, with_torch),
    }


def _calls(kernel: Any, arrays: list[Any], with_torch: bool) -> dict[str, float]:
    """Seconds of a call, by how it is called; weights that have a layout are laid out before."""
    inputs = len(kernel.inputs)
    if kernel.layout is not None:
        weights = [x for x, a in zip(arrays, kernel.inputs, strict=False) if a in kernel.weights]
        arrays = [x for x, a in zip(arrays, kernel.arguments, strict=True) if a not in kernel.weights]
        kernel, inputs = kernel.prepare(*weights), len(arrays) - len(kernel.outputs)
        kept = [None if at is None else kernel.kept[at] for at in kernel._kept]
        compiled, signature = kernel.kernel.function, kernel.signature
    else:
        kept = [None] * len(arrays)
        compiled, signature = kernel.function, kernel.signature
    given = iter(arrays)
    whole = [next(given) if one is None else one for one in kept]
    tensors = signature.tensors(whole)
    mine = [tensor for tensor, one in zip(tensors, kept, strict=True) if one is None]
    ways: dict[str, Callable[[], Any]] = {
        "tvm-ffi, its tensors": lambda: compiled(*tensors),
        "Headstart, the same": lambda: kernel(*mine),
        "Headstart, numpy": lambda: kernel(*arrays),
        "Headstart, numpy, outputs allocated": lambda: kernel(*arrays[:inputs]),
    }
    if with_torch:
        torch = sys.modules["torch"]
        of_torch = [torch.zeros(tuple(t.shape), dtype=getattr(torch, str(t.dtype))) for t in mine]
        rest = iter(of_torch)
        all_of_torch = [next(rest) if one is None else one for one in kept]
        ways |= {
            "tvm-ffi, torch": lambda: compiled(*all_of_torch),
            "Headstart, torch": lambda: kernel(*of_torch),
            "Headstart, torch, outputs allocated": lambda: kernel(*of_torch[:inputs]),
        }
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(ROUNDS):  # in turns, so that a busy moment is nobody's
        for way, call in ways.items():
            start = time.perf_counter()
            for _ in range(CALLS):
                call()
            best[way] = min(best[way], (time.perf_counter() - start) / CALLS)
    return best


def _resident() -> int:
    """Bytes of memory that this process has, or had at most where the system does not say what it has."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], "torch" in sys.argv[2:])))
