"""Releases: a model that is not public yet, when it opens for whom, and by which rules it is raced for."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from targets.digest import canonical_json
from targets.errors import InputError
from tuning_db.accounts import Account, check_name
from tuning_db.connection import Connection
from tuning_db.windows import PUBLIC, Viewer, open_release

DAY = 86400.0


@dataclass(frozen=True)
class Rules:
    """By what a release is raced for.

    Attributes:
        sealed: whether rivals see nothing of each other before the launch; else they see ranks and times, but no
            schedules.
        withdraw_s: seconds after a claim was received in which its vendor may withdraw it.
        object_s: seconds after the launch in which referees may still refuse a claim.
    """

    sealed: bool = True
    withdraw_s: float = 7 * DAY
    object_s: float = 14 * DAY


@dataclass(frozen=True)
class Release:
    """A release as those see it for whom it is open.

    Attributes:
        id: random: neither order nor number of releases can be read from it.
        name: unique among all, visible or not.
        publisher: id of the account that made it.
        launch: seconds since 1970 when it opens for everybody.
        rules: of the race.
        created: seconds since 1970.
    """

    id: str
    name: str
    publisher: str
    launch: float
    rules: Rules
    created: float


class Releases(Connection):
    """The tables ``release``, ``opening`` and ``release_model``."""

    def add_release(
        self, name: str, publisher: Account, launch: float, rules: Rules, models: Sequence[str], now: float
    ) -> Release:
        """Make a release of models that are in the database.

        Args:
            name: its publisher's name for it.
            models: ids.

        Raises:
            InputError: the publisher has one of that name, the launch is past, or a model is missing.
        """
        check_name(name)
        if launch <= now:
            raise InputError("the launch must be in the future; a model that is public needs no release")
        release = Release("r" + secrets.token_hex(12), name, publisher.id, launch, rules, now)
        with self.transaction():
            # Names of others' releases are not to be found out by trying: each publisher has names of its own.
            taken = "SELECT 1 FROM release WHERE name = ? AND publisher = ?"
            if self.value(taken, (name, publisher.id)):
                raise InputError(f"there is a release {name!r} already")
            self.execute(
                "INSERT INTO release (id, name, publisher, launch, rules, created) VALUES (?, ?, ?, ?, ?, ?)",
                (release.id, name, publisher.id, launch, canonical_json(asdict(rules)), now),
            )
            for model in models:
                self._publish(release.id, model)
        return release

    def publish(self, model: str) -> None:
        """Make a model public."""
        with self.transaction():
            self._publish(PUBLIC, model)

    def _publish(self, release: str, model: str) -> None:
        if not self.value("SELECT 1 FROM model WHERE id = ?", (model,)):
            raise InputError(f"no model {model}")
        insert = "INSERT INTO release_model (release, model) VALUES (?, ?) ON CONFLICT (release, model) DO NOTHING"
        self.execute(insert, (release, model))

    def invite(self, release: Release, account: Account, opens: float, target: str = "") -> None:
        """Open a release for an account from a time on; inviting again changes the time.

        Args:
            opens: seconds since 1970.
            target: fingerprint of the only target it may work on; several invitations open several targets.

        Raises:
            InputError: only vendors and referees are invited.
        """
        if account.role not in ("vendor", "referee"):
            raise InputError(f"{account.name} is a {account.role}; vendors and referees are invited")
        with self.transaction():
            self.execute(
                "INSERT INTO opening (release, account, target, opens) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (release, account, target) DO UPDATE SET opens = excluded.opens",
                (release.id, account.id, target, opens),
            )

    def release(self, viewer: Viewer, name: str) -> Release | None:
        """An open release by id or name; None where there is none, or none that the viewer could know of."""
        found = self.releases(viewer, name)
        return found[0] if found else None

    def releases(self, viewer: Viewer, name: str | None = None) -> list[Release]:
        """The releases that are open to the viewer, the next launch first."""
        # Named parameters throughout: the predicate of windows has its own.
        rows = self.named(
            "SELECT r.id, r.name, r.publisher, r.launch, r.rules, r.created FROM release r"
            f" WHERE r.id <> '{PUBLIC}' AND {open_release('r')} AND (:name IS NULL OR :name IN (r.id, r.name))"
            " ORDER BY r.launch, r.id",
            {**viewer.values, "name": name},
        )
        return [Release(**{**row, "rules": Rules(**json.loads(row["rules"]))}) for row in rows]

    def openings(self, release: Release) -> list[dict[str, Any]]:
        """Who is invited when: for the publisher's eyes."""
        return self.rows(
            "SELECT a.name, a.role, o.target, o.opens FROM opening o JOIN account a ON a.id = o.account"
            " WHERE o.release = ? ORDER BY o.opens, a.name, o.target",
            (release.id,),
        )

    def named(self, sql: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        """All rows of a query with named parameters."""
        return self.rows(sql, values)  # type: ignore[arg-type]
