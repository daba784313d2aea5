"""The lanes: several changes with one commit, each all or nothing, and turns among those who ask."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from targets.errors import HeadstartError, InputError
from tests.tuning_db.service.running import EARLY, Service
from tuning_db.service import lanes
from tuning_db.service.lanes import Lanes
from tuning_db.service.turns import Task, Turns
from tuning_db.store import Store

NOW = 1.75e9


def add(name: str) -> Callable[[Store], str]:
    """Let somebody in."""
    return lambda store: store.add_account(name, "vendor", NOW).name


def fail(name: str) -> Callable[[Store], str]:
    """Let somebody in, and think better of it."""

    def deed(store: Store) -> str:
        store.add_account(name, "vendor", NOW)
        raise InputError(f"no {name}")

    return deed


def names(path: Path) -> list[str]:
    with Store.open(path) as store:
        return [row["name"] for row in store.accounts()]


def grouped(path: Path, *deeds: Callable[[Store], Any], commits: list[str] | None = None) -> list[Any]:
    """What came of deeds that wait while the writer is busy, so that it does all of them as one group."""
    with Store.open(path):
        pass

    async def run() -> list[Any]:
        lanes = Lanes(path, 1)
        await lanes.open()
        busy, free = threading.Event(), threading.Event()

        def wait(store: Store) -> None:
            if commits is not None:
                store.connection.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
            busy.set()
            assert free.wait(60)

        first = asyncio.create_task(lanes.write(wait))
        await asyncio.to_thread(busy.wait, 60)
        others = [asyncio.create_task(lanes.write(deed)) for deed in deeds]
        await asyncio.sleep(0)
        free.set()
        results = await asyncio.gather(first, *others, return_exceptions=True)
        await lanes.close()
        return results[1:]

    return asyncio.run(run())


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A group takes whatever waits, however slow the machine is."""
    monkeypatch.setattr(lanes, "GROUP_S", 60.0)


def test_several_changes_take_one_commit(tmp_path: Path) -> None:
    commits: list[str] = []
    assert grouped(tmp_path / "x.db", add("a"), add("b"), add("c"), commits=commits) == ["a", "b", "c"]
    assert names(tmp_path / "x.db") == ["a", "b", "c"]
    assert len(commits) == 1


def test_a_slow_group_takes_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "GROUP_S", 0.0)
    commits: list[str] = []
    assert grouped(tmp_path / "x.db", add("a"), add("b"), commits=commits) == ["a", "b"]
    assert len(commits) == 3


def test_what_fails_is_undone_alone(tmp_path: Path) -> None:
    a, error, c = grouped(tmp_path / "x.db", add("a"), fail("b"), add("c"))
    assert (a, str(error), c) == ("a", "no b", "c")
    assert names(tmp_path / "x.db") == ["a", "c"]


def test_each_sees_what_came_before(tmp_path: Path) -> None:
    a, error, again = grouped(tmp_path / "x.db", add("a"), add("a"), lambda store: store.account("a").name)
    assert (a, str(error), again) == ("a", "there is an account 'a' already", "a")


def test_nobody_is_answered_before_the_commit(tmp_path: Path) -> None:
    seen: list[list[str]] = []
    answered: list[str] = []
    path = tmp_path / "x.db"

    def look(store: Store) -> None:
        seen.append(names(path))  # through a connection of its own
        seen.append(list(answered))

    async def run() -> None:
        lanes = Lanes(path, 1)
        with Store.open(path):
            pass
        await lanes.open()

        async def ask(name: str) -> None:
            answered.append(await lanes.write(add(name)))

        await asyncio.gather(ask("a"), lanes.write(look), ask("b"))
        await lanes.close()

    asyncio.run(run())
    assert seen == [[], []]
    assert sorted(answered) == ["a", "b"]


def test_where_the_commit_fails_all_fail_and_nothing_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    execute = Store.execute

    def full(store: Store, sql: str, values: Any = ()) -> None:
        if sql == "COMMIT" and store.value("SELECT count(*) FROM account"):
            raise HeadstartError("no space left")
        execute(store, sql, values)

    monkeypatch.setattr(Store, "execute", full)
    results = grouped(tmp_path / "x.db", add("a"), fail("b"), add("c"))
    # Also who was refused: there may be no reason any more.
    assert [str(result) for result in results] == ["no space left"] * 3
    monkeypatch.undo()
    assert names(tmp_path / "x.db") == []


def test_where_the_file_gives_the_transaction_up_all_fail(tmp_path: Path) -> None:
    def lose(store: Store) -> None:
        store.connection.execute("ROLLBACK")
        raise HeadstartError("no space left")

    results = grouped(tmp_path / "x.db", add("a"), lose)
    assert [str(result) for result in results] == ["no space left"] * 2
    assert names(tmp_path / "x.db") == []


def test_the_writer_goes_on_after_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    grouped(path, fail("a"))
    assert grouped(path, add("b")) == ["b"]


def test_a_process_that_dies_before_the_commit_has_acknowledged_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    program = (
        "import os, sys\nfrom pathlib import Path\nfrom tests.tuning_db.service.test_lanes import add, grouped\n"
        "print(grouped(Path(sys.argv[1]), add('a'), add('b'), lambda store: os._exit(7)))"
    )
    root = Path(__file__).parents[3]
    died = subprocess.run([sys.executable, "-c", program, path], check=False, cwd=root, capture_output=True, text=True)
    assert (died.returncode, died.stdout) == (7, "")
    assert names(path) == []


def test_turns_go_round() -> None:
    turns = Turns()
    for whose in ("flood", "flood", "flood", "one", "other", "one"):
        turns.put(Task(lambda store: None, whose))
    order = []
    while (task := turns.take()) is not None:
        order.append(task.whose)
    assert order == ["flood", "one", "other", "flood", "one", "flood"]


def test_a_flood_holds_up_nobody_else(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with Store.open(path):
        pass

    async def run(kind: str) -> list[str]:
        lanes = Lanes(path, 1)
        await lanes.open()
        busy, free = threading.Event(), threading.Event()

        def wait(store: Store) -> None:
            busy.set()
            assert free.wait(60)

        order: list[str] = []
        first = asyncio.create_task(getattr(lanes, kind)(wait))
        await asyncio.to_thread(busy.wait, 60)
        asked = [
            asyncio.create_task(getattr(lanes, kind)(lambda store, whose=whose: order.append(whose), whose))
            for whose in (*["flood"] * 20, "other")
        ]
        await asyncio.sleep(0)
        free.set()
        await asyncio.gather(first, *asked)
        await lanes.close()
        return order

    for kind in ("read", "write"):
        order = asyncio.run(run(kind))
        assert len(order) == 21
        assert order.index("other") == 1


def test_what_nobody_waits_for_is_not_begun() -> None:
    turns = Turns()
    first, second = Task(lambda store: None, "a"), Task(lambda store: None, "a")
    turns.put(first)
    turns.put(second)
    first.future.cancel()
    assert turns.take() is second
    assert turns.take() is None


def test_half_a_body_holds_up_nobody(race: Service) -> None:
    race.now = EARLY + 1
    head = f"POST /v1/submissions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {race.tokens['late']}\r\n"
    slow = [socket.create_connection(("127.0.0.1", race.port)) for _ in range(50)]
    try:
        for one in slow:
            one.sendall(f"{head}content-length: 100000\r\n\r\n{{".encode())
        assert race.submit("acme").status == 200
        assert race.get("/v1/releases/r1", "acme").status == 200
    finally:
        for one in slow:
            one.close()
