"""What a vendor has claimed, by hashes that tell whether it is claimed again, and whether in disguise.

Each look-up is one read of an index, however much a vendor has claimed. The rows follow from claims, so that they are
made for files that are older than the table.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from contextlib import suppress

from schedules.essence import essence
from schedules.schedule import Schedule
from targets.digest import canonical_json, digest
from tuning_db.batch import ClaimedTrial, claim_id
from tuning_db.connection import Connection
from tuning_db.records import Key

ADD = "INSERT INTO claimed (vendor, release, what, schedule) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"


class Claimed(Connection):
    """The table ``claimed``: two rows a claim, fewer where another claim has the same."""

    def add_claimed(self, release: str, vendor: str, claims: Iterable[ClaimedTrial]) -> None:
        """Note claims of a vendor in a release, both by id, in the transaction in which they are kept."""
        for claim in claims:
            for what in (claim.id, likeness(claim.key, claim.essence)):
                self.execute(ADD, (vendor, release, what, claim.schedule.id))

    def claimed(self, release: str, vendor: str) -> Earlier:
        """What a vendor has claimed in a release, both by id."""
        return Earlier(self, release, vendor)


class Earlier:
    """Claims of one vendor in one release, as ``Known`` asks for them; never what others have."""

    def __init__(self, db: Connection, release: str, vendor: str) -> None:
        self._db, self._release, self._vendor = db, release, vendor

    def __contains__(self, claim: object) -> bool:
        """Whether a claim of this id (``ClaimedTrial.id``) is there."""
        return self._schedule(claim) is not None

    def get(self, what: tuple[Key, str]) -> str | None:
        """Id of the schedule that was first claimed for a key with an essence."""
        return self._schedule(likeness(*what))

    def _schedule(self, what: object) -> str | None:
        found: str | None = self._db.value(
            "SELECT schedule FROM claimed WHERE vendor = ? AND release = ? AND what = ?",
            (self._vendor, self._release, what),
        )
        return found


def likeness(key: Key, essence: str) -> str:
    """Hash of what claims have in common that would do the same."""
    return digest("l", canonical_json([*vars(key).values(), essence]))


def fill(connection: sqlite3.Connection) -> None:
    """Write the table of a file that has only claims, in the order of their arrival."""
    rows = connection.execute(
        "SELECT c.vendor, c.release, c.workload, c.target, c.toolchain, c.policy, t.samples, s.id, s.space, s.version,"
        " s.config FROM claim c JOIN trial t ON t.id = c.trial JOIN schedule s ON s.id = t.schedule ORDER BY t.seq"
    )
    for vendor, release, *of, samples, schedule, space, version, config in rows:
        key = Key(*of)
        whats = [claim_id(key, schedule, json.loads(samples))]
        # A trace that no service would have taken may have none, and nothing is like it.
        with suppress(AttributeError, IndexError, KeyError, TypeError, ValueError):
            whats.append(likeness(key, essence(Schedule(space, version, json.loads(config)))))
        connection.executemany(ADD, [(vendor, release, what, schedule) for what in whats])
