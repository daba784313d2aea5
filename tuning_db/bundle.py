"""A bundle: one directory with compiled kernels, what they are, and a digest of every file.

``SHA256SUMS`` lists each other file, in the format of ``sha256sum``, and the digest of that list names the bundle.
Loading checks all of it first, so that damaged files are refused before any of their code runs. That finds accidents;
whoever can replace a file can replace its digest too, so take bundles from where you trust.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

import tvm_ffi

from targets import Target, linux
from targets.errors import HeadstartError, InputError
from tuning_db.kernel import Kernel, Layout, use_threads
from tuning_db.manifest import FILE_NAME, BundleKernel, BundleTarget, Manifest

MANIFEST = "manifest.json"
SUMS = "SHA256SUMS"
# What the symbol of a function that lays out weights ends in, as ``schedules/lower.py`` has it.
PREPARE = "_prepare"
LINE = re.compile(r"([0-9a-f]{64})  (.+)")
# More than any manifest of a model; the library is read in pieces and may be of any size.
LARGEST_TEXT = 64 << 20


class Bundle(Mapping[str, Kernel]):
    """The kernels of a bundle by workload id or by the name of an operator in the model.

    Iterating gives workload ids. Looking up a name that several workloads share is a ``KeyError`` that lists them.
    """

    def __init__(self, path: Path, digest: str, manifest: Manifest, library: tvm_ffi.Module) -> None:
        self.path, self.digest, self.manifest, self.library = path, digest, manifest, library
        self._kernels: dict[str, Kernel] = {}
        self._entries = {kernel.workload: kernel for kernel in manifest.kernels}

    def __getitem__(self, name: str) -> Kernel:
        entry = self._entry(name)
        if entry.workload not in self._kernels:
            function, layout = self.library.get_function(entry.function), None
            if entry.prepared:
                layout = Layout(entry.prepared, self.library.get_function(entry.function + PREPARE))
            name = f"{entry.operator} {entry.label}"
            self._kernels[entry.workload] = Kernel(name, entry.arguments, function, entry.weights, layout)
        return self._kernels[entry.workload]

    def _entry(self, name: str) -> BundleKernel:
        if name in self._entries:
            return self._entries[name]
        found = [entry for entry in self._entries.values() if name in entry.names]
        if len(found) == 1:
            return found[0]
        if found:
            ids = ", ".join(f"{entry.workload} ({entry.label})" for entry in found)
            raise KeyError(f"{len(found)} kernels are called {name!r}: {ids}")
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


def load(path: str | os.PathLike[str]) -> Bundle:
    """Verify a bundle and load its kernels into this process.

    Before the first kernel runs, TVM's thread pool is told to use the number of threads that the kernels were tuned
    with, unless ``TVM_NUM_THREADS`` says otherwise.

    Raises:
        InputError: not a bundle, or damaged; the message names the file.
        HeadstartError: the library cannot be loaded here, or has instructions that this CPU lacks.
    """
    manifest, digest = verify(path)
    _check_chip(manifest.target)
    folder = Path(path).resolve()
    use_threads(manifest.policy.threads)
    _load_runtime()
    try:
        library = tvm_ffi.load_module(folder / manifest.library)
        wanted = [kernel.function for kernel in manifest.kernels]
        wanted += [kernel.function + PREPARE for kernel in manifest.kernels if kernel.prepared]
        absent = [function for function in wanted if not library.implements_function(function)]
    except RuntimeError as error:
        raise HeadstartError(f"cannot load {folder / manifest.library}: {str(error).splitlines()[0]}") from None
    if absent:
        raise InputError(f"{folder / manifest.library} has no function {absent[0]}, which {MANIFEST} lists")
    return Bundle(folder, digest, manifest, library)


def verify(path: str | os.PathLike[str]) -> tuple[Manifest, str]:
    """Check every byte of a bundle without running any of it.

    Returns:
        The manifest, and the digest that names the bundle: SHA-256 of its ``SHA256SUMS``, in hex.

    Raises:
        InputError: no such directory, a file missing, changed, unexpected or not a plain file, a manifest that
            cannot be read; the message names the file.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(f"no bundle at {folder}: not a directory")
    text = _read(folder, SUMS)
    sums = _parse_sums(folder, text)
    for name in sorted(os.listdir(folder)):
        if name != SUMS and name not in sums:
            raise InputError(f"{folder / name} is not listed in {SUMS}; a bundle holds nothing else")
    for name, expected in sums.items():
        found = _digest(folder, name)
        if found != expected:
            raise InputError(f"{folder / name} was changed or damaged: SHA-256 is {found}, {SUMS} says {expected}")
    try:
        manifest = Manifest.loads(_read(folder, MANIFEST).decode())
    except UnicodeDecodeError:
        raise InputError(f"{folder / MANIFEST} is not UTF-8") from None
    except InputError as error:
        raise InputError(f"{folder}: {error}") from None
    if set(sums) != {MANIFEST, manifest.library}:
        raise InputError(f"{folder / SUMS} must list {MANIFEST} and {manifest.library}, and nothing else")
    return manifest, hashlib.sha256(text).hexdigest()


