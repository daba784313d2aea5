"""Releases: a model that is not public yet, when it opens for whom, and by which rules it is raced for."""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from targets.digest import canonical_json, digest
from targets.errors import InputError
from targets.units import DAY
from tuning_db.accounts import Account, check_name
from tuning_db.models import Models
from tuning_db.rules import listed_ops, model_id
from tuning_db.windows import PUBLIC, Viewer, open_release, open_releases, public_model, public_workload
from tuning_db.words import Words


@dataclass(frozen=True)
class Rules:
    """By what a release is raced for.

    Attributes:
        sealed: whether rivals see nothing of each other before the launch; else they see ranks and times, but no
            schedules.
        withdraw_s: seconds after a claim was received in which its vendor may withdraw it; None for ever.
        object_s: seconds after the launch (of a later claim: after it was received) in which referees may still refuse
            it; None for ever.
    """

    sealed: bool = True
    withdraw_s: float | None = 7 * DAY
    object_s: float | None = 14 * DAY


@dataclass(frozen=True)
class Release:
    """A release as those see it for whom it is open.

    Attributes:
        id: random: neither order nor number of releases can be read from it.
        name: unique among its publisher's.
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


class Releases(Models, Words):
    """The tables ``release``, ``release_model``, ``public_workload`` and ``opening``."""

    def add_release(
        self,
        name: str,
        publisher: Account,
        launch: float,
        rules: Rules,
        models: Sequence[Mapping[str, Any]],
        now: float,
        workloads: Sequence[Mapping[str, Any]] = (),
    ) -> Release:
        """Make a release of models, and keep those that are new.

        What was public stays so: such a model is refused, and a workload of no model that has a trial is marked. So add
        neither models nor workloads before, or the latter in the same transaction.

        Args:
            name: its publisher's name for it.
            models: each ``name``, ``source``, ``step`` and ``ops``, as ``add_model`` takes them.
            workloads: what its publisher says of their workloads, as ``describe`` takes it; new ones are added.

        Raises:
            InputError: who makes it is no publisher or has one of that name, the launch is not in the future, a
                deadline is no time, there is no model, one is public already, or no operator names a workload: it
                would be one of no model, and so everybody's at once.
        """
        if check_name(name) == PUBLIC:
            raise InputError(f"a release cannot be called {PUBLIC!r}")
        if publisher.role != "publisher":
            raise InputError(f"{publisher.name} is a {publisher.role}; publishers make releases")
        if not now < launch < math.inf:
            raise InputError("the launch must be in the future; a model that is public needs no release")
        if any(not 0 <= after < math.inf for after in (rules.withdraw_s, rules.object_s) if after is not None):
            raise InputError("a deadline must be some seconds, or none")
        if not models:
            raise InputError("a release has at least one model")
        named = {op.get("workload") for model in models for op in model["ops"]}
        for at, one in enumerate(workloads, 1):
            if (stray := digest("w", one["canonical"])) not in named:
                raise InputError(f"workload {at} ({stray}) is in none of the models")
        release = Release("r" + secrets.token_hex(12), name, publisher.id, launch, rules, now)
        with self.transaction():
            # Names of others' releases are not to be found out by trying: each publisher has names of its own.
            taken = "SELECT 1 FROM release WHERE name = ? AND publisher = ?"
            if self.value(taken, (name, publisher.id)):
                raise InputError(f"there is a release {name!r} already")
            self.execute(
                "INSERT INTO release (id, name, publisher, launch, sealed, withdraw_s, object_s, created)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (release.id, name, publisher.id, launch, rules.sealed, rules.withdraw_s, rules.object_s, now),
            )
            for one in workloads:
                values = (
                    one["operator"],
                    one["label"],
                    canonical_json(dict(one["params"])),
                    one["flops"],
                    one["bytes"],
                )
                self.execute(
                    "INSERT INTO workload (id, canonical, operator, label, params, flops, bytes)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
                    (digest("w", one["canonical"]), one["canonical"], *values),
                )
            self.describe(release.id, workloads)
            for model in models:
                self._include(release.id, self._kept(model, now))
        return release

    def publish(self, model: str) -> None:
        """Make a model public that is in the database.

        Raises:
            InputError: it is not.
        """
        with self.transaction():
            if not self.value("SELECT 1 FROM model WHERE id = ?", (model,)):
                raise InputError(f"no model {model}")
            self._include(PUBLIC, model)

    def _kept(self, model: Mapping[str, Any], now: float) -> str:
        """Add a model, or leave one of another release as it is: nobody can see that it was added again."""
        parts = {name: model[name] for name in ("name", "source", "step")}
        id = model_id({**parts, "step": dict(model["step"]), "ops": listed_ops(model["ops"])})
        public = f"SELECT {public_model('id')} FROM model WHERE id = :id"
        known = self.value(public, {"id": id, **Viewer(now).values})
        if known:
            raise InputError(f"model {model['name']!r} is public: it is in the database and in no release to come")
        if known is not None:
            return id
        for workload in {op["workload"] for op in model["ops"] if op.get("workload")}:
            # A workload of other models is as public as they are.
            if not self.value("SELECT 1 FROM model_op WHERE workload = ?", (workload,)):
                self.execute(
                    "INSERT INTO public_workload (workload) SELECT ? WHERE EXISTS"
                    " (SELECT 1 FROM trial WHERE workload = ?) ON CONFLICT (workload) DO NOTHING",
                    (workload, workload),
                )
        return self.add_model(**parts, ops=model["ops"], used=now)

    def _include(self, release: str, model: str) -> None:
        insert = "INSERT INTO release_model (release, model) VALUES (?, ?) ON CONFLICT (release, model) DO NOTHING"
        self.execute(insert, (release, model))

    def invite(self, release: Release, account: Account, opens: float, target: str = "") -> None:
        """Open a release for an account from a time on; inviting again changes the time.

        Args:
            release: the caller has seen to it that its publisher asks for this.
            opens: seconds since 1970.
            target: fingerprint of the only target it may work on; several invitations open several targets.

        Raises:
            InputError: only vendors and referees are invited, at a time, to targets that are here.
        """
        if account.role not in ("vendor", "referee"):
            raise InputError(f"{account.name} is a {account.role}; vendors and referees are invited")
        if not 0 <= opens < math.inf:
            raise InputError("an opening is a time, in seconds since 1970")
        with self.transaction():
            if target and not self.value("SELECT 1 FROM target WHERE fingerprint = ?", (target,)):
                raise InputError(f"no target {target}")
            self.execute(
                "INSERT INTO opening (release, account, target, opens) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (release, account, target) DO UPDATE SET opens = excluded.opens",
                (release.id, account.id, target, opens),
            )

    def release(self, viewer: Viewer, name: str) -> Release | None:
        """An open release by id or name; None where there is none, or none that the viewer could know of.

        Raises:
            InputError: several that are open to the viewer have the name; by its id each can be told.
        """
        found = self._releases(viewer, "AND :name IN (r.id, r.name)", {"name": name})
        by_id = [release for release in found if release.id == name]
        if len(found) > 1 and not by_id:
            # Whoever launches first must not be able to pass for another.
            ids = ", ".join(release.id for release in found)
            raise InputError(f"{len(found)} releases are called {name!r}; give one of the ids {ids}")
        return next(iter(by_id or found), None)

    def releases(self, viewer: Viewer) -> list[Release]:
        """The releases that are open to the viewer, the next launch first."""
        return self._releases(viewer)

    def models_of(self, viewer: Viewer, release: str) -> list[dict[str, Any]]:
        """The models of a release, by its id, with their ``ops``; none where it is not open to the viewer."""
        rows = self.rows(
            "SELECT m.id, m.name, m.source, m.step FROM release r JOIN release_model rm ON rm.release = r.id"
            f" JOIN model m ON m.id = rm.model WHERE r.id = :release AND {open_release('r')} ORDER BY m.name, m.id",
            {**viewer.values, "release": release},
        )
        return [{**row, "step": json.loads(row["step"]), "ops": self.ops_of(row["id"])} for row in rows]

    def workloads_of(self, viewer: Viewer, release: str) -> list[dict[str, Any]]:
        """``id`` and ``canonical`` of the workloads of those models; none where it is not open to the viewer.

        And no more: the rest of a row is by whoever added it first, who may be the publisher of another release.
        """
        return self.rows(
            "SELECT w.id, w.canonical FROM workload w WHERE w.id IN (SELECT p.workload FROM release r"
            " JOIN release_model rm ON rm.release = r.id JOIN model_op p ON p.model = rm.model"
            f" WHERE r.id = :release AND {open_release('r')}) ORDER BY w.id",
            {**viewer.values, "release": release},
        )

    def workload_for(self, viewer: Viewer, id: str) -> tuple[dict[str, Any], list[str]] | None:
        """A workload that the viewer may know of, by its id.

        Returns:
            ``id`` and ``canonical``, as of ``workloads_of``, and the releases through which alone the viewer knows it,
            none where everybody does; None where there is no such workload, or none that they could know of.
        """
        values = {**viewer.values, "workload": id}
        public = self.value(f"SELECT {public_workload('w.id')} FROM workload w WHERE w.id = :workload", values)
        releases = self.rows(
            "SELECT DISTINCT r.id FROM release r JOIN release_model rm ON rm.release = r.id JOIN model_op p"
            f" ON p.model = rm.model WHERE p.workload = :workload AND {open_release('r')} ORDER BY r.id",
            values,
        )
        if not public and not releases:
            return None
        row = self.rows("SELECT id, canonical FROM workload WHERE id = ?", (id,))[0]
        return row, [] if public else [release["id"] for release in releases]

    def openings(self, viewer: Viewer, release: str) -> list[dict[str, Any]]:
        """Who is invited when to a release, by its id; nothing for viewers who are not its publisher."""
        return self.rows(
            "SELECT a.name, a.role, o.target, o.opens FROM opening o JOIN account a ON a.id = o.account"
            " JOIN release r ON r.id = o.release WHERE r.id = :release AND r.publisher = :account"
            " ORDER BY o.opens, a.name, o.target",
            {"release": release, "account": viewer.account},
        )

    def _releases(self, viewer: Viewer, where: str = "", values: Mapping[str, Any] | None = None) -> list[Release]:
        rows = self.rows(
            "SELECT r.id, r.name, r.publisher, r.launch, r.sealed, r.withdraw_s, r.object_s, r.created FROM release r"
            f" WHERE r.id IN {open_releases()} AND r.id <> '{PUBLIC}' {where} ORDER BY r.launch, r.id",
            {**viewer.values, **(values or {})},
        )
        return [
            Release(
                **{name: row[name] for name in ("id", "name", "publisher", "launch", "created")},
                rules=Rules(bool(row["sealed"]), row["withdraw_s"], row["object_s"]),
            )
            for row in rows
        ]
