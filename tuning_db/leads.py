"""Who leads: each vendor, and the best of all, for each key of each release; now, and at any moment before.

The tables change in the transaction of the claim or verdict that causes it (``claims``). A row has all that a board
needs of a claim, so that boards read no claims, however many there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tuning_db.claim import Claim, leader
from tuning_db.connection import Connection, explained
from tuning_db.history import KEY, Doubt, Turn, doubt, turn, write
from tuning_db.records import Key
from tuning_db.windows import Viewer, sees_times, visible_time

KEY_OF_LEAD = " AND ".join(f"{name} = ?" for name in ("release", *KEY, "vendor"))
# Of one vendor, or of all where the viewer may know of all, else their own: nothing of the others follows from that.
VENDORS = f"l.vendor <> '' AND {visible_time('l', 'r')}"
BEST = f"CASE WHEN {sees_times('r', 'l.target')} THEN l.vendor = '' ELSE l.vendor = :account AND l.vendor <> '' END"

# Claims of a release, and whether they were disputed at a moment. With max() alone, SQLite takes the other columns from
# the row that has it.
DISPUTED = (
    "(SELECT trial, disputed, max(number) FROM dispute WHERE release = :release AND since <= :at GROUP BY trial) d"
    " JOIN claim c ON c.trial = d.trial JOIN release r ON r.id = c.release"
)


class Lead(NamedTuple):
    """A row of the board: who led, with what, from a moment on.

    Attributes:
        workload, target, toolchain, policy: the key.
        vendor: id of the vendor whose lead it is; empty for the best of all.
        trial, holder, tier, median, spread: the leading claim, whose it is, and its figures; None where nobody led.
        since: seconds since 1970; None where it was not asked for.
        judged: whether a verdict brought it about.
    """

    workload: str
    target: str
    toolchain: str
    policy: str
    vendor: str
    trial: str | None
    holder: str | None
    tier: str | None
    median: float | None
    spread: float | None
    since: float | None = None
    judged: bool = False


COLUMNS = ", ".join(f"l.{name}" for name in Lead._fields[:10])


class Leads(Connection):
    """The tables ``lead``, ``lead_history`` and ``dispute``."""

    def arrives(self, claim: Claim) -> None:
        """Say who leads now that a claim has come, of its vendor's and of all.

        It came last, so that those who led are all that it must be compared with.
        """
        key = claim.trial.key
        for whose in ("", claim.vendor):
            last = self._last(claim.release, key, whose)
            led = last.claim(claim.release, key) if last else None
            first = leader([*([led] if led else []), claim])
            self._turn(claim.release, key, turn(last, whose, first, claim.received, None))

    def set_lead(
        self, release: str, key: Key, vendor: str, claim: Claim | None, at: float, verdict: str | None = None
    ) -> None:
        """Say who leads for a key from a moment on: of a vendor's claims, or of all where ``vendor`` is empty."""
        last = self._last(release, key, vendor)
        self._turn(release, key, turn(last, vendor, claim, at, verdict))

    def _last(self, release: str, key: Key, vendor: str) -> Turn | None:
        """Who leads, as the history has it."""
        rows = self.rows(
            f"SELECT {', '.join(Turn._fields)} FROM lead_history WHERE {KEY_OF_LEAD} ORDER BY number DESC LIMIT 1",
            (release, *vars(key).values(), vendor),
        )
        return Turn(**rows[0]) if rows else None

    def _turn(self, release: str, key: Key, one: Turn | None) -> None:
        """Keep what changes; None where nothing does."""
        if one is None:
            return
        if one.trial is None:
            self.execute(f"DELETE FROM lead WHERE {KEY_OF_LEAD}", (release, *vars(key).values(), one.vendor))
        write(self.connection, release, key, [one] if one.trial else [], [one])

    def set_dispute(self, release: str, trial: str, is_disputed: bool, at: float) -> None:
        """Say whether referees disagree about a claim from a moment on."""
        if one := doubt(self._doubt(release, trial), trial, is_disputed, at):
            self.execute(
                "INSERT INTO dispute (release, trial, number, since, disputed) VALUES (?, ?, ?, ?, ?)", (release, *one)
            )

    def _doubt(self, release: str, trial: str) -> Doubt | None:
        rows = self.rows(
            "SELECT trial, number, since, disputed FROM dispute WHERE release = ? AND trial = ?"
            " ORDER BY number DESC LIMIT 1",
            (release, trial),
        )
        return Doubt(**rows[0]) if rows else None

    def vendors_leads(self, viewer: Viewer, release: str, at: float | None = None) -> list[Lead]:
        """Each vendor's leading claims in a release, by its id, of those that the viewer may know of.

        Args:
            at: as it was at that moment; as it is unless said.
        """
        return self._leads(VENDORS, viewer, release, at)

    def best_leads(self, viewer: Viewer, release: str, at: float | None = None) -> list[Lead]:
        """The leading claims of all vendors, where the viewer may know of all, else the viewer's own."""
        return self._leads(BEST, viewer, release, at)

    def vendors_changes(self, viewer: Viewer, release: str, until: float) -> list[Lead]:
        """How each vendor's leads came about, in the order of time, of those that the viewer may know of."""
        return self._changes(VENDORS, viewer, release, until)

    def best_changes(self, viewer: Viewer, release: str, until: float) -> list[Lead]:
        """The same of the leads of all, where the viewer may know of all, else of the viewer's own."""
        return self._changes(BEST, viewer, release, until)

    def disputes(self, viewer: Viewer, release: str, at: float) -> list[dict[str, Any]]:
        """Claims that referees disagreed about at a moment, of those that the viewer may know of.

        Returns:
            ``workload``, ``target``, ``toolchain``, ``policy`` and ``vendor`` (id) of each.
        """
        return self.rows(
            f"SELECT {', '.join(f'c.{name}' for name in KEY)}, c.vendor FROM {DISPUTED}"
            f" WHERE d.disputed AND {visible_time('c', 'r')}",
            {**viewer.values, "release": release, "at": at},
        )

    def is_disputed(self, release: str, trial: str) -> bool:
        """Whether referees disagree about a claim in a release, by its id, whoever may see it."""
        last = self._doubt(release, trial)
        return bool(last and last.disputed)

    def _leads(self, whose: str, viewer: Viewer, release: str, at: float | None) -> list[Lead]:
        values = {**viewer.values, "release": release, "at": at}
        if at is None:
            source, which = "lead", "l.release = :release"
        else:
            # With max() alone, SQLite takes the other columns from the row that has it.
            source, which = (
                (
                    "(SELECT *, max(number) FROM lead_history WHERE release = :release AND since <= :at"
                    " GROUP BY release, target, workload, toolchain, policy, vendor)"
                ),
                "l.trial IS NOT NULL",
            )
        return self._read(
            f"SELECT {COLUMNS} FROM {source} l JOIN release r ON r.id = l.release WHERE {which} AND {whose}", values
        )

    def _changes(self, whose: str, viewer: Viewer, release: str, until: float) -> list[Lead]:
        return self._read(
            f"SELECT {COLUMNS}, l.since, l.verdict IS NOT NULL FROM lead_history l"
            f" JOIN release r ON r.id = l.release WHERE l.release = :release AND l.since <= :until AND {whose}"
            " ORDER BY l.since, l.target, l.workload, l.toolchain, l.policy, l.vendor, l.number",
            {**viewer.values, "release": release, "until": until},
        )

    def _read(self, sql: str, values: Mapping[str, Any]) -> list[Lead]:
        # Thousands of rows for one answer: not by way of a dictionary for each.
        with explained(self.path):
            return [Lead(*row) for row in self.connection.execute(sql, values)]
