"""A library that says that it was loaded, before anything of it is asked for: it makes a file."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

# The environment variable with the file's path.
LOADED = "HEADSTART_TEST_LOADED"
SOURCE = f"""
#include <stdio.h>
#include <stdlib.h>
__attribute__((constructor)) static void loaded(void) {{
  FILE *file = fopen(getenv("{LOADED}"), "w");
  if (file) fclose(file);
}}
"""


def speaking(folder: Path) -> bytes:
    """Compile it in a folder that is there."""
    (folder / "speaks.c").write_text(SOURCE)
    compiler = shutil.which("cc") or "gcc"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", "speaks.so", "speaks.c"], cwd=folder, check=True)
    return (folder / "speaks.so").read_bytes()