def write_sums(folder: Path) -> str:
    """Write ``SHA256SUMS`` over every file in the folder; returns the bundle's digest."""
    names = sorted(name for name in os.listdir(folder) if name != SUMS)
    text = "".join(f"{_digest(folder, name)}  {name}\n" for name in names).encode()
    (folder / SUMS).write_bytes(text)
    return hashlib.sha256(text).hexdigest()


def is_bundle(path: Path) -> bool:
    """Whether a directory looks like a bundle, whole or damaged."""
    return (path / SUMS).is_file() and (path / MANIFEST).is_file()


def _parse_sums(folder: Path, text: bytes) -> dict[str, str]:
    sums: dict[str, str] = {}
    for number, line in enumerate(text.decode("ascii", "replace").splitlines(keepends=True), 1):
        match = LINE.fullmatch(line.removesuffix("\n")) if line.endswith("\n") else None
        if match is None or not FILE_NAME.fullmatch(match[2]) or match[2] in (SUMS, *sums):
            raise InputError(f"{folder / SUMS} line {number} is not a digest and a plain file name")
        sums[match[2]] = match[1]
    if MANIFEST not in sums:
        raise InputError(f"{folder / SUMS} does not list {MANIFEST}")
    return sums


def _open(folder: Path, name: str) -> int:
    """A file descriptor of a plain file, never through a link."""
    path = folder / name
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        reason = "it is a symbolic link" if path.is_symlink() else error.strerror
        raise InputError(f"cannot read {path}: {reason}") from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise InputError(f"cannot read {path}: it is not a plain file")
    return fd


def _read(folder: Path, name: str) -> bytes:
    with os.fdopen(_open(folder, name), "rb") as file:
        text = file.read(LARGEST_TEXT + 1)
    if len(text) > LARGEST_TEXT:
        raise InputError(f"{folder / name} is larger than {LARGEST_TEXT} bytes")
    return text


def _digest(folder: Path, name: str) -> str:
    total = hashlib.sha256()
    with os.fdopen(_open(folder, name), "rb") as file:
        while piece := file.read(1 << 20):
            total.update(piece)
    return total.hexdigest()


def _check_chip(built_for: BundleTarget) -> None:
    """Refuse code with instructions that this CPU lacks: running one would end the process."""
    target, arch = Target.from_spec(built_for.spec), platform.machine().replace("AMD64", "x86_64")
    needed = str(target.tvm.get("mtriple", arch)).partition("-")[0]
    if needed != arch:
        raise HeadstartError(f"the bundle is for {target.name} ({needed}), this machine is {arch}")
    # Elsewhere the system does not report features in LLVM's words, or not all of them.
    if platform.system() == "Linux" and arch in ("x86_64", "aarch64"):
        lacking = sorted(set(target.features) - linux.read(arch).features)
        if lacking:
            raise HeadstartError(f"the bundle is for {target.name}; this CPU lacks {', '.join(lacking)}")


def _load_runtime() -> None:
    """Load TVM's runtime library, which has the thread pool; not its compiler, and none of its Python."""
    try:
        tvm_ffi.libinfo.load_lib_ctypes("apache-tvm", "tvm_runtime", "RTLD_GLOBAL")
    except (RuntimeError, OSError, ImportError) as error:
        reason = str(error).splitlines()[0]
        raise HeadstartError(f"kernels need TVM's runtime library: pip install apache-tvm ({reason})") from None
