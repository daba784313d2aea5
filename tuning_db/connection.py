"""A Headstart database file: opening and upgrading it, transactions, and SQLite's errors in plain words."""

from __future__ import annotations

import os
import sqlite3
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import sqlite_utils

from targets.errors import HeadstartError, InputError
from tuning_db.migrations import APPLICATION_ID, migrations, unknown_steps

BUSY_SECONDS = 30.0
HEADER_BYTES = 100

C = TypeVar("C", bound="Connection")
# Of this process. Whatever they have open is never opened without SQLite besides: to close a file takes away all locks
# that the process has on it (POSIX), and another process may then remove the write-ahead log under its connections.
_open: weakref.WeakSet[Connection] = weakref.WeakSet()


class Connection:
    """An open database. Use it from the thread and the process that opened it; others open their own.

    Several processes may read while one writes. A second writer waits up to half a minute for its turn.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, frozen: bool = False) -> None:
        """A database that is open; ``frozen`` where it is read as if nobody ever changed it."""
        self.path = path
        self.connection = connection
        self.frozen = frozen
        self.file = _file(path)
        _open.add(self)

    @classmethod
    def open(cls: type[C], path: str | os.PathLike[str], create: bool = True, read_only: bool = False) -> C:
        """Open a database, upgrading an older schema in one transaction.

        Args:
            path: the file.
            create: the caller means to write: make the file where there is none, and refuse at once a file or
                folder that cannot be written.
            read_only: never write, not even to upgrade.

        Raises:
            InputError: no such file or folder, not a Headstart database, one of a newer schema (or, for
                ``read_only``, an older one), or no permission. Nothing was written.
            HeadstartError: another process holds the file, or the disk is full.
        """
        path = Path(path)
        create = create and not read_only
        require_headstart(path, create)
        with explained(path):
            if read_only:
                connection, frozen = connect_to_read(path)
            else:
                connection, frozen = _connect(path, f"mode={'rwc' if create else 'rw'}"), False
        try:
            with explained(path):
                upgrade(path, connection, read_only)
                connection.execute("PRAGMA foreign_keys = ON")
        except BaseException:
            connection.close()
            raise
        return cls(path, connection, frozen)

    @property
    def is_stale(self) -> bool:
        """Whether it was opened in a folder that nobody could write to, and somebody writes now: open it again."""
        return self.frozen and _has_log(self.path)

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        self.connection.close()
        _open.discard(self)

    def __enter__(self: C) -> C:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def execute(self, sql: str, values: Sequence[Any] = ()) -> None:
        """Run one statement that returns nothing."""
        with explained(self.path):
            self.connection.execute(sql, values)

    def rows(self, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[dict[str, Any]]:
        """All rows of a query, as dictionaries in the order of its columns; a mapping fills named parameters."""
        with explained(self.path):
            cursor = self.connection.execute(sql, values)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def value(self, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> Any:
        """The first column of the first row, None where there is no row."""
        with explained(self.path):
            row = self.connection.execute(sql, values).fetchone()
        return row[0] if row else None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing: commit at the end, undo everything where an error leaves the block; nested ones join."""
        with self._between("BEGIN IMMEDIATE"):
            yield

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read one state of the database, whatever others write meanwhile."""
        with self._between("BEGIN"):
            yield

    @contextmanager
    def part(self) -> Iterator[None]:
        """A part of a transaction: where an error leaves the block, this part is undone and what came before is not."""
        self.execute("SAVEPOINT part")
        try:
            yield
        except BaseException:
            # A full disk may have ended the whole transaction already.
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK TO part")
                self.connection.execute("RELEASE part")
            raise
        self.execute("RELEASE part")

    @contextmanager
    def _between(self, begin: str) -> Iterator[None]:
        if self.connection.in_transaction:
            yield
            return
        self.execute(begin)
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            # A full disk may have ended the transaction already.
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise


def connect_to_read(path: Path) -> tuple[sqlite3.Connection, bool]:
    """A connection that only reads, and whether it sees the file as if nobody ever changed it."""
    connection = _connect(path, "mode=ro")
    if not _is_shut(path, connection):
        return connection, False
    connection.close()
    return _connect(path, "mode=ro&immutable=1"), True


def _connect(path: Path, how: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?{how}"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)


def _is_shut(path: Path, connection: sqlite3.Connection) -> bool:
    """Whether a file cannot be read the usual way, because the files of the write-ahead log cannot be made beside it.

    Where there is no such log, and nobody can make one, the file is all there is and stays as it is.
    """
    try:
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as error:
        # The one on a file system that is read-only, the other where permissions say so.
        told = any(said in str(error) for said in ("unable to open", "readonly"))
        return told and not os.access(path.absolute().parent, os.W_OK) and not _has_log(path)
    except sqlite3.DatabaseError:
        pass  # of which ``upgrade`` makes a line
    return False


def disk_bytes(path: Path) -> int:
    """Bytes of a database on disk, its write-ahead log included."""
    return sum(file.stat().st_size for file in (path, Path(f"{path}-wal")) if file.exists())


def _file(path: Path) -> tuple[int, int] | None:
    """What a file is known by, whatever it is called; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _has_log(path: Path) -> bool:
    log = Path(f"{path}-wal")
    return log.exists() and log.stat().st_size > 0


