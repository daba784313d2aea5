"""Threads with a connection each: one that writes, several that read at the same time.

A commit waits for the disk, and no longer for several changes than for one. So the writer does what is waiting as a
group: each change by itself, undone by itself where it fails, then one commit, and only then is anybody answered.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from targets.errors import HeadstartError
from tuning_db.service.storage import READ_ONLY, storage_problem
from tuning_db.service.turns import Task, Turns
from tuning_db.store import Store

T = TypeVar("T")

# Seconds after which a group takes no more: what the first in it may wait for the others.
GROUP_S = 0.025


class Lane:
    """One thread and the connection that it alone uses; what is asked is done in turns, by whichever lane is free.

    A connection that could not be opened, or that sees a file as it was, is opened again when it is needed.

    Attributes:
        waiting: how many asked and have no answer yet.
    """

    def __init__(
        self, path: Path, turns: Turns, read_only: bool, done: Callable[[float, float], None] | None = None
    ) -> None:
        """A lane of a file.

        Args:
            path: the file.
            turns: what there is to do, shared with other lanes.
            read_only: whether it never writes.
            done: told after each thing done how long it waited and how long it took, in seconds.
        """
        self.path = path
        self.turns = turns
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

    async def run(self, task: Task) -> Any:
        """Do something with a connection: all of it or nothing where the lane writes, in one snapshot where it reads.

        It is done whole even where whoever asked has gone meanwhile.
        """
        self.waiting += 1
        try:
            self.turns.put(task)
            self._thread.submit(self._next)
            return await asyncio.wrap_future(task.future)
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

    def _next(self) -> None:
        """Do what is next, if another lane, or the group before, has not done it already."""
        task = self.turns.take()
        if task is None:
            return
        try:
            store = self._open()
        except BaseException as error:
            task.future.set_exception(error)
            return
        if self.read_only:
            self._read(store, task)
        else:
            self._write(store, task)

    def _read(self, store: Store, task: Task) -> None:
        began = time.perf_counter()
        try:
            with store.snapshot():
                found = task.what(store)
        except BaseException as error:
            task.future.set_exception(error)
        else:
            task.future.set_result(found)
        self._tell(task, began, time.perf_counter())

    def _write(self, store: Store, first: Task) -> None:
        """Do a task and those that wait by then in one transaction, and say what came of each when it is on disk.

        What is refused is said no sooner than the rest: the reason may be something that comes with the same commit.
        """
        group: list[tuple[Task, float]] = []
        results: list[tuple[object, Exception | None]] = []
        failed: BaseException | None = None
        try:
            with store.transaction():
                task: Task | None = first
                while task is not None:
                    group.append((task, time.perf_counter()))
                    results.append(_tried(store, task))
                    task = self.turns.take() if time.perf_counter() < group[0][1] + GROUP_S else None
        except BaseException as error:
            failed = error
            group = group or [(first, time.perf_counter())]
            results = [(None, None)] * len(group)
        # Each until the next began, the last with the commit.
        ends = [*(began for _, began in group[1:]), time.perf_counter()]
        for (one, began), (done, refused), end in zip(group, results, ends, strict=True):
            if wrong := failed or refused:
                one.future.set_exception(wrong)
            else:
                one.future.set_result(done)
            self._tell(one, began, end)

    def _tell(self, task: Task, began: float, end: float) -> None:
        if self._done:
            self._done(began - task.asked, end - began)

    def _close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None


class Lanes:
    """The lanes of a service."""

    def __init__(self, path: Path, readers: int, written: Callable[[float, float], None] | None = None) -> None:
        """Lanes of a file; ``written`` is told of everything that the writer did, as ``Lane`` has it."""
        self._writer = Lane(path, Turns(), read_only=False, done=written)
        questions = Turns()
        self._readers = [Lane(path, questions, read_only=True) for _ in range(readers)]

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

    async def read(self, what: Callable[[Store], T], whose: str = "") -> T:
        """Ask something, in one snapshot.

        Args:
            what: the question.
            whose: who asks; those who wait take turns.
        """
        answer: T = await min(self._readers, key=lambda lane: lane.waiting).run(Task(what, whose))
        return answer

    async def write(self, what: Callable[[Store], T], whose: str = "") -> T:
        """Change something, all of it or nothing: it is on disk when this returns, and not there when this raises.

        Args:
            what: the change. What it does is undone where it raises, and nothing else.
            whose: who asks; those who wait take turns.
        """
        if not self._writer.is_open and os.access(self._writer.path.absolute().parent, os.W_OK):
            # What was opened where nothing could be written shares its memory with the writer, which then cannot write
            # either; readers open anew when they are asked next.
            for lane in self._readers:
                await lane.rest()
        done: T = await self._writer.run(Task(what, whose))
        return done

    async def close(self) -> None:
        """Close every connection."""
        for lane in (*self._readers, self._writer):
            await lane.close()


def _tried(store: Store, task: Task) -> tuple[object, Exception | None]:
    """What a task returned or raised; in the second case nothing of it is in the transaction.

    Raises:
        BaseException: the file gave the whole transaction up, as it may where the disk is full.
    """
    try:
        with store.part():
            return task.what(store), None
    except Exception as error:
        if not store.connection.in_transaction:
            raise
        return None, error


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
