"""Packages with entry points of ``headstart.targets``, for tests: written as pip would install them, or by pip."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from targets import plugins

EXAMPLE = Path(__file__).parents[1] / "docs" / "example_chip"
# A chip as a plug-in declares it, and a plug-in that has it.
PLUGIN = """
from targets import Peaks, Target

chip = Target("{name}", "Maker", "Chip", {{"kind": "c", "mcpu": "{name}"}}, cores=1, vector_bits=32)
targets, spaces = [chip], []


def backend(target):
    raise RuntimeError("no card")
"""


def write(site: Path, package: str, chips: list[str], code: str | None = None) -> None:
    """Lay a package into a folder as pip does, with an entry point for each chip; by default a plug-in of the first."""
    (site / package).mkdir(parents=True)
    (site / package / "__init__.py").write_text(PLUGIN.format(name=chips[0]) if code is None else code)
    _describe(site, package, [f"{chip} = {package}" for chip in chips])


def _describe(site: Path, package: str, points: list[str]) -> None:
    info = site / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join([f"[{plugins.GROUP}]", *points, ""]))


def lay_example(site: Path) -> None:
    """Lay the worked example into a folder as pip would, which takes longer."""
    shutil.copytree(EXAMPLE / "example_chip", site / "example_chip")
    _describe(site, "example_chip", ["example-npu = example_chip:plugin"])


def install(source: Path, site: Path) -> None:
    """Have pip install a package into a folder, from a copy of its source and without a network."""
    copy = site.with_name(f"{site.name}-source")
    shutil.copytree(source, copy)
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--no-compile", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", "-q", *options, "--target", str(site), str(copy)]
    subprocess.run(command, check=True, capture_output=True, text=True)


@contextmanager
def on_path(site: Path) -> Iterator[None]:
    """Have what is installed in a folder be installed for this process, until the end."""
    before = set(sys.modules)
    sys.path.insert(0, str(site))
    forget()
    try:
        yield
    finally:
        sys.path.remove(str(site))
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", "") or "").startswith(str(site)):
                del sys.modules[name]
        forget()


def forget() -> None:
    """Look for plug-ins anew."""
    importlib.invalidate_caches()
    plugins.names.cache_clear()
    plugins.chip.cache_clear()
