"""Looking a database over: is it whole, and does everything in it hold together?"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

import sqlite_utils

from targets.errors import HeadstartError
from tuning_db.audit import problems
from tuning_db.migrations import migrations
from tuning_db.records import Status
from tuning_db.rows import decoded, key_of, stored
from tuning_db.rules import IDS, id_problem, trial_problem
from tuning_db.store import Store
from tuning_db.trials import from_row


class Finding(NamedTuple):
    """Something that must not be: where, and what is wrong."""

    where: str
    problem: str


def check(store: Store) -> list[Finding]:
    """Everything that is wrong with a database, an empty list where nothing is."""
    findings: list[Finding] = []
    try:
        with store.snapshot():
            for part in (_file, _schema, _ids, _trials, _champions, _ledgers):
                findings.extend(part(store))
    except (HeadstartError, sqlite3.DatabaseError) as error:
        # Too damaged to read on.
        findings.append(Finding("file", str(error)))
    return findings


def schema(connection: sqlite3.Connection) -> list[str]:
    """The statements that made the tables, indexes and triggers, sorted; not those of the migrations' own table."""
    rows = connection.execute(
        "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND tbl_name NOT LIKE '\\_%' ESCAPE '\\'"
    )
    return sorted(row[0] for row in rows)


def _file(store: Store) -> Iterator[Finding]:
    for row in store.rows("PRAGMA integrity_check"):
        if row["integrity_check"] != "ok":
            yield Finding("file", row["integrity_check"])
    for row in store.rows("PRAGMA foreign_key_check"):
        yield Finding(f"{row['table']} row {row['rowid']}", f"names a {row['parent']} that is not there")


def _schema(store: Store) -> Iterator[Finding]:
    fresh = sqlite_utils.Database(memory=True, execute_plugins=False)
    migrations.apply(fresh)
    there, wanted = set(schema(store.connection)), set(schema(fresh.conn))
    for statement in sorted(wanted - there):
        yield Finding("schema", f"missing or changed: {statement.splitlines()[0]}")
    for statement in sorted(there - wanted):
        yield Finding("schema", f"not of Headstart: {statement.splitlines()[0]}")


def _ids(store: Store) -> Iterator[Finding]:
    for kind in IDS:
        for row in stored(store, kind):
            try:
                problem = id_problem(kind, decoded(store, kind, row))
            except (TypeError, ValueError) as error:
                problem = f"a field is not JSON: {error}"
            if problem:
                yield Finding(f"{kind} {row[key_of(kind)]}", problem)


def _trials(store: Store) -> Iterator[Finding]:
    known = {status.value for status in Status}
    for row in stored(store, "trial"):
        problem: str | None
        if row["status"] not in known:
            problem = f"unknown status {row['status']!r}"
        else:
            try:
                problem = trial_problem(from_row(row))
            except (TypeError, ValueError) as error:
                problem = f"a field cannot be read: {error}"
        if problem:
            yield Finding(f"trial {row['id']}", problem)


def _champions(store: Store) -> Iterator[Finding]:
    for row in store.rows(
        "SELECT c.workload, c.trial, t.id, t.status FROM champion c LEFT JOIN trial t ON t.id = c.trial"
        " AND t.workload = c.workload AND t.target = c.target AND t.toolchain = c.toolchain AND t.policy = c.policy"
        " WHERE t.id IS NULL OR t.status <> 'ok'"
    ):
        what = "not a trial of its key" if row["id"] is None else f"a trial with status {row['status']}"
        yield Finding(f"champion of {row['workload']}", f"{row['trial']} is {what}")


def _ledgers(store: Store) -> Iterator[Finding]:
    for log in [row["log"] for row in store.rows("SELECT log FROM ledger ORDER BY log")]:
        for problem in problems(store, log):
            yield Finding(f"ledger {log}", problem)
