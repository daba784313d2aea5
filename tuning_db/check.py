"""Looking a database over: is it whole, and does everything in it hold together?"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import sqlite_utils

from targets.errors import HeadstartError
from tuning_db.audit import problems
from tuning_db.claim import judged
from tuning_db.history import doubts_of, keys, replay, seen, turns_of
from tuning_db.jobs import unreadable_jobs
from tuning_db.migrations import migrations
from tuning_db.misses import unreadable_misses
from tuning_db.records import Key, Status
from tuning_db.repository.checking import problems as repository_problems
from tuning_db.rows import decoded, key_of, stored
from tuning_db.rules import IDS, id_problem, trial_problem
from tuning_db.store import Store
from tuning_db.trials import from_row
from tuning_db.windows import PUBLIC


class Finding(NamedTuple):
    """Something that must not be: where, and what is wrong."""

    where: str
    problem: str


def check(store: Store) -> list[Finding]:
    """Everything that is wrong with a database, an empty list where nothing is."""
    findings: list[Finding] = []
    try:
        with store.snapshot():
            for part in (
                _file,
                _schema,
                _ids,
                _trials,
                _champions,
                _ledgers,
                _releases,
                _claims,
                _keys,
                _leads,
                _misses,
                _jobs,
                _repositories,
            ):
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
        which = "" if row["rowid"] is None else f" row {row['rowid']}"
        yield Finding(f"{row['table']}{which}", f"names a {row['parent']} that is not there")


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


def _releases(store: Store) -> Iterator[Finding]:
    """What foreign keys cannot say, since an empty text stands for none."""
    if store.rows("SELECT id, launch, publisher FROM release WHERE publisher = ''") != [
        {"id": PUBLIC, "launch": 0.0, "publisher": ""}
    ]:
        yield Finding(f"release {PUBLIC}", "is not the one release without a publisher, launched for ever")
    lost = {
        "release": "SELECT id FROM release WHERE publisher <> '' AND publisher NOT IN (SELECT id FROM account)",
        "opening": "SELECT release FROM opening WHERE target <> '' AND target NOT IN (SELECT fingerprint FROM target)",
    }
    for row in store.rows(lost["release"]):
        yield Finding(f"release {row['id']}", "names a publisher that is not there")
    for row in store.rows(lost["opening"]):
        yield Finding(f"opening of {row['release']}", "names a target that is not there")


def _claims(store: Store) -> Iterator[Finding]:
    for row in store.rows(
        "SELECT c.trial FROM claim c LEFT JOIN trial t ON t.id = c.trial AND t.workload = c.workload"
        " AND t.target = c.target AND t.toolchain = c.toolchain AND t.policy = c.policy WHERE t.id IS NULL"
    ):
        yield Finding(f"claim {row['trial']}", "does not have the key of its trial")
    for row in stored(store, "claim"):
        try:
            tier, state, reason = judged(store.all_verdicts(row["trial"]))
        except (TypeError, ValueError) as error:
            yield Finding(f"claim {row['trial']}", f"a verdict on it cannot be read: {error}")
            continue
        if (row["tier"], row["state"], row["reason"]) != (tier.value, state, reason):
            yield Finding(f"claim {row['trial']}", f"is not what its verdicts come to: {tier.value}, {state}")


def _keys(store: Store) -> Iterator[Finding]:
    for row in store.rows(
        "SELECT DISTINCT c.trial, s.key FROM signing_key k JOIN submission s ON s.key = k.id AND s.received > k.revoked"
        " JOIN claim c ON c.batch = s.batch WHERE c.state <> 'withdrawn' ORDER BY c.trial"
    ):
        yield Finding(f"claim {row['trial']}", f"is not withdrawn, and its key {row['key']} was revoked before it came")


def _leads(store: Store) -> Iterator[Finding]:
    """Who leads, and who led: both are what claims and verdicts come to, in the order of their arrival."""
    key = "release, workload, target, toolchain, policy"
    there: dict[tuple[str, ...], dict[str, tuple[Any, ...]]] = defaultdict(dict)
    for *of, vendor, trial, holder, tier, median, spread in store.connection.execute(
        f"SELECT {key}, vendor, trial, holder, tier, median, spread FROM lead"
    ):
        there[tuple(of)][vendor] = (trial, holder, tier, median, spread)
    claimed = {(release, *vars(of).values()) for release, of in keys(store.connection)}
    led = {tuple(row.values()) for row in store.rows(f"SELECT DISTINCT {key} FROM lead_history")}
    for of_key in sorted(claimed | led | set(there), key=str):
        release, *rest = of_key
        where = f"lead of {release} for {rest[0]}"
        try:
            again = replay(store.connection, release, Key(*rest))
        except (TypeError, ValueError) as error:
            yield Finding(where, f"a claim cannot be read: {error}")
            continue
        wanted = {vendor: one[3:8] for vendor, one in again.leads.items()}
        for vendor in sorted(set(wanted) | set(there[of_key])):
            if wanted.get(vendor) != there[of_key].get(vendor):
                whose = f"of {vendor}" if vendor else "of all"
                said, right = (one[vendor][0] if vendor in one else "nobody" for one in (there[of_key], wanted))
                what = "with other figures" if said == right else f"it is {right}"
                yield Finding(where, f"{said} is said to lead {whose}, {what}")
        if seen(turns_of(store.connection, release, Key(*rest))) != seen(again.turns):
            yield Finding(where, "its history is not what claims and verdicts come to")
        for trial, doubts in doubts_of(store.connection, release, Key(*rest)).items():
            if doubts != again.doubts.get(trial, []):
                yield Finding(f"claim {trial}", "its history of disputes is not what its verdicts come to")


def _repositories(store: Store) -> Iterator[Finding]:
    for where, problem in repository_problems(store):
        yield Finding(where, problem)


def _misses(store: Store) -> Iterator[Finding]:
    for workload, problem in unreadable_misses(store):
        yield Finding(f"miss of {workload}", problem)


def _jobs(store: Store) -> Iterator[Finding]:
    for job, problem in unreadable_jobs(store):
        yield Finding(f"job {job}", problem)
