"""A bundle: one directory with compiled kernels, what they are, and a digest of every file.

``SHA256SUMS`` lists each other file, in the format of ``sha256sum``, and the digest of that list names the bundle.
Loading checks all of it first, so that damaged files are refused before any of their code runs. That finds accidents;
whoever can replace a file can replace its digest too, so take bundles from where you trust.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import tvm_ffi

from headstart_runtime.chip import check_chip
from headstart_runtime.digests import Folder
from headstart_runtime.errors import HeadstartError, InputError
from headstart_runtime.family import Family
from headstart_runtime.kernel import Kernel, Layout
from headstart_runtime.manifest import BundleKernel, Manifest
from headstart_runtime.pool import FUNCTION, count, set_up
from headstart_runtime.verify import MANIFEST, is_bundle, verify, verify_folder

__all__ = ["MANIFEST", "PREPARE", "Bundle", "is_bundle", "load", "verify"]

# What the symbol of a function that lays out weights ends in, as ``schedules/lower.py`` has it.
PREPARE = "_prepare"

_lock = threading.Lock()
# Bundles of this process by digest, in the order that they were loaded in.
_numbers: dict[str, int] = {}


class Bundle(Mapping[str, Kernel]):
    """The kernels of a bundle by workload id or by the name of an operator in the model.

    Iterating gives workload ids. Looking up a name that several workloads share is a ``KeyError`` that lists them.
    """

    def __init__(self, path: Path, digest: str, manifest: Manifest, library: tvm_ffi.Module) -> None:
        self.path, self.digest, self.manifest, self.library = path, digest, manifest, library
        self._kernels: dict[str, Kernel] = {}
        self._families: dict[str, Family] = {}
        self._entries = {kernel.workload: kernel for kernel in manifest.kernels}

    def __getitem__(self, name: str) -> Kernel:
        entry = self._entry(name)
        if entry.workload not in self._kernels:
            function, layout = self.library.get_function(entry.function), None
            if entry.prepared:
                layout = Layout(entry.prepared, self.library.get_function(entry.function + PREPARE), entry.layout)
            name = f"{entry.operator} {entry.label}"
            self._kernels[entry.workload] = Kernel(name, entry.arguments, function, entry.weights, layout)
        return self._kernels[entry.workload]

    def family(self, name: str) -> Family:
        """What takes any number of rows, by the name of an operator in the model.

        Raises:
            KeyError: nothing of that name does, or more than one thing.
        """
        if name not in self._families:
            found = [family for family in self.manifest.families if name in family.names]
            if len(found) != 1:
                names = sorted({name for family in self.manifest.families for name in family.names})
                raise KeyError(
                    f"{len(found)} families are called {name!r}; the bundle has {', '.join(names) or 'none'}"
                )
            kernels = {kernel.rows: self[kernel.workload] for kernel in found[0].kernels}
            layouts = {kernel.rows: self._entries[kernel.workload].layout for kernel in found[0].kernels}
            functions = [self.library.get_function(one.function) for one in found[0].any]
            self._families[name] = Family(found[0], kernels, layouts, functions)
        return self._families[name]

    def _entry(self, name: str) -> BundleKernel:
        if name in self._entries:
            return self._entries[name]
        found = [entry for entry in self._entries.values() if name in entry.names]
        if len(found) == 1:
            return found[0]
        if found:
            ids = ", ".join(f"{entry.workload} ({entry.label})" for entry in found)
            hint = any(name in family.names for family in self.manifest.families)
            any_rows = f"; family({name!r}) takes any number of rows" if hint else ""
            raise KeyError(f"{len(found)} kernels are called {name!r}: {ids}{any_rows}")
        names = sorted({name for entry in self._entries.values() for name in entry.names})
        raise KeyError(f"no kernel {name!r} in this bundle; it has {', '.join(names)}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return (
            f"<Bundle {self.digest} of {self.manifest.model.name} for {self.manifest.target.name}, {len(self)} kernels>"
        )


def load(
    path: str | os.PathLike[str], *, threads: int | None = None, pool: str = "auto", any_chip: bool = False
) -> Bundle:
    """Verify a bundle and load its kernels into this process.

    Args:
        path: its directory.
        threads: how many threads its kernels run on; if not said, what ``HEADSTART_THREADS`` in the environment says,
            else as many as they were tuned with, and no more than this process has CPUs.
        pool: whose threads: ``own``, those of one pool for all bundles of the process; ``openmp``, those of the OpenMP
            runtime that the process has loaded, torch's say; ``auto``, OpenMP's where there is one.
        any_chip: load a bundle for another chip where its code runs. It is right there; its times are of the other.

    Raises:
        InputError: not a bundle, or damaged; the message names the file. A pool that is not there.
        OtherChipError: it was built for another chip, or has instructions that this CPU lacks.
        HeadstartError: the library cannot be loaded here.
    """
    while True:
        with Folder(Path(path).resolve()) as folder:
            try:
                return _load(folder, threads, pool, any_chip)
            except HeadstartError:
                # Where a new bundle took its place meanwhile, this one may be half removed already.
                if folder.in_place:
                    raise


def _load(folder: Folder, threads: int | None, pool: str, any_chip: bool) -> Bundle:
    manifest, digest = verify_folder(folder)
    check_chip(manifest.target, any_chip)
    file = folder.path / manifest.library
    try:
        library = tvm_ffi.load_module(_spelled(folder, manifest.library, digest))
        wanted = [FUNCTION, *(kernel.function for kernel in manifest.kernels)]
        wanted += [kernel.function + PREPARE for kernel in manifest.kernels if kernel.prepared]
        wanted += [one.function for family in manifest.families for one in family.any]
        absent = [function for function in wanted if not library.implements_function(function)]
    except RuntimeError as error:
        raise HeadstartError(f"cannot load {file}: {str(error).splitlines()[0]}") from None
    if absent:
        raise InputError(f"{file} has no function {absent[0]}, which {MANIFEST} lists")
    set_up(library, count(manifest.policy.threads, threads), pool)
    return Bundle(folder.path, digest, manifest, library)


def _spelled(folder: Folder, name: str, digest: str) -> str:
    """The path of a library, spelled in a way that no other bundle of this process was.

    The system's loader goes by names first: where a bundle was replaced it would give the old library again.
    """
    with _lock:
        number = _numbers.setdefault(digest, len(_numbers))
    return f"{folder.loadable}/{'/' * number}{name}"
