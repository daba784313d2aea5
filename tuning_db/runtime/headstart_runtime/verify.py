"""Whether a directory is a bundle, every byte of it; nothing of it is loaded, nor what could load it."""

from __future__ import annotations

import os
from pathlib import Path

from headstart_runtime.digests import SUMS, Folder, check_sums
from headstart_runtime.errors import InputError
from headstart_runtime.manifest import Manifest

MANIFEST = "manifest.json"


def verify(path: str | os.PathLike[str]) -> tuple[Manifest, str]:
    """Check every byte of a bundle without running any of it.

    Returns:
        The manifest, and the digest that names the bundle: SHA-256 of its ``SHA256SUMS``, in hex.

    Raises:
        InputError: no such directory, a file missing, changed, unexpected or not a plain file, a manifest that
            cannot be read; the message names the file.
    """
    with Folder(Path(path)) as folder:
        return verify_folder(folder)


def verify_folder(folder: Folder) -> tuple[Manifest, str]:
    """``verify`` of a folder that is open already."""
    files, digest = check_sums(folder)
    if MANIFEST not in files:
        raise InputError(f"{folder.path / SUMS} does not list {MANIFEST}")
    try:
        manifest = Manifest.loads(folder.read(MANIFEST).decode())
    except UnicodeDecodeError:
        raise InputError(f"{folder.path / MANIFEST} is not UTF-8") from None
    except InputError as error:
        raise InputError(f"{folder.path}: {error}") from None
    if files != {MANIFEST, manifest.library}:
        raise InputError(f"{folder.path / SUMS} must list {MANIFEST} and {manifest.library}, and nothing else")
    return manifest, digest


def is_bundle(path: Path) -> bool:
    """Whether a directory looks like a bundle, whole or damaged."""
    return (path / SUMS).is_file() and (path / MANIFEST).is_file()
