"""A bundle on a machine that has numpy and tvm-ffi and nothing else of what is installed here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tvm_ffi

from headstart_runtime.bundle import Bundle
from headstart_runtime.errors import InputError
from headstart_runtime.manifest import BundleKernel
from schedules.compare import mismatch
from schedules.operator import make_operator
from tuning_db.runtime_copy import write_runtime

# Runs every kernel in two ways and keeps what it wrote, as bits.
RUN = """
import json, sys
sys.path[:0] = sys.argv[3:]
import numpy as np
from headstart_runtime import bundle

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


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copy") / "runtime"
    write_runtime(folder)
    return folder


def packages(folder: Path, *names: str) -> Path:
    """A folder with a few of the packages that are installed here."""
    folder.mkdir()
    for name in names:
        for place in {Path(module.__file__ or "").parent.parent for module in (np, tvm_ffi, ml_dtypes)}:
            for found in place.glob(f"{name}*"):
                (folder / found.name).symlink_to(found)
    return folder


def inputs(entry: BundleKernel) -> tuple[Any, list[np.ndarray]]:
    operator = make_operator(entry.operator, dict(entry.params))
    return operator, operator.inputs(np.random.default_rng(3))


@pytest.mark.parametrize("more", [(), ("ml_dtypes",)], ids=["numpy alone", "with ml_dtypes"])
def test_every_kernel(fp8: Bundle, runtime: Path, tmp_path: Path, more: tuple[str, ...]) -> None:
    arrays, kernels = tmp_path / "arrays", fp8.manifest.kernels
    arrays.mkdir()
    for entry in kernels:
        for argument, array in zip(entry.arguments, inputs(entry)[1], strict=False):
            np.save(arrays / f"{entry.workload}.{argument.name}.npy", array.view(f"uint{8 * array.itemsize}"))
    site = packages(tmp_path / "site", "numpy", "tvm_ffi", "apache_tvm_ffi", "typing_extensions", *more)
    # Neither this folder, nor the environment, nor what is installed.
    command = [sys.executable, "-I", "-S", "-c", RUN, str(fp8.path), str(arrays), str(runtime), str(site)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout)
    assert said == {"runtime": str(runtime / "headstart_runtime" / "bundle.py"), "found": list(more)}
    for entry in kernels:
        operator, given = inputs(entry)
        outputs = [a for a in entry.arguments if a.role == "output"]
        got = [np.load(arrays / f"{entry.workload}.{a.name}.npy").view(a.numpy_dtype).reshape(a.shape) for a in outputs]
        assert not mismatch(got, operator.reference(given), operator.tolerances)


def test_what_the_copy_says_of_itself(runtime: Path) -> None:
    text = (runtime / "pyproject.toml").read_text()
    assert 'name = "headstart-runtime"' in text and 'dependencies = ["apache-tvm-ffi' in text and '"numpy>=' in text
    assert (runtime / "headstart_runtime" / "torch" / "__init__.py").is_file()


def test_only_a_copy_is_replaced(runtime: Path, tmp_path: Path) -> None:
    files = write_runtime(runtime)
    assert "pyproject.toml" in files and "headstart_runtime/bundle.py" in files
    (tmp_path / "mine").mkdir()
    with pytest.raises(InputError, match="is not a copy of the runtime"):
        write_runtime(tmp_path / "mine")
