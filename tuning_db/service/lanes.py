"""Threads with a connection each: one that writes, several that read at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from tuning_db.store import Store

T = TypeVar("T")


class Lane:
    """One thread and the connection that it alone uses; what it is asked is done in turn."""

    def __init__(self, path: Path, read_only: bool) -> None:
        self.path = path
        self.read_only = read_only
        self.waiting = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reader" if read_only else "writer")
        self._store: Store | None = None

    async def open(self) -> None:
        """Open the connection.

        Raises:
            HeadstartError: as ``Store.open``.
        """
        await asyncio.get_running_loop().run_in_executor(self._thread, self._open)

    async def run(self, what: Callable[[Store], T]) -> T:
        """Do something with the connection: in one transaction where the lane writes, in one snapshot where it reads.

        It is done whole even where whoever asked has gone.
        """
        self.waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._do, what)
        finally:
            self.waiting -= 1

    async def close(self) -> None:
        """Finish what was asked, and close the connection."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    def _open(self) -> None:
        self._store = Store.open(self.path, create=False, read_only=self.read_only)

    def _do(self, what: Callable[[Store], T]) -> T:
        assert self._store is not None
        with self._store.snapshot() if self.read_only else self._store.transaction():
            return what(self._store)

    def _close(self) -> None:
        if self._store is not None:
            self._store.close()


class Lanes:
    """The lanes of a service."""

    def __init__(self, path: Path, readers: int) -> None:
        self._writer = Lane(path, read_only=False)
        self._readers = [Lane(path, read_only=True) for _ in range(readers)]

    async def open(self) -> None:
        """Open every connection; the writer first, who upgrades an older schema.

        Raises:
            HeadstartError: as ``Store.open``.
        """
        for lane in (self._writer, *self._readers):
            await lane.open()

    async def read(self, what: Callable[[Store], T]) -> T:
        """Ask something, in one snapshot."""
        return await min(self._readers, key=lambda lane: lane.waiting).run(what)

    async def write(self, what: Callable[[Store], T]) -> T:
        """Change something, in one transaction: it is on disk when this returns, or nothing of it is."""
        return await self._writer.run(what)

    async def close(self) -> None:
        """Close every connection."""
        for lane in (*self._readers, self._writer):
            await lane.close()
