"""Claims of a race: trials that vendors submitted, how far each is trusted, and who leads.

A claim is never changed or removed. What referees and vendors say of it later are verdicts, which are only added; tier
and state of a claim are what its verdicts come to, and leaders follow in the same transaction.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from targets.digest import canonical_json
from targets.errors import InputError
from tuning_db.accounts import Account
from tuning_db.connection import Connection
from tuning_db.records import Key, Trial, new_id
from tuning_db.trials import COLUMNS, from_row, to_row
from tuning_db.windows import Viewer, open_target, visible_claim

FIELDS = ", ".join(f"t.{column}" for column in COLUMNS)
OF_KEY = "workload = :workload AND {0}.target = :target AND {0}.toolchain = :toolchain AND {0}.policy = :policy"


class Tier(str, Enum):
    """How far a claim is trusted."""

    CLAIMED = "claimed"
    REPLAYED = "replayed"
    REPRODUCED = "reproduced"

    @property
    def rank(self) -> int:
        """Higher is trusted more."""
        return list(Tier).index(self)


class Outcome(str, Enum):
    """What a verdict says: one of the tiers above a claim, that the claim is refused, or that it is taken back."""

    REPLAYED = "replayed"
    REPRODUCED = "reproduced"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True)
class Claim:
    """A submitted trial.

    Attributes:
        trial: what was measured, by its vendor's word.
        release, vendor: ids.
        batch: id of the submission that it came in.
        received: seconds since 1970.
        tier: how far it is trusted.
        state: ``standing``, ``refused`` or ``withdrawn``; only standing ones lead.
        reason: why it does not stand.
    """

    trial: Trial
    release: str
    vendor: str
    batch: str
    received: float
    tier: Tier = Tier.CLAIMED
    state: str = "standing"
    reason: str = ""


@dataclass(frozen=True)
class Verdict:
    """What somebody says of a claim.

    Attributes:
        trial: id of the claim's trial.
        judge: id of a referee's account, or of the vendor's who withdraws it.
        outcome: what it says.
        reason: a sentence that the vendor can read, where the outcome is bad.
        evidence: figures: what was timed against what.
        created: seconds since 1970.
    """

    trial: str
    judge: str
    outcome: Outcome
    reason: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    created: float = 0.0
    id: str = field(default_factory=lambda: new_id("d"))


def beats(challenger: Trial, champion: Trial) -> bool:
    """Whether a trial is faster than another by more than the noise of both.

    Times of different machines cannot be compared in turn, so half of each interquartile range stands for the noise.
    """
    noise = ((challenger.spread or 0.0) + (champion.spread or 0.0)) / 2
    return (challenger.median or float("inf")) + noise < (champion.median or float("inf"))


def leader(claims: Sequence[Claim]) -> Claim | None:
    """Who leads among claims for one key, in the order in which they were received.

    A leader falls only to a claim of a higher tier, or to one of its own that wins by more than the noise.
    """
    found: Claim | None = None
    for claim in claims:
        if claim.state != "standing":
            continue
        ahead = found is None or claim.tier.rank > found.tier.rank
        if found is None or ahead or (claim.tier is found.tier and beats(claim.trial, found.trial)):
            found = claim
    return found


def judged(verdicts: Sequence[Verdict]) -> tuple[Tier, str, str]:
    """Tier, state and reason that verdicts, oldest first, come to.

    Each judge's last word counts. Withdrawn stays withdrawn. Where one referee refuses what another reproduced, the
    claim does not stand: a leader that might be wrong is worse than a slower one.
    """
    last = {verdict.judge: verdict for verdict in verdicts}.values()
    for bad in (Outcome.WITHDRAWN, Outcome.REFUSED):
        if reasons := [verdict.reason for verdict in last if verdict.outcome is bad]:
            return Tier.CLAIMED, bad.value, reasons[-1]
    tiers = [Tier(verdict.outcome.value) for verdict in last]
    return max(tiers, key=lambda tier: tier.rank, default=Tier.CLAIMED), "standing", ""


class Claims(Connection):
    """The tables ``claim``, ``verdict`` and ``lead``."""

    def add_claim(self, claim: Claim) -> None:
        """Keep a claim with its trial, and see who leads, in one transaction.

        What its trial names (workload, target, toolchain, policy, schedule) must have been added before.

        Raises:
            ValueError: the trial names what is not there, or is there already.
        """
        key, marks = claim.trial.key, ", ".join("?" * len(COLUMNS))
        try:
            with self.transaction():
                self.execute(f"INSERT INTO trial ({', '.join(COLUMNS)}) VALUES ({marks})", to_row(claim.trial))
                self.execute(
                    "INSERT INTO claim (trial, release, vendor, batch, workload, target, toolchain, policy, received,"
                    " tier, state, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        *(claim.trial.id, claim.release, claim.vendor, claim.batch),
                        *(key.workload, key.target, key.toolchain, key.policy, claim.received),
                        *(claim.tier.value, claim.state, claim.reason),
                    ),
                )
                self._lead(claim.release, key, claim.vendor)
        except sqlite3.IntegrityError as error:
            raise ValueError(f"trial {claim.trial.id}: {error}") from error

    def add_verdict(self, verdict: Verdict) -> Claim:
        """Keep a verdict and draw its consequences, in one transaction.

        Returns:
            The claim as it is then.

        Raises:
            InputError: no such claim.
        """
        with self.transaction():
            claim = self._claim(verdict.trial)
            self.execute(
                "INSERT INTO verdict (id, trial, judge, outcome, reason, evidence, created)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    *(verdict.id, verdict.trial, verdict.judge, verdict.outcome.value, verdict.reason),
                    *(canonical_json(dict(verdict.evidence)), verdict.created),
                ),
            )
            tier, state, reason = judged(self.verdicts(verdict.trial))
            self.execute(
                "UPDATE claim SET tier = ?, state = ?, reason = ? WHERE trial = ?",
                (tier.value, state, reason, verdict.trial),
            )
            self._lead(claim.release, claim.trial.key, claim.vendor)
        return self._claim(verdict.trial)

    def verdicts(self, trial: str) -> list[Verdict]:
        """What was said of a claim, oldest first."""
        rows = self.rows("SELECT * FROM verdict WHERE trial = ? ORDER BY created, id", (trial,))
        return [
            Verdict(**{**row, "outcome": Outcome(row["outcome"]), "evidence": json.loads(row["evidence"])})
            for row in rows
        ]

    def claim(self, viewer: Viewer, trial: str) -> Claim | None:
        """A claim that the viewer may see; None where there is none, or none that they could know of."""
        found = self._claims(f"e.trial = :trial AND {visible_claim('e', 'r')}", {**viewer.values, "trial": trial})
        return found[0] if found else None

    def best(self, viewer: Viewer, key: Key) -> Claim | None:
        """The claim to use for a key, of all that the viewer may see; one indexed read of leaders."""
        leads = self._claims(
            f"l.workload = :workload AND l.target = :target AND l.toolchain = :toolchain AND l.policy = :policy"
            f" AND {open_target('r', 'l.target')} AND {visible_claim('e', 'r')}",
            {**viewer.values, **vars(key)},
            "lead l JOIN claim e ON e.trial = l.trial",
        )
        return leader(leads)

    def pending(self, viewer: Viewer, target: str, limit: int) -> list[Claim]:
        """What a referee with a chip has not judged yet, oldest first, of releases that are open to it."""
        return self._claims(
            f"e.target = :target AND e.state = 'standing' AND {visible_claim('e', 'r')} AND NOT EXISTS"
            " (SELECT 1 FROM verdict v WHERE v.trial = e.trial AND v.judge = :account)"
            " ORDER BY e.received, e.trial LIMIT :limit",
            {**viewer.values, "target": target, "limit": limit},
        )

    def _claim(self, trial: str) -> Claim:
        found = self._claims("e.trial = :trial", {"trial": trial})
        if not found:
            raise InputError(f"no claim {trial}")
        return found[0]

    def _claims(self, where: str, values: Mapping[str, Any], source: str = "claim e") -> list[Claim]:
        rows = self.rows(
            f"SELECT {FIELDS}, e.release AS e_release, e.vendor AS e_vendor, e.batch AS e_batch,"
            " e.received AS e_received, e.tier AS e_tier, e.state AS e_state, e.reason AS e_reason"
            f" FROM {source} JOIN release r ON r.id = e.release JOIN trial t ON t.id = e.trial WHERE {where}",
            values,  # type: ignore[arg-type]
        )
        return [_of_row(row) for row in rows]

    def _lead(self, release: str, key: Key, vendor: str) -> None:
        """Work out anew who leads for a key: the vendor's own best, and the best of all."""
        of_key = {"release": release, **vars(key)}
        where = "e.release = :release AND e." + OF_KEY.format("e")
        all_ = self._claims(f"{where} AND e.state = 'standing' ORDER BY e.received, e.trial", of_key)
        for whose, claims in ((vendor, [e for e in all_ if e.vendor == vendor]), ("", all_)):
            first = leader(claims)
            values = (release, key.workload, key.target, key.toolchain, key.policy, whose)
            if first is None:
                self.execute(
                    "DELETE FROM lead WHERE release = ? AND workload = ? AND target = ? AND toolchain = ?"
                    " AND policy = ? AND vendor = ?",
                    values,
                )
                continue
            self.execute(
                "INSERT INTO lead (release, workload, target, toolchain, policy, vendor, trial)"
                " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (workload, target, toolchain, policy, release, vendor)"
                " DO UPDATE SET trial = excluded.trial",
                (*values, first.trial.id),
            )


def withdraw(claim: Claim, account: Account, reason: str, now: float) -> Verdict:
    """The verdict with which a vendor takes a claim back."""
    return Verdict(claim.trial.id, account.id, Outcome.WITHDRAWN, reason, {}, now)


def _of_row(row: Mapping[str, Any]) -> Claim:
    own = {name[2:]: value for name, value in row.items() if name.startswith("e_")}
    trial = from_row({name: value for name, value in row.items() if not name.startswith("e_")})
    return Claim(
        trial,
        own["release"],
        own["vendor"],
        own["batch"],
        own["received"],
        Tier(own["tier"]),
        own["state"],
        own["reason"],
    )
