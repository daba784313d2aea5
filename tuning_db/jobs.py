"""Jobs: what was asked for, whose turn it is, whether it is still running, and what happened to it."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from targets.digest import canonical_json
from targets.errors import InputError
from tuning_db.connection import Connection
from tuning_db.records import new_id

# What may still be run, or is.
OPEN = ("queued", "running", "paused")
ENDED = ("done", "failed", "cancelled", "interrupted")
# Characters of an id, from its end, by which people call a job: these are chance, the first ones are time.
SHORT = 6


def short(job: str) -> str:
    """What people call a job."""
    return job[-SHORT:]


class Jobs(Connection):
    """The tables ``job`` and ``job_log``.

    A job of the queue is ``queued`` until whoever runs the queue takes it, ``running`` for a while, and ``queued``
    again; a job that runs by itself, as that of ``headstart tune``, is ``running`` from the start. Each change of state
    is one transaction with its line in the log, and a trigger refuses what may not be: one process may pause what
    another is about to finish, and one of them is first.
    """

    def start_job(self, spec: Mapping[str, Any]) -> str:
        """Keep what was asked for of a job that this process runs from now on, and return the job's id."""
        return self._new_job("running", spec, 1.0, 0.0, time.time(), *_here())

    def queue_job(self, spec: Mapping[str, Any], share: float = 1.0) -> str:
        """Keep what was asked for of a job that is to be run when its turn comes, and return the job's id.

        Args:
            spec: JSON types.
            share: how much time it gets beside others, as a weight.

        Raises:
            InputError: a share of nothing.
        """
        if not 0 < share < float("inf"):
            raise InputError(f"a share is a number more than nothing, not {share:g}")
        with self.transaction():
            return self._new_job("queued", spec, share, self._front(), None, "", None)

    def take_job(self, but: Collection[str] = ()) -> dict[str, Any] | None:
        """The job of the queue whose turn it is, ``running`` in this process from now on; None where none waits.

        The least time for its share is next, so that jobs get time in proportion (stride scheduling: Waldspurger and
        Weihl, 1995).

        Args:
            but: ids of jobs that are not to be taken.
        """
        marks = ", ".join("?" * len(but))
        with self.transaction():
            sql = f"SELECT id FROM job WHERE state = 'queued' AND id NOT IN ({marks}) ORDER BY turn, id LIMIT 1"
            job = self.value(sql, tuple(but))
            if job is None:
                return None
            now = time.time()
            self.execute(
                "UPDATE job SET state = 'running', started = coalesce(started, ?), heartbeat = ?, host = ?, pid = ?"
                " WHERE id = ?",
                (now, now, *_here(), job),
            )
            self.log_job(job, "began", dict(zip(("host", "pid"), _here(), strict=True)))
            return self.job(job)

    def must_wait(self, job: str) -> bool:
        """Whether it is the turn of another job of the queue than this one, which runs."""
        sql = "SELECT min(q.turn) < j.turn FROM job q, job j WHERE q.state = 'queued' AND j.id = ?"
        return bool(self.value(sql, (job,)))

    def heartbeat(self, job: str, progress: float | None = None) -> bool:
        """Say that a job is alive, and spent the time since the last heartbeat; returns whether it is still to be run.

        Args:
            job: its id.
            progress: how much of it is done, 0 to 1; as it was where that is not known.
        """
        with self.transaction():
            now = time.time()
            self.execute(
                "UPDATE job SET spent = spent + max(? - heartbeat, 0), turn = turn + max(? - heartbeat, 0) / share,"
                " progress = coalesce(?, progress), heartbeat = ? WHERE id = ?",
                (now, now, progress, now, job),
            )
            return bool(self.value("SELECT state = 'running' FROM job WHERE id = ?", (job,)))

    def leave_job(self, job: str, event: str = "waits", data: Mapping[str, Any] | None = None) -> bool:
        """Give a running job back to the queue; returns False where it is not running any more."""
        return self._from_running(job, "queued", event, data)

    def lose_job(self, job: str, state: str, data: Mapping[str, Any]) -> None:
        """Write that whoever ran a job is gone; its time is what was spent by the last heartbeat.

        Args:
            job: its id.
            state: ``queued``, for it to be run again, or ``interrupted``.
            data: of who ran it.
        """
        self._change(job, state, "lost", data)

    def finish_job(self, job: str, state: str = "done", data: Mapping[str, Any] | None = None) -> bool:
        """Write how a job ended: ``done``, ``interrupted`` or ``failed``; False where it is not running any more."""
        if state not in ("done", "interrupted", "failed"):
            raise ValueError(f"a job ends done, interrupted or failed, not {state}")
        return self._from_running(job, state, state, data)

    def pause_job(self, job: str) -> None:
        """Keep a job from being run until it is resumed; whoever runs it notices.

        Raises:
            InputError: it is not ``queued`` or ``running``, or runs by itself.
        """
        with self.transaction():
            if self.job(job)["queued"] is None:
                raise InputError(f"job {short(job)} is not of the queue; `headstart jobs cancel {short(job)}` ends it")
            self._change(job, "paused", "paused")

    def resume_job(self, job: str) -> None:
        """Let a job be run again that was paused or failed.

        Raises:
            InputError: it is neither, or ran by itself.
        """
        with self.transaction():
            row = self.job(job)
            if row["queued"] is None:
                raise InputError(f"job {short(job)} is not of the queue; the command that ran it carries on from there")
            # What it did not use while it was away is not owed to it.
            turn = max(row["turn"], self._front())
            self._change(job, "queued", "resumed")
            self.execute("UPDATE job SET turn = ? WHERE id = ?", (turn, row["id"]))

    def cancel_job(self, job: str) -> None:
        """End a job for good; whoever runs it notices. Its trials stay.

        Raises:
            InputError: it has ended already.
        """
        self._change(job, "cancelled", "cancelled")

    def log_job(self, job: str, event: str, data: Mapping[str, Any] | None = None) -> None:
        """Keep a line of what happened to a job."""
        self.execute(
            "INSERT INTO job_log (job, at, spent, event, data) SELECT id, ?, spent, ?, ? FROM job WHERE id = ?",
            (time.time(), event, canonical_json(dict(data or {})), job),
        )

    def job_log(self, job: str | None = None, after: int = 0, since: float = 0.0) -> list[dict[str, Any]]:
        """Lines of the log, oldest first: ``seq``, ``job``, ``at``, ``spent``, ``event``, ``data``.

        Args:
            job: only of this one, by its id.
            after: only lines with a larger ``seq``.
            since: only from this moment on, in seconds since 1970.
        """
        rows = self.rows(
            "SELECT * FROM job_log WHERE seq > :after AND at >= :since AND (:job IS NULL OR job = :job) ORDER BY seq",
            {"after": after, "since": since, "job": job},
        )
        return [{**row, "data": json.loads(row["data"])} for row in rows]

    def job(self, job: str) -> dict[str, Any]:
        """A job by its id, or the first or last characters of it.

        Raises:
            InputError: no such job, or several; they are listed.
        """
        found = self.rows("SELECT * FROM job WHERE id = ?", (job,))
        if not found and job.isalnum():
            found = self.rows("SELECT * FROM job WHERE id LIKE ? OR id LIKE ? ORDER BY id", (f"{job}%", f"%{job}"))
        if not found:
            raise InputError(f"no job {job!r} in {self.path}; `headstart jobs list` lists them")
        if len(found) > 1:
            listed = ", ".join(row["id"] for row in found[:8]) + (", ..." if len(found) > 8 else "")
            raise InputError(f"{len(found)} jobs are called {job!r}: {listed}; give more characters")
        return {**found[0], "spec": json.loads(found[0]["spec"])}

    def jobs(self, *states: str) -> list[dict[str, Any]]:
        """Every job, or those in one of these states, oldest first."""
        marks = ", ".join("?" * len(states))
        where = f" WHERE state IN ({marks})" if states else ""
        rows = self.rows(f"SELECT * FROM job{where} ORDER BY id", states)
        return [{**row, "spec": json.loads(row["spec"])} for row in rows]

    def job_trials(self, job: str) -> dict[str, int]:
        """How many ``trials`` a job made, how many are ``good``, and of how many keys it holds the ``champions``."""
        counts = self.rows(
            "SELECT count(*) AS trials, coalesce(sum(status = 'ok'), 0) AS good FROM trial WHERE job = ?", (job,)
        )
        # A champion that was timed again and came out faster was not found by this job.
        champions = self.value(
            "SELECT count(*) FROM trial t JOIN champion c ON c.trial = t.id AND c.workload = t.workload"
            " WHERE t.job = ? AND json_extract(t.evidence, '$.again') IS NULL",
            (job,),
        )
        return {**counts[0], "champions": int(champions)}

    def last_trial(self, job: str) -> dict[str, Any] | None:
        """The trial that a job made last: ``operator`` and ``label`` of its workload, ``status``, ``median``."""
        rows = self.rows(
            "SELECT w.operator, w.label, t.status, t.median FROM trial t JOIN workload w ON w.id = t.workload"
            " WHERE t.job = ? ORDER BY t.seq DESC LIMIT 1",
            (job,),
        )
        return rows[0] if rows else None

    def _new_job(
        self,
        state: str,
        spec: Mapping[str, Any],
        share: float,
        turn: float,
        started: float | None,
        host: str,
        pid: int | None,
    ) -> str:
        id, queued = new_id("j"), time.time() if state == "queued" else None
        with self.transaction():
            self.execute(
                "INSERT INTO job (id, spec, state, share, turn, spent, queued, started, heartbeat, host, pid)"
                " VALUES (?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?)",
                (id, canonical_json(dict(spec)), state, share, turn, queued, started, started, host, pid),
            )
            self.log_job(id, "queued" if state == "queued" else "started")
        return id

    def _from_running(self, job: str, state: str, event: str, data: Mapping[str, Any] | None) -> bool:
        """Change the state of a job that runs, unless somebody paused or cancelled it meanwhile."""
        with self.transaction():
            if not self.heartbeat(job):
                return False
            self._change(job, state, event, data)
            return True

    def _change(self, job: str, state: str, event: str, data: Mapping[str, Any] | None = None) -> None:
        with self.transaction():
            row = self.job(job)
            id, before = row["id"], row["state"]
            try:
                if before == state:
                    raise sqlite3.IntegrityError
                self.execute("UPDATE job SET state = ? WHERE id = ?", (state, id))
            except sqlite3.IntegrityError:
                raise InputError(f"job {short(id)} is {before}, and cannot become {state}") from None
            self.log_job(id, event, data)

    def _front(self) -> float:
        """The least turn of the jobs that wait or run, so that one that joins them owes and is owed nothing."""
        sql = "SELECT min(turn) FROM job WHERE state IN ('queued', 'running') AND queued IS NOT NULL"
        return float(self.value(sql) or 0.0)


def unreadable_jobs(db: Connection) -> Iterator[tuple[str, str]]:
    """Jobs that nobody could have made, and what is wrong with them."""
    for row in db.rows("SELECT id, spec, state FROM job ORDER BY id"):
        if row["state"] not in OPEN + ENDED:
            yield row["id"], f"unknown state {row['state']!r}"
        yield from _unreadable(row["id"], row["spec"])
    for row in db.rows("SELECT job, data FROM job_log ORDER BY seq"):
        yield from _unreadable(row["job"], row["data"])


def _unreadable(job: str, text: str) -> Iterator[tuple[str, str]]:
    try:
        good = isinstance(json.loads(text), dict)
    except ValueError:
        good = False
    if not good:
        yield job, "what it keeps is not a JSON object"


def _here() -> tuple[str, int]:
    """The name of this machine and the number of this process."""
    return platform.node(), os.getpid()
