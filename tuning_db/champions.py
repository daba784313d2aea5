"""Champions: for each workload, target, toolchain and policy, the trial that a pull returns."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from tuning_db.connection import Connection
from tuning_db.records import Key, Trial
from tuning_db.trials import COLUMNS, from_row

FIELDS = ", ".join(f"t.{column}" for column in COLUMNS)


class Champions(Connection):
    """The table ``champion``, which changes only in the transaction of the trial that causes it."""

    def champion(self, key: Key) -> Trial | None:
        """The champion of exactly this key, None where there is none: never a near match."""
        rows = self.rows(
            f"SELECT {FIELDS} FROM champion c JOIN trial t ON t.id = c.trial"
            " WHERE c.workload = ? AND c.target = ? AND c.toolchain = ? AND c.policy = ?",
            (key.workload, key.target, key.toolchain, key.policy),
        )
        return from_row(rows[0]) if rows else None

    def crown(self, key: Key, trial: str) -> None:
        """Make a trial the champion of its key.

        Raises:
            sqlite3.IntegrityError: the trial is not there, not ok, not of this key, or has no time where the champion
                has one.
        """
        with self.transaction():
            untimed = self.value("SELECT 1 FROM trial WHERE id = ? AND status = 'ok' AND median IS NULL", (trial,))
            champion = self.champion(key) if untimed else None
            if champion is not None and champion.median is not None:
                raise sqlite3.IntegrityError("a champion that was timed does not fall to a trial that was not")
            self.execute(
                "INSERT INTO champion (workload, target, toolchain, policy, trial) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (workload, target, toolchain, policy) DO UPDATE SET trial = excluded.trial",
                (key.workload, key.target, key.toolchain, key.policy, trial),
            )

    def champions(
        self,
        model: str | None = None,
        workload: str | None = None,
        target: str | None = None,
        toolchain: str | None = None,
        policy: str | None = None,
    ) -> list[dict[str, Any]]:
        """Champions with what a report says of them, by operator and label, or in the order of a model's operators.

        Args:
            model: id of a model (``Store.model(...)["id"]``): one row for each of its operators that has a champion,
                with its ``position``, ``name`` and ``calls``.
            workload, target, toolchain, policy: only these ids.

        Returns:
            Rows of ``workload``, ``operator``, ``label``, ``params``, ``flops``, ``bytes``, ``target`` (fingerprint),
            ``target_name``, ``toolchain``, ``policy``, ``trial``, ``schedule``, ``space``, ``version``, ``config``,
            ``median`` and ``spread`` (seconds), ``samples``, ``machine``, ``author``, ``created``.
        """
        given = {"c.workload": workload, "c.target": target, "c.toolchain": toolchain, "c.policy": policy}
        given["m.model"] = model
        wanted = {name: value for name, value in given.items() if value is not None}
        extra, join, order = "", "", "w.operator, w.label, c.workload, c.target, c.toolchain, c.policy"
        if model is not None:
            extra, order = ", m.position, m.name, m.calls", f"m.position, {order}"
            join = " JOIN model_op m ON m.workload = c.workload"
        where = f" WHERE {' AND '.join(f'{name} = ?' for name in wanted)}" if wanted else ""
        rows = self.rows(
            "SELECT c.workload, w.operator, w.label, w.params, w.flops, w.bytes, c.target, g.name AS target_name,"
            " c.toolchain, c.policy, t.id AS trial, t.schedule, s.space, s.version, s.config, t.median, t.spread,"
            f" t.samples, t.machine, t.author, t.created{extra} FROM champion c{join}"
            " JOIN workload w ON w.id = c.workload JOIN target g ON g.fingerprint = c.target"
            f" JOIN trial t ON t.id = c.trial JOIN schedule s ON s.id = t.schedule{where} ORDER BY {order}",
            tuple(wanted.values()),
        )
        decoded = ("params", "config", "samples")
        return [{name: json.loads(v) if name in decoded else v for name, v in row.items()} for row in rows]
