"""The runtime as a package by itself, for machines that run kernels and have no Headstart."""

from __future__ import annotations

import shutil
from importlib.metadata import distribution
from pathlib import Path

import headstart_runtime
from tuning_db.place import replacing

NAME = "headstart_runtime"
# Of Headstart's own dependencies, those of the runtime.
NEEDS = ("apache-tvm-ffi", "numpy")
PYPROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "headstart-runtime"
version = "{version}"
description = "Run kernels that were tuned by Headstart"
license = "Apache-2.0"
requires-python = ">=3.10"
dependencies = [{needs}]

# bfloat16 and float8 in numpy; without it their arrays are unsigned integers of the same size.
[project.optional-dependencies]
types = ["{types}"]

[tool.setuptools]
packages = {{ find = {{ include = ["{name}*"] }} }}
"""


def write_runtime(destination: Path) -> tuple[str, ...]:
    """Write the package ``headstart_runtime`` and a ``pyproject.toml`` to install it by.

    Args:
        destination: directory to make; put it on ``sys.path``, or ``pip install`` it. One that was written before is
            replaced.

    Returns:
        The files written, relative to it.

    Raises:
        InputError: something else is there, or it cannot be written.
    """
    source, headstart = Path(headstart_runtime.__file__).parent, distribution("headstart")
    requires = [need.partition(";")[0].strip() for need in headstart.requires or []]
    wanted = {name: next(need for need in requires if need.startswith(name)) for name in (*NEEDS, "ml_dtypes")}
    with replacing(destination, is_runtime, "a copy of the runtime") as work:
        for path in sorted(source.rglob("*.py")):
            copy = work / NAME / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        needs = ", ".join(f'"{wanted[name]}"' for name in NEEDS)
        (work / "pyproject.toml").write_text(
            PYPROJECT.format(version=headstart.version, needs=needs, types=wanted["ml_dtypes"], name=NAME)
        )
        return tuple(sorted(path.relative_to(work).as_posix() for path in work.rglob("*") if path.is_file()))


def is_runtime(path: Path) -> bool:
    """Whether a directory is what ``write_runtime`` writes."""
    return (path / "pyproject.toml").is_file() and (path / NAME / "bundle.py").is_file()
