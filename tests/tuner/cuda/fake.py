"""In place of NVIDIA's driver and compiler, as far as our own use of them goes: ``fake_driver.c`` and an nvcc."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tvm.support import cc

SOURCE = Path(__file__).parent / "fake_driver.c"
# Its "machine code" is the name of one of the kernels of ``fake_driver.c``: which, the threads of a block say.
NVCC = r"""#!/bin/sh
[ "$1" = --version ] && { echo "Cuda compilation tools, release 13.0, V13.0.88"; exit; }
while [ "$1" != -o ]; do shift; done
registers=16 spilled=0
case $(cat "$3") in
  *"__launch_bounds__(64)"*) kernel=add;;
  *"__launch_bounds__(128)"*) kernel=fault;;
  *"__launch_bounds__(256)"*) kernel=hang;;
  *) kernel=add registers=128 spilled=40;;
esac
printf %s "$kernel" > "$2"
echo "ptxas info    : Compiling entry function 'main_kernel' for 'sm_90a'" >&2
echo "    0 bytes stack frame, $spilled bytes spill stores, 0 bytes spill loads" >&2
echo "ptxas info    : Used $registers registers" >&2
"""


def driver(folder: Path) -> Path:
    """Build the driver in a folder; for other processes to find it, the folder goes into LD_LIBRARY_PATH."""
    library = folder / "libcuda.so.1"
    compiler = cc.get_cc()
    assert compiler is not None
    subprocess.run([compiler, "-x", "c", "-shared", "-fPIC", "-O1", str(SOURCE), "-o", str(library)], check=True)
    return library


def surroundings(folder: Path) -> dict[str, str]:
    """The environment in which this machine seems to have an H100 and CUDA: the driver, and an nvcc, in a folder."""
    driver(folder)
    (folder / "nvcc").write_text(NVCC)
    (folder / "nvcc").chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "LD_LIBRARY_PATH": str(folder)}
