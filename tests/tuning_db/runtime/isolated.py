"""Run a bundle in an interpreter that has numpy and tvm-ffi and nothing else of what is installed here."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import tvm_ffi

from headstart_runtime import bundle
from headstart_runtime.manifest import BundleKernel
from schedules.compare import mismatch
from schedules.operator import make_operator

# Runs every kernel in two ways and keeps what it wrote, as bits.
RUN = """
import json, sys
sys.path[:0] = sys.argv[3:]
import numpy as np
from headstart_runtime import bundle

if "--emulated" in sys.argv:
    bundle.check_chip = lambda *_: None  # /proc/cpuinfo is that of the machine which emulates
kernels = bundle.load(sys.argv[1])
for entry in kernels.manifest.kernels:
    kernel, folder = kernels[entry.workload], f"{sys.argv[2]}/{entry.workload}"
    inputs = [np.load(f"{folder}.{a.name}.npy").view(a.numpy_dtype) for a in kernel.inputs]
    outputs = kernel(*inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    if entry.weights:
        weights = [x for x, a in zip(inputs, kernel.inputs) if a in kernel.weights]
        again = kernel.prepare(*weights)(*[x for x, a in zip(inputs, kernel.inputs) if a not in kernel.weights])
        assert (again.view(np.uint8) == outputs[0].view(np.uint8)).all()
    for argument, output in zip(kernel.outputs, outputs):
        np.save(f"{folder}.{argument.name}.npy", output.view(np.uint8))
found = {name.partition(".")[0] for name in sys.modules}
found &= {"tvm", "torch", "ml_dtypes", "targets", "cli"}
print(json.dumps({"runtime": bundle.__file__, "found": sorted(found)}))
"""


def run_alone(path: Path, runtime: Path, scratch: Path, *more: str) -> None:
    """Run every kernel of a bundle there, and see that it is right.

    Args:
        path: the bundle.
        runtime: copy of the runtime.
        scratch: an empty folder.
        more: packages that are there besides.
    """
    site = _packages(scratch / "site", "numpy", "tvm_ffi", "apache_tvm_ffi", "typing_extensions", *more)
    # Neither this folder, nor the environment, nor what is installed.
    said = run_with([sys.executable, "-I", "-S"], path, [runtime, site], scratch)
    assert said == {"runtime": str(runtime / "headstart_runtime" / "bundle.py"), "found": list(more)}


def run_with(python: Sequence[str], path: Path, places: Sequence[Path], scratch: Path, *more: str) -> Any:
    """Run every kernel of a bundle with a Python, and see that it is right.

    Args:
        python: the command.
        path: the bundle.
        places: where its packages are: the runtime, numpy and tvm-ffi.
        scratch: an empty folder.
        more: what ``RUN`` is told besides.
    """
    arrays, kernels = scratch / "arrays", bundle.verify(path)[0].kernels
    arrays.mkdir()
    for entry in kernels:
        for argument, array in zip(entry.arguments, _inputs(entry)[1], strict=False):
            np.save(arrays / f"{entry.workload}.{argument.name}.npy", array.view(f"uint{8 * array.itemsize}"))
    command = [*python, "-c", RUN, str(path), str(arrays), *map(str, places), *more]
    done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False, timeout=3600)
    assert done.returncode == 0, done.stderr[-2000:]
    for entry in kernels:
        operator, given = _inputs(entry)
        outputs = [a for a in entry.arguments if a.role == "output"]
        got = [np.load(arrays / f"{entry.workload}.{a.name}.npy").view(a.numpy_dtype).reshape(a.shape) for a in outputs]
        assert not mismatch(got, operator.reference(given), operator.tolerances), entry.label
    return json.loads(done.stdout)


def _packages(folder: Path, *names: str) -> Path:
    """A folder with a few of the packages that are installed here."""
    folder.mkdir()
    for name in names:
        for place in {Path(module.__file__ or "").parent.parent for module in (np, tvm_ffi, ml_dtypes)}:
            for found in place.glob(f"{name}*"):
                (folder / found.name).symlink_to(found)
    return folder


def _inputs(entry: BundleKernel) -> tuple[Any, list[np.ndarray]]:
    operator = make_operator(entry.operator, dict(entry.params))
    return operator, operator.inputs(np.random.default_rng(3))
