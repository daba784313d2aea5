"""What publishers say of workloads and vendors of chips: kept for each release, so that nobody is told another's words.

A workload is its canonical text and a chip its fingerprint. What else is said of them is the word of whoever says it:
the label, operations and bytes of the one, name and peaks of the other. Rows that all share hold of a chip that is in
no catalogue its fingerprint alone, and of a workload what was said first; where the latter may be of a release to come,
nothing is read from there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from targets import Target
from targets.digest import canonical_json, digest
from tuning_db.connection import Connection
from tuning_db.windows import PUBLIC, Viewer, visible_time

SAID = ("operator", "label", "params", "flops", "bytes")


class Words(Connection):
    """The tables ``release_workload`` and ``declared_target``."""

    def describe(self, release: str, workloads: Iterable[Mapping[str, Any]]) -> None:
        """Keep what a publisher says of the workloads of a release, by its id, that are in the database.

        Args:
            release: id.
            workloads: each ``canonical``, ``operator``, ``label``, ``params``, ``flops`` and ``bytes``.
        """
        with self.transaction():
            for one in workloads:
                self.execute(
                    f"INSERT INTO release_workload (release, workload, {', '.join(SAID)}) VALUES (?, ?, ?, ?, ?, ?, ?)"
                    " ON CONFLICT (release, workload) DO NOTHING",
                    (release, digest("w", one["canonical"]), *_stored(one)),
                )

    def said(self, release: str, workload: str, now: float) -> dict[str, Any] | None:
        """What counts for claims in a release, by its id: what its publisher says of a workload.

        For the public, and for a release that says nothing, it is what the first release says that was launched by
        ``now``, and what the database has of its own where there is none.

        Returns:
            ``operator``, ``label``, ``params``, ``flops`` and ``bytes``; None for a workload that is not there.
        """
        columns = ", ".join(f"s.{name}" for name in SAID)
        rows = self.rows(
            f"SELECT {columns} FROM release_workload s JOIN release r ON r.id = s.release"
            " WHERE s.workload = :workload AND (r.id = :release OR r.launch <= :now)"
            " ORDER BY r.id = :release DESC, r.launch, r.id LIMIT 1",
            {"release": release, "workload": workload, "now": now},
        ) or self.rows(f"SELECT {', '.join(SAID)} FROM workload WHERE id = ?", (workload,))
        return {**rows[0], "params": json.loads(rows[0]["params"])} if rows else None

    def declare(self, release: str, vendor: str, target: Target) -> None:
        """Keep a chip of no catalogue as a vendor first declares it in a release, both by id."""
        fingerprint = target.fingerprint
        bare = replace(target, name=fingerprint, vendor="", model="", memory=0, peaks=None)
        with self.transaction():
            self.execute(
                "INSERT INTO target (fingerprint, name, vendor, spec) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (fingerprint, bare.name, bare.vendor, canonical_json(bare.spec())),
            )
            self.execute(
                "INSERT INTO declared_target (release, vendor, target, spec) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (release, vendor, target) DO NOTHING",
                (release, vendor, fingerprint, canonical_json(target.spec())),
            )

    def declared(self, viewer: Viewer, release: str) -> dict[str, list[Target]]:
        """Chips by fingerprint as vendors declare them in a release, by its id: of each chip everything that is said by
        those of whose claims for it the viewer may know, in the order of their first claims."""
        rows = self.rows(
            # A vendor's first claim for a key leads for it, and there are far fewer leads than claims.
            "SELECT d.target, d.spec FROM declared_target d JOIN release r ON r.id = d.release LEFT JOIN"
            " (SELECT target, vendor, min(since) AS first FROM lead_history WHERE release = :release AND number = 0"
            " GROUP BY target, vendor) h ON h.target = d.target AND h.vendor = d.vendor"
            f" WHERE d.release = :release AND {visible_time('d', 'r')}"
            " ORDER BY d.target, h.first IS NULL, h.first, d.vendor",
            {**viewer.values, "release": release},
        )
        found: dict[str, list[Target]] = {}
        for row in rows:
            found.setdefault(row["target"], []).append(Target.from_spec(json.loads(row["spec"])))
        return found

    def knows_target(self, target: str, now: float) -> bool:
        """Whether everybody may know that there is a chip: by what is launched, or from the database's own work."""
        return bool(
            self.value(
                "SELECT EXISTS (SELECT 1 FROM target WHERE fingerprint = :target AND name <> :target)"
                " OR EXISTS (SELECT 1 FROM declared_target d JOIN release r ON r.id = d.release"
                " WHERE d.target = :target AND r.launch <= :now)",
                {"target": target, "now": now},
            )
        )


def public_words(db: Connection, now: float) -> dict[str, dict[str, Any]]:
    """What the first launched release says of each workload that one says anything of, as rows have it."""
    rows = db.rows(
        f"SELECT s.workload, {', '.join(f's.{name}' for name in SAID)} FROM release_workload s"
        f" JOIN release r ON r.id = s.release WHERE r.launch <= ? AND r.id <> '{PUBLIC}'"
        " ORDER BY r.launch DESC, r.id DESC",
        (now,),
    )
    return {row.pop("workload"): row for row in rows}


def _stored(words: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(canonical_json(dict(words[name])) if name == "params" else words[name] for name in SAID)
