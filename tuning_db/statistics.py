"""Counting what is in a database."""

from __future__ import annotations

from typing import Any

from tuning_db.connection import disk_bytes
from tuning_db.store import Store


def statistics(store: Store) -> dict[str, Any]:
    """Counts of everything, trials by status and by target, and bytes on disk (write-ahead log included)."""
    with store.snapshot():
        counts = {
            f"{table}s": store.value(f"SELECT count(*) FROM {table}")
            for table in ("workload", "schedule", "model", "trial", "champion", "cost_model", "job")
        }
        counts["ledger_entries"] = store.value("SELECT coalesce(sum(size), 0) FROM ledger")
        statuses = store.rows("SELECT status, count(*) AS trials FROM trial GROUP BY status ORDER BY 2 DESC, 1")
        targets = store.rows(
            "SELECT g.fingerprint, g.name, coalesce(t.n, 0) AS trials, coalesce(c.n, 0) AS champions FROM target g"
            " LEFT JOIN (SELECT target, count(*) AS n FROM trial GROUP BY target) t ON t.target = g.fingerprint"
            " LEFT JOIN (SELECT target, count(*) AS n FROM champion GROUP BY target) c ON c.target = g.fingerprint"
            " ORDER BY trials DESC, g.fingerprint"
        )
    return {
        "path": str(store.path),
        "bytes": disk_bytes(store.path),
        **counts,
        "by_status": {row["status"]: row["trials"] for row in statuses},
        "targets": targets,
    }