def require_headstart(path: Path, create: bool = False) -> None:
    """Look at a file without SQLite, which would leave its lock files beside another program's database.

    The application id is in the header from the first commit on, since a new file enters WAL mode only after it.

    Raises:
        InputError: nothing there that can be opened (or, with ``create``, made), or not a Headstart database.
    """
    folder = path.absolute().parent
    if not folder.is_dir():
        raise InputError(f"cannot open {path}: {folder} is not a folder; make it, or choose another file with --db")
    if path.is_dir():
        raise InputError(f"cannot open {path}: it is a folder; --db names a file")
    known = _file(path)
    if known and any(one.file == known for one in list(_open)):
        return  # it was looked at
    try:
        with path.open("rb") as file:
            header = file.read(HEADER_BYTES)
    except FileNotFoundError:
        if not create:
            raise InputError(f"no database at {path}; `headstart tune` makes one, --db names another") from None
        header = b""
    except OSError as error:
        raise InputError(f"cannot open {path}: {error.strerror}; check its permissions") from None
    if create and not (os.access(folder, os.W_OK) and (not path.exists() or os.access(path, os.W_OK))):
        raise InputError(f"cannot write {path}: check the permissions of the file and of its folder")
    if create and not header:
        return
    if header[:16] != b"SQLite format 3\0" or header[68:72] != APPLICATION_ID.to_bytes(4, "big"):
        raise InputError(f"{path} is not a Headstart database; choose another file with --db")


def upgrade(path: Path, connection: sqlite3.Connection, read_only: bool) -> None:
    """Bring the schema to this program's version, and set how commits reach the disk.

    Raises:
        InputError: the schema is newer than this program, or older and ``read_only``.
    """
    # Plugins of sqlite-utils that happen to be installed have no business here.
    db = sqlite_utils.Database(connection, execute_plugins=False)
    if newer := unknown_steps(db):
        raise InputError(f"{path} was written by a newer Headstart (it has {newer[-1]}); upgrade Headstart to open it")
    if migrations.pending(db):
        if read_only:
            raise InputError(f"{path} has the schema of an older Headstart; `headstart db stats` upgrades it")
        connection.execute("BEGIN IMMEDIATE")
        try:
            migrations.apply(db)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    if not read_only:
        connection.execute("PRAGMA journal_mode = WAL")
        # In WAL mode a committed transaction is in the operating system's hands and survives the death of this
        # process with any setting. FULL also asks the disk at each commit, which keeps it through a loss of power.
        connection.execute("PRAGMA synchronous = FULL")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what SQLite says about the file into one line that says what to do; other errors pass as they are."""
    try:
        yield
    except sqlite3.IntegrityError:
        raise
    except sqlite3.DatabaseError as error:
        text = str(error)
        if "locked" in text:
            raise HeadstartError(f"{path} is locked: another process is writing to it; try again later") from error
        if "full" in text:
            raise HeadstartError(f"no space left for {path}: the last change was undone; free some space") from error
        if "unable to open" in text:
            raise InputError(f"cannot open {path}: check the permissions of the file and of its folder") from error
        if "readonly" in text:
            raise InputError(f"cannot write {path}: check the permissions of the file and of its folder") from error
        if "not a database" in text or "malformed" in text:
            raise InputError(f"{path} is damaged ({text}); restore a copy made by `headstart db backup`") from error
        if "decode to UTF-8" in text:
            raise InputError(
                f"{path} is damaged (a text in it is not UTF-8); restore a copy made by `headstart db backup`"
            ) from error
        if "I/O" in text:
            raise HeadstartError(f"cannot read or write {path}: {text}; check the disk it is on") from error
        raise
