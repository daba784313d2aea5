"""Bringing a bundle to a service: its files in parts, of which only those are sent that are not there."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from headstart_runtime.bundle import verify
from targets.errors import InputError
from tuning_db.answers import UPLOADED
from tuning_db.blobs import PART, parts_of
from tuning_db.client import Client, ServiceError, at
from tuning_db.published import Address, BundleFile, Prebuilt, blob_path
from tuning_db.selection import STEP


@dataclass(frozen=True)
class Upload:
    """A bundle as it goes into a repository.

    Attributes:
        address: where it belongs.
        prebuilt: what says which files it has.
        folder: where these are.
    """

    address: Address
    prebuilt: Prebuilt
    folder: Path

    @property
    def targets(self) -> dict[str, tuple[str, int]]:
        """Digest and length by path of all that is vouched for."""
        files = {blob_path(file.sha256): (file.sha256, file.length) for file in self.prebuilt.files.values()}
        return {**files, self.address.prebuilt: (self.prebuilt.digest, len(self.prebuilt.dumps()))}

    @property
    def length(self) -> int:
        """Bytes of all files together."""
        return sum(length for _, length in self.targets.values())


def upload_of(folder: Path) -> Upload:
    """A bundle that is right, as it goes into a repository.

    Raises:
        InputError: it is not right, or its model has a name or a step that can be no part of a path.
    """
    manifest, digest = verify(folder)
    try:
        step = STEP(dict(manifest.model.step))
    except ValueError as error:
        raise InputError(f"{folder}: the step of its model {error}") from None
    of = Address.named(
        manifest.model.name, step, manifest.target.fingerprint, manifest.toolchain.id, manifest.policy.id
    )
    files = {name: BundleFile.of(folder / name) for name in sorted(os.listdir(folder))}
    return Upload(of, Prebuilt(digest, files), folder)


def remaining(
    files: Mapping[str, tuple[str, int]], bundles: Mapping[str, str], gone: Iterable[str]
) -> dict[str, tuple[str, int]]:
    """What is left to vouch for when some bundles are there no more: with theirs, the files that no other has.

    Args:
        files: digest and length by path of all that is vouched for.
        bundles: what says which files a bundle has, by path, as a service says: believed where the digest is right.
        gone: paths of the bundles that go.

    Raises:
        InputError: a bundle is not there that is to go, or the service says something else of one than was signed.
    """
    left = dict(files)
    for path in gone:
        if Address.parse(path) is None or left.pop(path, None) is None:
            there = ", ".join(path for path in files if Address.parse(path)) or "none"
            raise InputError(f"there is no bundle {path}; there are {there}")
    used = set()
    for path, (digest, _) in left.items():
        if Address.parse(path) is not None:
            said = bundles.get(path, "").encode()
            if hashlib.sha256(said).hexdigest() != digest:
                raise InputError(f"what the service says of {path} is not what was signed")
            used |= {blob_path(file.sha256) for file in Prebuilt.loads(said).files.values()}
    return {path: file for path, file in left.items() if Address.parse(path) is not None or path in used}


def send(client: Client, release: str, upload: Upload, sent: Callable[[int], None] = lambda length: None) -> None:
    """Send the files of a bundle, but for what is there already.

    Args:
        client: of the service.
        release: whose repository it is.
        upload: what to send.
        sent: told of bytes that were sent, or were there.

    Raises:
        HeadstartError: as ``Client``.
    """
    names = {file.sha256: name for name, file in upload.prebuilt.files.items()}
    for digest, length in dict.fromkeys(upload.targets.values()):
        with _opened(upload, names.get(digest)) as file:
            missing = _missing(client, release, digest, length)
            sent(length - sum(min(PART, length - number * PART) for number in missing))
            for number in missing:
                file.seek(number * PART)
                data = file.read(min(PART, length - number * PART))
                client.put(at("repositories", release, "blobs", digest, str(number)), data, UPLOADED, length=length)
                sent(len(data))


def _missing(client: Client, release: str, digest: str, length: int) -> list[int]:
    try:
        found = client.get(at("repositories", release, "blobs", digest), UPLOADED)
    except ServiceError as error:
        if error.status != 404:
            raise
        return list(range(parts_of(length)))
    # Where all parts are there and nobody looked at them, the last one again has them looked at.
    return [] if found["whole"] else list(found["missing"]) or [parts_of(length) - 1]


@contextmanager
def _opened(upload: Upload, name: str | None) -> Iterator[BinaryIO]:
    """A file of a bundle, or what says which files it has."""
    if name is None:
        yield BytesIO(upload.prebuilt.dumps())
        return
    with (upload.folder / name).open("rb") as file:
        yield file
