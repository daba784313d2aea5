"""Run a bundle for another architecture with a Python of that architecture, under an emulator, and check every kernel.

    python -m tests.tuning_db.runtime.foreign BUNDLE SITE COMMAND...

SITE is a folder with numpy and tvm-ffi for it, COMMAND what runs its Python: docs/cross.md says how to get them.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import headstart_runtime
from headstart_runtime import bundle
from tests.tuning_db.runtime.isolated import run_with

RUNTIME = Path(headstart_runtime.__file__).parents[1]

if __name__ == "__main__":
    path, site, *command = sys.argv[1:]
    with tempfile.TemporaryDirectory() as scratch:
        run_with(command, Path(path).absolute(), [RUNTIME, Path(site).absolute()], Path(scratch), "--emulated")
    listed = bundle.verify(path)[0]
    print(f"{len(listed.kernels)} kernels for {listed.target.name} ({listed.target.arch}) are right")
