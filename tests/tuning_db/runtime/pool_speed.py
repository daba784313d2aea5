"""How long kernels take on their own pool, on torch's OpenMP threads and on TVM's pool: run it on a quiet machine.

    python -m tests.tuning_db.runtime.pool_speed

Each pool runs in processes of its own, in turns. A kernel is called again and again; after a pause, in which threads
fall asleep; and alternating with a matrix product of torch. Figures are medians of microseconds over all processes, in
brackets what a tenth of the calls stayed below, and nine tenths.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import quantiles
from typing import Any

POOLS = ("own", "openmp", "tvm", "one thread")
SHAPES = {"small": (4, 256, 512), "large": (4, 2048, 2048)}
ROUNDS, CALLS = 3, 100


def build(folder: Path) -> None:
    """Each kernel in a library with the pool and in one without, from the same object file."""
    from tvm.support import cc

    from schedules.operator import make_operator
    from schedules.spaces.panels import Panels
    from schedules.workload import Workload
    from targets import detect
    from tuner.compile import _compile
    from tuner.link import link

    target = detect.host()
    for name, (m, n, k) in SHAPES.items():
        params = {"m": m, "n": n, "k": k, "dtype": "bfloat16", "out": "bfloat16"}
        workload = Workload.of(make_operator("linear", params))
        compiled = _compile(workload, Panels(workload, target).seeds()[0], target, name)
        compiled.code.mod.write_to_file(f"{folder}/{name}.o")
        link(folder / f"{name}.so", [f"{folder}/{name}.o"], target.cores, target)
        cc.create_shared(f"{folder}/{name}.tvm.so", [f"{folder}/{name}.o"])
        arrays = [[m, k], *(list(a.shape) for a in compiled.prepared), [m, n]]
        dtypes = ["bfloat16", *(a.dtype for a in compiled.prepared), "bfloat16"]
        (folder / f"{name}.json").write_text(json.dumps([target.cores, arrays, dtypes]))


def run(folder: Path, how: str) -> dict[str, list[float]]:
    """Seconds of each call in this process."""
    import torch
    import tvm_ffi

    from headstart_runtime import pool

    found: dict[str, list[float]] = {}
    for name in SHAPES:
        cores, shapes, dtypes = json.loads((folder / f"{name}.json").read_text())
        if how == "tvm":
            os.environ["TVM_NUM_THREADS"] = str(cores)
            tvm_ffi.libinfo.load_lib_ctypes("apache-tvm", "tvm_runtime", "RTLD_GLOBAL")
            library = tvm_ffi.load_module(folder / f"{name}.tvm.so")
        else:
            library = tvm_ffi.load_module(folder / f"{name}.so")
            pool.set_up(library, 1 if how == "one thread" else cores, "openmp" if how == "openmp" else "own")
        function = library.get_function(name)
        arrays = [torch.zeros(s, dtype=getattr(torch, d)) for s, d in zip(shapes, dtypes, strict=True)]
        x, w = torch.zeros(64, 1024), torch.zeros(1024, 256)

        def kernel(function: Any = function, arrays: Any = arrays) -> None:
            function(*arrays)

        def product(x: Any = x, w: Any = w) -> None:
            torch.mm(x, w)

        found[f"{name}: again and again"] = timed(kernel)
        found[f"{name}: after 1 ms"] = timed(kernel, lambda: time.sleep(0.001))
        found[f"{name}: after a product of torch"] = timed(kernel, product)
        found[f"{name}: torch's product after it"] = timed(product, kernel)
    return found


def timed(call: Callable[[], Any], before: Callable[[], Any] = lambda: None) -> list[float]:
    """Seconds of each of some calls, each after something that is not timed."""
    time.sleep(0.1)  # threads of torch, which wait busily after its products, are asleep by then
    seconds = []
    for _ in range(CALLS):
        before()
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return seconds


def main() -> None:
    """Build, measure in turns, print."""
    found: dict[str, dict[str, list[float]]] = {how: {} for how in POOLS}
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder))
        for _ in range(ROUNDS):
            for how in POOLS:
                command = [sys.executable, "-m", "tests.tuning_db.runtime.pool_speed", folder, how]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                for what, seconds in json.loads(done.stdout).items():
                    found[how].setdefault(what, []).extend(seconds)
    print(f"{'':34}" + "".join(f"{how:>24}" for how in POOLS))
    for what in found["own"]:
        cells = []
        for how in POOLS:
            parts = [1e6 * part for part in quantiles(found[how][what], n=10)]
            cells.append(f"{parts[4]:8.1f} [{parts[0]:.1f} {parts[8]:.1f}]")
        print(f"{what:34}" + "".join(f"{cell:>24}" for cell in cells))


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        print(json.dumps(run(Path(sys.argv[1]), sys.argv[2])))
