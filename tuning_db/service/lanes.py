"""Threads with a connection each: one that writes, several that read at the same time."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from targets.errors import HeadstartError
from tuning_db.service.storage import READ_ONLY, storage_problem
from tuning_db.store import Store

T = TypeVar("T")


class Lane:
    """One thread and the connection that it alone uses; what it is asked is done in turn.

    A connection that could not be opened, or that sees a file as it was, is opened again when it is needed.

    Attributes:
        waiting: how many asked and have no answer yet.
    """

    def __init__(self, path: Path, read_only: bool, done: Callable[[float, float], None] | None = None) -> None:
        """A lane of a file.

        Args:
            path: the file.
            read_only: whether it never writes.
            done: told after each thing done how long it waited and how long it took, in seconds.
        """
        self.path = path
        self.read_only = read_only
        self.waiting = 0
        self._done = done
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reader" if read_only else "writer")
        self._store: Store | None = None

    async def open(self) -> None:
        """Open the connection.

        Raises:
            HeadstartError: as ``Store.open``; for a lane that writes also where it could not.
        """
        await asyncio.get_running_loop().run_in_executor(self._thread, self._open)

    async def run(self, what: Callable[[Store], T]) -> T:
        """Do something with the connection: in one transaction where the lane writes, in one snapshot where it reads.

        It is done whole even where whoever asked has gone.
        """
        self.waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._do, what, time.perf_counter())
        finally:
            self.waiting -= 1

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._store is not None

    async def rest(self) -> None:
        """Close the connection until it is needed again."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)

    async def close(self) -> None:
        """Finish what was asked, and close the connection."""
        await self.rest()
        self._thread.shutdown()

    def _open(self) -> Store:
        if self._store is not None and not self._store.is_stale:
            return self._store
        self._close()
        store = Store.open(self.path, create=False, read_only=self.read_only)
        if not self.read_only:
            try:
                # SQLite opens a file that it may not write, and says so only now.
                with store.transaction():
                    store.execute(f"PRAGMA user_version = {int(store.value('PRAGMA user_version'))}")
            except BaseException:
                store.close()
                raise
        self._store = store
        return store

    def _do(self, what: Callable[[Store], T], asked: float) -> T:
        began = time.perf_counter()
        store = self._open()
        try:
            with store.snapshot() if self.read_only else store.transaction():
                return what(store)
        finally:
            if self._done:
                self._done(began - asked, time.perf_counter() - began)

    def _close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None


class Lanes:
    """The lanes of a service."""

    def __init__(self, path: Path, readers: int, written: Callable[[float, float], None] | None = None) -> None:
        """Lanes of a file; ``written`` is told of everything that the writer did, as ``Lane`` has it."""
        self._writer = Lane(path, read_only=False, done=written)
        self._readers = [Lane(path, read_only=True) for _ in range(readers)]

    @property
    def waiting(self) -> int:
        """How many wait for the writer, the one that it works for included."""
        return self._writer.waiting

    async def open(self) -> bool:
        """Open every connection; the writer first, who upgrades an older schema.

        Returns:
            Whether the file can be written; where not, it is read, and each write is a new try.

        Raises:
            HeadstartError: as ``Store.open``.
        """
        writable = True
        try:
            await self._writer.open()
        except HeadstartError as error:
            if storage_problem(error) != READ_ONLY:
                raise
            writable = False
        for lane in self._readers:
            await lane.open()
        return writable

    async def read(self, what: Callable[[Store], T]) -> T:
        """Ask something, in one snapshot."""
        return await min(self._readers, key=lambda lane: lane.waiting).run(what)

    async def write(self, what: Callable[[Store], T]) -> T:
        """Change something, in one transaction: it is on disk when this returns, or nothing of it is."""
        if not self._writer.is_open and os.access(self._writer.path.absolute().parent, os.W_OK):
            # What was opened where nothing could be written shares its memory with the writer, which then cannot write
            # either; readers open anew when they are asked next.
            for lane in self._readers:
                await lane.rest()
        return await self._writer.run(what)

    async def close(self) -> None:
        """Close every connection."""
        for lane in (*self._readers, self._writer):
            await lane.close()


def require_servable(path: Path) -> None:
    """See that a file can be served, if only for reading, and upgrade an older schema.

    Raises:
        HeadstartError: as ``Store.open``.
    """
    try:
        with Store.open(path, create=False):
            pass
    except HeadstartError as error:
        if storage_problem(error) != READ_ONLY:
            raise
        with Store.open(path, read_only=True):
            pass
