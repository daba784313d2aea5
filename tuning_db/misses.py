"""Misses that deployments tell of: which workload they wanted on which chip and had no kernel for, and how often.

A miss names a computation by its id, with the operator and parameters that the id follows from. Whether this database
has such a workload is not looked at, so that telling of one finds nothing out. A source, which is a file of misses,
only ever counts up, and the most that it told is what counts: to tell the same again changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from headstart_runtime.misses import FILE_ID, MAX_COUNT, MAX_PARAMS, MAX_SIZE, MOST, OPERATOR, TARGET, TEXT
from targets.digest import canonical_json
from targets.units import DAY
from tuning_db.connection import Connection
from tuning_db.readers import Reader, between, entries, flag, matching, one_of, record, table, whole
from tuning_db.reasons import Reason, Refused

# What was not told again for so long is forgotten when its account tells of something.
KEPT_S = 90 * DAY
# So many schedules tried on the chip, a champion among them, and a miss waits no longer.
TUNED = 32

_NAME = matching(OPERATOR.pattern, "a name of lower-case letters, digits and _")
_VALUE = one_of(
    flag,
    whole(-MAX_SIZE, MAX_SIZE),
    between(-MAX_SIZE, MAX_SIZE),
    matching(TEXT.pattern, "at most 64 printable characters of ASCII"),
)
MISS: Mapping[str, Reader] = {
    "workload": matching("w[0-9a-f]{24}", "the id of a workload"),
    "operator": _NAME,
    "params": table(_NAME, _VALUE, MAX_PARAMS),
    "target": matching(TARGET.pattern, "the fingerprint of a chip"),
    "count": whole(1, MAX_COUNT),
}
_READ = record(MISS)
# What is told of one file.
TOLD = record({"source": matching(FILE_ID.pattern, "32 hexadecimal digits"), "misses": entries(_READ, MOST, 1)})


@dataclass(frozen=True)
class Missed:
    """A workload that was wanted on a chip.

    Attributes:
        workload: its id, as it was told.
        operator, params: what the id is said to follow from.
        target: fingerprint of the chip.
        count: how often it was missed.
    """

    workload: str
    operator: str
    params: Mapping[str, Any]
    target: str
    count: int

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON types."""
        return {**vars(self), "params": dict(self.params)}


def is_fingerprint(text: str) -> bool:
    """Whether a text is the fingerprint of a chip, and no name."""
    return TARGET.fullmatch(text) is not None


class Misses(Connection):
    """The table ``miss``."""

    def tell_misses(
        self, source: str, misses: Iterable[Missed], now: float, account: str = "", most: int | None = None
    ) -> None:
        """Keep what a source tells, all of it or nothing; of what it told before, the larger count stays.

        Args:
            source: by which the same file is known again.
            misses: what it has; each workload once for a chip.
            now: seconds since 1970.
            account: whose, by its id; empty for who has the database.
            most: rows that are kept of the account; None for any number.

        Raises:
            Refused: ``over_quota``.
        """
        with self.transaction():
            self.execute("DELETE FROM miss WHERE account = ? AND told < ?", (account, now - KEPT_S))
            for miss in misses:
                self.execute(
                    "INSERT INTO miss (account, source, workload, target, operator, params, count, told)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (account, source, workload, target) DO UPDATE SET"
                    " operator = excluded.operator, params = excluded.params, told = excluded.told,"
                    " count = max(count, excluded.count)",
                    (
                        *(account, source, miss.workload, miss.target, miss.operator),
                        *(canonical_json(dict(miss.params)), miss.count, now),
                    ),
                )
            kept = self.kept_misses(account)
            if most is not None and kept > most:
                raise Refused(Reason.OVER_QUOTA, f"{most} misses are kept of an account, and these would make {kept}")

    def replace_misses(self, source: str, misses: Iterable[Missed], now: float) -> None:
        """Keep what was fetched from somewhere in the place of what was fetched from there before."""
        with self.transaction():
            self.execute("DELETE FROM miss WHERE account = '' AND source = ?", (source,))
            self.tell_misses(source, misses, now)

    def kept_misses(self, account: str) -> int:
        """How many rows are kept of an account, by its id."""
        return int(self.value("SELECT count(*) FROM miss WHERE account = ?", (account,)))

    def misses(
        self, account: str | None = None, target: str | None = None, most: int = MOST, untuned: str | None = None
    ) -> list[Missed]:
        """Misses, what was missed most first; one told by several sources is one, and counts as often as all say.

        Args:
            account: only what it told, by its id.
            target: only on this chip, by its fingerprint.
            most: how many.
            untuned: only those that still wait to be tuned (``TUNED``) with this toolchain, by its id; all of the
                database decides about that, so that it is for who may see all of it.
        """
        where, values = _where(account, target, untuned)
        rows = self.rows(
            "SELECT workload, operator, params, target, min(sum(count), :largest) AS count FROM miss"
            f" WHERE {where} GROUP BY workload, operator, params, target"
            " ORDER BY count DESC, workload, target, operator, params LIMIT :most",
            {**values, "most": most, "largest": MAX_COUNT},
        )
        return [Missed(**{**row, "params": json.loads(row["params"])}) for row in rows]

    def missed_workloads(self, target: str, untuned: str | None = None) -> int:
        """How many workloads were missed on a chip, by its fingerprint; ``untuned`` as in ``misses``."""
        where, values = _where(None, target, untuned)
        return int(self.value(f"SELECT count(DISTINCT workload) FROM miss WHERE {where}", values))


def unreadable_misses(db: Connection) -> Iterator[tuple[str, str]]:
    """Workloads of rows that nobody could have told of, and what is wrong with them."""
    accounts = {"", *(row["id"] for row in db.rows("SELECT id FROM account"))}
    for row in db.rows("SELECT account, workload, operator, params, target, count FROM miss ORDER BY workload"):
        if row.pop("account") not in accounts:
            yield row["workload"], "was told by an account that is not there"
        try:
            _READ({**row, "params": json.loads(row["params"])})
        except (TypeError, ValueError) as error:
            yield row["workload"], f"cannot be read: {error}"


def _where(account: str | None, target: str | None, untuned: str | None) -> tuple[str, dict[str, Any]]:
    """A condition on rows of ``miss``, and its values."""
    where = ["TRUE"]
    where += ["account = :account"] if account is not None else []
    where += ["target = :target"] if target is not None else []
    if untuned is not None:
        same = "workload = miss.workload AND target = miss.target AND toolchain = :untuned"
        where.append(
            f"NOT (EXISTS (SELECT 1 FROM champion WHERE {same})"
            f" AND (SELECT count(*) FROM (SELECT 1 FROM trial WHERE {same} LIMIT {TUNED})) = {TUNED})"
        )
    return " AND ".join(where), {"account": account, "target": target, "untuned": untuned}
