"""Copying a database while others use it."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from targets.errors import InputError
from tuning_db.connection import connect_to_read, explained, require_headstart
from tuning_db.files import whole_file

if TYPE_CHECKING:
    from tuning_db.client import Client


def backup(source: Path, copy: Path) -> int:
    """Copy a database, whatever its schema, to a file that appears whole or not at all.

    Returns:
        Bytes of the copy.

    Raises:
        InputError: the source is not a Headstart database, or the copy cannot be written, or is the source, or is a
            database in use.
        HeadstartError: the disk is full, or the source is locked.
    """
    require_headstart(source)
    if copy.exists() and copy.samefile(source):
        raise InputError(f"cannot back up {source} onto itself")
    _require_unused(copy)
    with whole_file(copy) as part:
        write_copy(source, part)
    return copy.stat().st_size


def fetch(client: Client, copy: Path) -> int:
    """Copy the database of a service to a file that appears whole or not at all, for its owner alone to read.

    Returns:
        Bytes of the copy.

    Raises:
        InputError: the copy cannot be written, or is a database in use.
        HeadstartError: as ``Client.download``; what came is cut off or changed.
    """
    _require_unused(copy)
    with whole_file(copy) as part:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            client.download("/v1/backup", file)
        require_headstart(part)
    return copy.stat().st_size


def write_copy(source: Path, part: Path) -> None:
    """Copy the pages, as of one commit, to a file that is new or empty; whoever writes to the source goes on.

    Raises:
        InputError: as ``backup``.
        HeadstartError: as ``backup``.
    """
    with explained(source):
        original, _ = connect_to_read(source)
    written = sqlite3.connect(part)
    try:
        with explained(source):
            # Whatever is wrong with the source shows here, before the copy is to blame.
            original.execute("SELECT 1 FROM sqlite_master").fetchone()
        with explained(part):
            original.backup(written)
    finally:
        written.close()
        original.close()


def _require_unused(copy: Path) -> None:
    if Path(f"{copy}-wal").exists():
        raise InputError(f"cannot write {copy}: it is a database in use, {copy}-wal is beside it")
