"""The store: what was computed, on what, how, and how fast; everything the database keeps, behind one class."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from typing import Any

from targets.digest import canonical_json
from targets.errors import InputError
from tuning_db.accounts import Accounts
from tuning_db.blobs import Blobs
from tuning_db.champions import Champions
from tuning_db.claimed import Claimed
from tuning_db.claims import Claims
from tuning_db.cost_models import CostModels
from tuning_db.jobs import Jobs
from tuning_db.ledger import Ledgers
from tuning_db.misses import Misses
from tuning_db.models import Models
from tuning_db.quotas import Quotas
from tuning_db.records import Key, Policy, Toolchain, Trial
from tuning_db.releases import Releases
from tuning_db.repositories import Repositories
from tuning_db.submissions import Submissions
from tuning_db.trials import COLUMNS, from_row, insert
from tuning_db.windows import early_claim, public_trial
from tuning_db.words import Words

# Rows read at once: between two pages nothing is held open, so a slow reader never keeps the WAL from shrinking.
PAGE = 1000


class Store(
    Champions,
    Jobs,
    CostModels,
    Ledgers,
    Accounts,
    Releases,
    Models,
    Claims,
    Submissions,
    Quotas,
    Words,
    Claimed,
    Misses,
    Repositories,
    Blobs,
):
    """One database file. See ``Connection`` for opening it, transactions, threads and errors.

    Every ``add_`` method is idempotent: what is there already stays as it is.
    """

    def add_workload(
        self, id: str, operator: str, label: str, params: Mapping[str, Any], canonical: str, flops: int, bytes: int
    ) -> None:
        """Keep a workload; ``id`` is the hash of ``canonical``.

        What a publisher said of it, perhaps for a release to come, makes room for what is given here.
        """
        with self.transaction():
            self._add("workload", "id", (id, operator, label, canonical_json(dict(params)), canonical, flops, bytes))
            self.execute(
                "UPDATE workload SET operator = ?, label = ?, params = ?, flops = ?, bytes = ? WHERE id = ?"
                " AND EXISTS (SELECT 1 FROM release_workload s WHERE s.workload = workload.id)",
                (operator, label, canonical_json(dict(params)), flops, bytes, id),
            )

    def add_target(self, fingerprint: str, name: str, vendor: str, spec: Mapping[str, Any]) -> None:
        """Keep a target; ``spec`` is ``Target.spec()``. One that is known by its fingerprint alone gets its name."""
        with self.transaction():
            self._add("target", "fingerprint", (fingerprint, name, vendor, canonical_json(dict(spec))))
            self.execute(
                "UPDATE target SET name = ?, vendor = ?, spec = ? WHERE fingerprint = ? AND name = fingerprint",
                (name, vendor, canonical_json(dict(spec)), fingerprint),
            )

    def add_toolchain(self, toolchain: Toolchain) -> None:
        """Keep a toolchain."""
        self._add("toolchain", "id", (toolchain.id, canonical_json(dict(toolchain.versions))))

    def add_policy(self, policy: Policy) -> None:
        """Keep a policy."""
        self._add("policy", "id", (policy.id, policy.cache, policy.threads, policy.clock))

    def add_schedule(self, id: str, space: str, version: int, config: Mapping[str, Any]) -> None:
        """Keep a schedule; ``id`` is the hash of the rest."""
        self._add("schedule", "id", (id, space, version, canonical_json(dict(config))))

    def add_trial(self, trial: Trial, crown: bool = False) -> None:
        """Keep a trial and, with ``crown``, make it the champion of its key, in one transaction.

        What it names (workload, target, toolchain, policy, schedule) must have been added before.

        Raises:
            ValueError: the trial contradicts itself, is crowned without being ok, names what is not there, or
                has the id of another trial.
        """
        with self.transaction():
            insert(self, trial)
            if crown:
                try:
                    self.crown(trial.key, trial.id)
                except sqlite3.IntegrityError as error:
                    raise ValueError(f"trial {trial.id}: {error}") from error

    def trial(self, id: str) -> Trial:
        """A trial by id.

        Raises:
            InputError: no such trial.
        """
        rows = self.rows(f"SELECT {', '.join(COLUMNS)} FROM trial WHERE id = ?", (id,))
        if not rows:
            raise InputError(f"no trial {id} in {self.path}")
        return from_row(rows[0])

    def trials(
        self,
        workload: str | None = None,
        target: str | None = None,
        toolchain: str | None = None,
        policy: str | None = None,
        limit: int | None = None,
        now: float | None = None,
    ) -> Iterator[Trial]:
        """Trials in the order in which they were added, of these ids only where given, the first ``limit`` of them.

        Not claims of releases that are not launched at ``now``, which is the clock unless said: these are for ``claim``
        to show, to whom they are open, and no search or report makes use of them.
        """
        given = {"workload": workload, "target": target, "toolchain": toolchain, "policy": policy}
        wanted = {name: value for name, value in given.items() if value is not None}
        where = " AND ".join(["seq > :after", f"NOT {early_claim('trial')}", *(f"{name} = :{name}" for name in wanted)])
        sql = f"SELECT seq, {', '.join(COLUMNS)} FROM trial WHERE {where} ORDER BY seq LIMIT :most"
        moment = {"now": time.time() if now is None else now}
        after, left = 0, limit
        while left is None or left > 0:
            most = PAGE if left is None else min(PAGE, left)
            page = self.rows(sql, {"after": after, "most": most, **wanted, **moment})
            if not page:
                return
            yield from map(from_row, page)
            after = page[-1]["seq"]
            left = None if left is None else left - len(page)

    def tried(self, key: Key) -> set[str]:
        """Ids of the schedules that have a trial for the key, good or bad."""
        rows = self.rows(
            "SELECT DISTINCT schedule FROM trial WHERE workload = ? AND target = ? AND toolchain = ? AND policy = ?",
            (key.workload, key.target, key.toolchain, key.policy),
        )
        return {row["schedule"] for row in rows}

    def schedule(self, id: str) -> tuple[str, int, dict[str, Any]]:
        """Space, version and config of a schedule, so that ``Schedule(*store.schedule(id))`` is the schedule.

        Raises:
            InputError: no such schedule.
        """
        rows = self.rows("SELECT space, version, config FROM schedule WHERE id = ?", (id,))
        if not rows:
            raise InputError(f"no schedule {id} in {self.path}")
        return rows[0]["space"], rows[0]["version"], json.loads(rows[0]["config"])

    def workload(self, id: str) -> dict[str, Any]:
        """A workload by its id or the first characters of it.

        Raises:
            InputError: no workload starts so, or several do (they are listed).
        """
        # A range rather than LIKE: it uses the index, and no character of the prefix has a meaning of its own.
        rows = self.rows("SELECT * FROM workload WHERE id >= ? AND id < ? ORDER BY id", (id, id + "\U0010ffff"))
        if len(rows) == 1 or (rows and rows[0]["id"] == id):
            return {**rows[0], "params": json.loads(rows[0]["params"])}
        if rows:
            raise InputError(f"{len(rows)} workloads start with {id!r}: {_some(rows)}; give more characters")
        known = self.rows("SELECT * FROM workload ORDER BY operator, label")
        raise InputError(f"no workload {id!r} in {self.path}; it has {_some(known) or 'none'}")

    def workloads(self) -> list[dict[str, Any]]:
        """Every workload, by operator and label."""
        rows = self.rows("SELECT * FROM workload ORDER BY operator, label, id")
        return [{**row, "params": json.loads(row["params"])} for row in rows]

    def target(self, name: str) -> dict[str, Any]:
        """A target by fingerprint or name.

        Raises:
            InputError: none of that name, or several chips of it (their fingerprints are listed).
        """
        rows = self.rows("SELECT * FROM target WHERE fingerprint = ? OR name = ? ORDER BY fingerprint", (name, name))
        if len(rows) == 1:
            return {**rows[0], "spec": json.loads(rows[0]["spec"])}
        if rows:
            prints = ", ".join(row["fingerprint"] for row in rows)
            raise InputError(f"{len(rows)} targets are called {name!r}; give one of the fingerprints {prints}")
        names = ", ".join(f"{row['name']} ({row['fingerprint']})" for row in self.targets())
        raise InputError(f"no target {name!r} in {self.path}; it has {names or 'none'}")

    def targets(self) -> list[dict[str, Any]]:
        """Every target, by name."""
        rows = self.rows("SELECT * FROM target ORDER BY name, fingerprint")
        return [{**row, "spec": json.loads(row["spec"])} for row in rows]

    def training_rows(
        self,
        kind: str | None = None,
        fingerprints: set[str] | None = None,
        newest: int | None = None,
        now: float | None = None,
    ) -> Iterator[dict[str, Any]]:
        """What a cost model learns from, trial by trial, oldest first, without holding them all.

        Only what is public: a model that has learned from work for a release to come tells of it.

        Args:
            kind: only targets of this kind (``llvm``, ``cuda``, ...).
            fingerprints: only these targets.
            newest: look only at this many of the latest trials of the database.
            now: seconds since 1970, the clock unless said.

        Yields:
            ``trial``, ``workload``, ``operator``, ``params``, ``flops``, ``bytes``, ``target``, ``toolchain``,
            ``policy``, ``schedule``, ``space``, ``version``, ``config``, ``status``, ``median`` (seconds, None where
            it was not timed), ``samples``, ``evidence``.
        """
        chosen = {
            row["fingerprint"]
            for row in self.targets()
            if (kind is None or row["spec"].get("tvm", {}).get("kind") == kind)
            and (fingerprints is None or row["fingerprint"] in fingerprints)
        }
        moment = {"now": time.time() if now is None else now}
        # Most files hold nothing that is not public, and need not be asked for each row.
        public = public_trial("t") if self.value("SELECT 1 FROM release WHERE launch > :now", moment) else "TRUE"
        workloads: dict[str, dict[str, Any]] = {}
        sql = (
            "SELECT t.seq, t.id AS trial, t.workload, t.target, t.toolchain, t.policy, t.schedule,"
            " s.space, s.version, s.config, t.status, t.median, t.samples, t.evidence"
            " FROM trial t CROSS JOIN schedule s ON s.id = t.schedule"
            f" WHERE t.seq > :after AND {public} ORDER BY t.seq LIMIT :most"
        )
        after = 0
        if newest is not None:
            before = f"SELECT seq FROM trial t WHERE {public} ORDER BY seq DESC LIMIT 1 OFFSET :newest"
            after = self.value(before, {**moment, "newest": newest}) or 0
        while page := self.rows(sql, {**moment, "after": after, "most": PAGE}):
            after = page[-1]["seq"]
            for row in page:
                if row["target"] not in chosen:
                    continue
                if row["workload"] not in workloads:
                    workloads[row["workload"]] = self.workload(row["workload"])
                workload = workloads[row["workload"]]
                del row["seq"]
                row |= {name: json.loads(row[name]) for name in ("config", "samples", "evidence")}
                yield row | {name: workload[name] for name in ("operator", "params", "flops", "bytes")}

    def _add(self, table: str, key: str, values: tuple[Any, ...]) -> None:
        # Not INSERT OR IGNORE, which would also pass over a NULL that must not be there.
        marks = ", ".join("?" * len(values))
        with self.transaction():
            self.execute(f"INSERT INTO {table} VALUES ({marks}) ON CONFLICT ({key}) DO NOTHING", values)


def _some(workloads: list[dict[str, Any]], most: int = 8) -> str:
    """The first few workloads in one line."""
    listed = ", ".join(f"{row['id']} ({row['operator']} {row['label']})" for row in workloads[:most])
    return f"{listed}, and {len(workloads) - most} more" if len(workloads) > most else listed
