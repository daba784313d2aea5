"""Quotas: how much an account may ask and send, and what it has sent.

What was sent is counted from what is stored, in the transaction of the submission that it is about, so that a quota
holds across restarts. A day is the last 24 hours, whenever they began: there is no midnight at which to send twice.
Only what an account itself did counts, so that a quota tells nothing of anybody else.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime, timezone
from typing import Any

from targets.errors import InputError
from targets.units import DAY
from tuning_db.accounts import Account
from tuning_db.connection import Connection
from tuning_db.reasons import Reason, Refused


@dataclass(frozen=True)
class Quota:
    """What an account may do; None where nothing is said of it.

    Attributes:
        requests: a second.
        claims: in a day.
        bytes: of envelopes, in a day.
        misses: that are kept of it, a row for each workload, chip and file.
        uploads: bytes of files of repositories, in a day.
    """

    requests: float | None = None
    claims: int | None = None
    bytes: int | None = None
    misses: int | None = None
    uploads: int | None = None


NO_QUOTA = Quota()


class Quotas(Connection):
    """The table ``quota``, and sums over ``submission``."""

    def set_quota(self, account: Account, **changed: float | None) -> Quota:
        """Say what an account may do, other than what the service lets everybody do.

        Args:
            account: whose.
            changed: fields of ``Quota``; None goes back to what the service says. What is left out stays.

        Returns:
            What is said of the account then.

        Raises:
            InputError: a number that is negative or none, or requests that are no more than none.
        """
        for name, value in changed.items():
            if value is not None and not 0 <= value < 2**53:
                raise InputError(f"a quota of {name} is a number from 0 to 2^53")
        if changed.get("requests") == 0:
            raise InputError("a quota of requests is more than none; `headstart accounts close` shuts somebody out")
        with self.transaction():
            quota = Quota(**{**vars(self.own_quota(account.id)), **changed})
            self.execute("DELETE FROM quota WHERE account = ?", (account.id,))
            columns = [field.name for field in fields(Quota)]
            self.execute(
                f"INSERT INTO quota (account, {', '.join(columns)}) VALUES (?{', ?' * len(columns)})",
                (account.id, *(getattr(quota, column) for column in columns)),
            )
        return quota

    def own_quota(self, account: str) -> Quota:
        """What is said of an account, by its id, alone."""
        columns = ", ".join(field.name for field in fields(Quota))
        rows = self.rows(f"SELECT {columns} FROM quota WHERE account = ?", (account,))
        return Quota(**rows[0]) if rows else Quota()

    def quota(self, account: str, default: Quota) -> Quota:
        """What an account, by its id, may do where ``default`` is what everybody may."""
        own = self.own_quota(account)
        both = {field.name: (getattr(own, field.name), getattr(default, field.name)) for field in fields(Quota)}
        return Quota(**{name: other if mine is None else mine for name, (mine, other) in both.items()})

    def sent(self, vendor: str, now: float) -> dict[str, int]:
        """``claims`` and ``bytes`` that a vendor, by its id, sent in the day before ``now``."""
        (row,) = self.rows(
            "SELECT coalesce(sum(claims), 0) AS claims, coalesce(sum(bytes), 0) AS bytes FROM submission"
            " WHERE vendor = ? AND received > ?",
            (vendor, now - DAY),
        )
        return row

    def require_room(self, vendor: str, quota: Quota, now: float, claims: int, bytes: int) -> None:
        """See that a batch fits into what its vendor, by its id, may still send.

        Raises:
            Refused: ``over_quota``, with the time from which on it would fit.
        """
        sent = self.sent(vendor, now)
        for what, more, most in (("claims", claims, quota.claims), ("bytes", bytes, quota.bytes)):
            if most is None or sent[what] + more <= most:
                continue
            said = f"{sent[what]} of {most} {what} in 24 hours are used, and this batch has {more}"
            if more > most:
                raise Refused(Reason.OVER_QUOTA, f"{said}: it never fits")
            rows = self.rows(
                f"SELECT received, {what} AS sent FROM submission WHERE vendor = ? AND received > ? ORDER BY received",
                (vendor, now - DAY),
            )
            raise Refused(Reason.OVER_QUOTA, f"{said}: it fits from {room_from(rows, most - more)} UTC on")


def room_from(rows: list[dict[str, Any]], left: int) -> str:
    """When so much of what was sent has become a day old that no more than ``left`` counts: date and time in UTC.

    Args:
        rows: ``received`` (seconds since 1970) and ``sent`` of what counts, oldest first.
        left: what else may count.
    """
    return _moment(_room_at(rows, left))


def _room_at(rows: list[dict[str, Any]], left: int) -> float:
    counted = sum(row["sent"] for row in rows)
    for row in rows:
        counted -= row["sent"]
        if counted <= left:
            return float(row["received"]) + DAY
    raise AssertionError("nothing counts once all of it is a day old")


def _moment(value: float) -> str:
    # A second later than what is shown at most, and never earlier.
    return f"{datetime.fromtimestamp(int(value) + 1, timezone.utc):%Y-%m-%d %H:%M:%S}"
