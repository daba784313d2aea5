"""The claims that a database keeps, what is said of them, and who leads.

A claim is never changed or removed. What referees and vendors say of it later are verdicts, which are only added; tier
and state of a claim are what its verdicts come to, and leaders follow in the same transaction.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from targets.digest import canonical_json
from targets.errors import InputError
from tuning_db.claim import Claim, Outcome, Tier, Verdict, disputed, judged, leader
from tuning_db.leads import DISPUTED, Leads
from tuning_db.records import Key
from tuning_db.trials import COLUMNS, from_row, insert
from tuning_db.windows import (
    PUBLIC,
    Viewer,
    open_releases,
    open_target,
    public_workload,
    sees_all,
    sees_others,
    visible_claim,
    visible_time,
)

# Where the evidence of a verdict has the ``claim`` that it was timed against, with that one's figures.
INCUMBENT = "incumbent"
OWN = ("release", "vendor", "batch", "received", "tier", "state", "reason")
FIELDS = ", ".join([*(f"t.{column}" for column in COLUMNS), *(f"c.{column} AS c_{column}" for column in OWN)])
SAME_KEY = " AND ".join(f"{{0}}.{name} = :{name}" for name in Key.__dataclass_fields__)


class Claims(Leads):
    """The tables ``claim`` and ``verdict``, and what follows from them in those of ``Leads``.

    The order of arrival is that of the trials' rows.
    """

    def takes(self, viewer: Viewer, release: str, key: Key) -> bool:
        """Whether a release takes claims for a key from the viewer: its window is open, and it has the workload.

        The public takes them for workloads that everybody may know of, whatever else the viewer knows.
        """
        found = self.value(
            f"SELECT 1 FROM release r WHERE r.id = :release AND {open_target('r', ':target')} AND CASE"
            f" WHEN r.id = '{PUBLIC}' THEN {public_workload(':workload')} ELSE EXISTS (SELECT 1 FROM release_model m"
            " JOIN model_op p ON p.model = m.model WHERE m.release = r.id AND p.workload = :workload) END",
            {**viewer.values, "release": release, "workload": key.workload, "target": key.target},
        )
        return found is not None

    def add_claim(self, claim: Claim) -> None:
        """Keep a claim with its trial, and see who leads, in one transaction.

        What its trial names (workload, target, toolchain, policy, schedule) must have been added before.

        Raises:
            InputError: who claims it is no vendor, or the release does not take it from them: whether there is such a
                release is not said.
            ValueError: the trial contradicts itself, names what is not there or is there already; or the claim is said
                to be judged already.
        """
        if (claim.tier, claim.state, claim.reason) != judged([]):
            raise ValueError(f"trial {claim.trial.id}: a claim begins unjudged")
        key = claim.trial.key
        with self.transaction():
            if self.value("SELECT role FROM account WHERE id = ?", (claim.vendor,)) != "vendor":
                raise InputError(f"account {claim.vendor} is not a vendor; vendors make claims")
            if not self.takes(Viewer(claim.received, claim.vendor), claim.release, key):
                raise InputError(f"no release {claim.release} takes workload {key.workload} on target {key.target}")
            insert(self, claim.trial)
            self.execute(
                "INSERT INTO claim (trial, release, vendor, batch, workload, target, toolchain, policy, received,"
                " tier, state, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(claim.trial.id, claim.release, claim.vendor, claim.batch),
                    *(key.workload, key.target, key.toolchain, key.policy),
                    *(claim.received, claim.tier.value, claim.state, claim.reason),
                ),
            )
            self.arrives(claim)

    def add_verdict(self, verdict: Verdict) -> Claim:
        """Keep a verdict and draw its consequences, in one transaction; its ``created`` is the moment that counts.

        Returns:
            The claim as it is then.

        Raises:
            InputError: there is no such claim, or none that the judge may see; the judge is not its vendor (to withdraw
                it) or a referee (for anything else); it is too late by the rules; or a refusal has no reason.
        """
        with self.transaction():
            claim = self._may_judge(verdict)
            self._say(verdict, claim.release)
            self._settle(claim.release, claim.trial.key, verdict)
            return self._claims("c.trial = :trial", {"trial": verdict.trial})[0]

    def disown(self, vendor: str, trials: Sequence[str], now: float, reason: str) -> list[str]:
        """Withdraw claims of a vendor, by its id, whatever the deadlines, in one transaction.

        Returns:
            Those that were not withdrawn already.
        """
        gone: list[str] = []
        keys: dict[tuple[str, Key], Verdict] = {}
        with self.transaction():
            for trial in trials:
                (claim,) = self._claims("c.trial = :trial AND c.vendor = :vendor", {"trial": trial, "vendor": vendor})
                if claim.state == Outcome.WITHDRAWN.value:
                    continue
                verdict = keys[claim.release, claim.trial.key] = Verdict(trial, vendor, Outcome.WITHDRAWN, now, reason)
                self._say(verdict, claim.release)
                gone.append(trial)
            for (release, key), verdict in keys.items():
                self._settle(release, key, verdict)
        return gone

    def claim(self, viewer: Viewer, trial: str) -> Claim | None:
        """A claim that the viewer may see; None where there is none, or none that they could know of."""
        found = self._claims(f"c.trial = :trial AND {visible_claim('c', 'r')}", {**viewer.values, "trial": trial})
        return found[0] if found else None

    def verdicts(self, viewer: Viewer, trial: str) -> list[Verdict]:
        """What was said of a claim, in the order of arrival; nothing where the viewer may not see the claim.

        What it was timed against is left out where that is a claim that the viewer may not see: nor is it told whether
        there was one.
        """
        said = self.all_verdicts(trial) if self.claim(viewer, trial) else []
        return [replace(verdict, evidence=self._open_evidence(viewer, verdict)) for verdict in said]

    def best(self, viewer: Viewer, key: Key) -> Claim | None:
        """The claim to use for a key, of all that the viewer may see.

        Of a release, that is who leads of all vendors, where the viewer may see all; else the viewer's own, from which
        nothing can be told of the others. Between releases the same rule decides.
        """
        return leader(self._leading(viewer, SAME_KEY.format("l"), vars(key)))

    def bests(self, viewer: Viewer, workload: str, target: str) -> list[Claim]:
        """``best`` for a workload on a chip, for each toolchain and policy that the viewer may see a claim of."""
        values = {"workload": workload, "target": target}
        claims: dict[Key, list[Claim]] = {}
        for claim in self._leading(viewer, "l.workload = :workload AND l.target = :target", values):
            claims.setdefault(claim.trial.key, []).append(claim)
        found = (leader(claims[key]) for key in sorted(claims, key=lambda key: (key.toolchain, key.policy)))
        return [claim for claim in found if claim]

    def visible(
        self,
        viewer: Viewer,
        release: str | None = None,
        vendor: str | None = None,
        after: str | None = None,
        most: int = 100,
    ) -> list[Claim]:
        """Claims that the viewer may see, the latest first.

        Args:
            viewer: who looks.
            release: only of this one, by its id.
            vendor: only of this one, by name; of nobody where there is none.
            after: those that come after this claim, by its trial, in this order; the viewer may see it.
            most: how many.
        """
        moment = self._arrival(after) if after is not None else {"received": math.inf, "seq": 0}
        values = {**viewer.values, "name": vendor, "most": most, **moment}
        found = []
        # Release by release, and only one's own where no others may be seen: what is hidden takes no time.
        for one in self._releases_of_claims(viewer, release):
            whose = ["c.vendor = (SELECT id FROM account WHERE name = :name)"] if vendor is not None else []
            whose += [] if one["others"] else ["c.vendor = :account"]
            found += self.rows(
                "SELECT c.trial, c.received, t.seq FROM claim c JOIN release r ON r.id = c.release"
                " JOIN trial t ON t.id = c.trial WHERE c.release = :release AND c.received <= :received"
                " AND (c.received < :received OR t.seq < :seq)"
                f" AND {' AND '.join([visible_claim('c', 'r'), *whose])}"
                " ORDER BY c.received DESC, t.seq DESC LIMIT :most",
                {**values, "release": one["id"]},
            )
        found.sort(key=lambda row: (row["received"], row["seq"]), reverse=True)
        ids = {f"id{at}": row["trial"] for at, row in enumerate(found[:most])}
        named = ", ".join(f":{name}" for name in ids)
        return self._claims(f"c.trial IN ({named}) ORDER BY c.received DESC, t.seq DESC", ids) if ids else []

    def standings(self, viewer: Viewer, release: str) -> list[dict[str, Any]]:
        """Ranks and times in a release, by its id: each vendor's leading claim for each key, best first.

        Returns:
            Rows of ``workload``, ``target``, ``toolchain``, ``policy``, ``vendor`` (id), ``tier``, ``median`` and
            ``spread`` (seconds), of those that the viewer may know of, and nothing else about them.
        """
        tiers = " ".join(f"WHEN '{tier.value}' THEN {tier.rank}" for tier in Tier)
        return self.rows(
            "SELECT l.workload, l.target, l.toolchain, l.policy, l.vendor, c.tier, t.median, t.spread FROM lead l"
            " JOIN claim c ON c.trial = l.trial JOIN release r ON r.id = l.release JOIN trial t ON t.id = l.trial"
            f" WHERE l.release = :release AND l.vendor <> '' AND {visible_time('c', 'r')}"
            f" ORDER BY l.workload, l.target, l.toolchain, l.policy, CASE c.tier {tiers} END DESC, t.median, l.vendor",
            {**viewer.values, "release": release},
        )

    def pending(self, viewer: Viewer, target: str, limit: int, since: float = 0.0) -> list[Claim]:
        """What a referee with a chip has not judged yet, oldest first, of releases that are open to it.

        With ``since``, seconds since 1970, what it judged before then is to be judged again, refused claims included.
        """
        # With one state the index has the order, and what comes after the limit is not read.
        states = "IN ('standing', 'refused')" if since > 0 else "= 'standing'"
        return self._claims(
            f"c.target = :target AND c.state {states}"
            f" AND t.status = 'ok' AND {visible_claim('c', 'r')}"
            " AND EXISTS (SELECT 1 FROM account a WHERE a.id = :account AND a.role = 'referee')"
            " AND NOT EXISTS (SELECT 1 FROM verdict v"
            " WHERE v.trial = c.trial AND v.judge = :account AND v.created >= :since)"
            " ORDER BY c.received, t.seq LIMIT :limit",
            {**viewer.values, "target": target, "limit": limit, "since": since},
        )

    def disputed_claims(self, viewer: Viewer, release: str) -> list[dict[str, Any]]:
        """Claims in a release, by its id, that one referee refuses and another upholds, oldest first.

        Returns:
            Rows of ``claim``, ``workload``, ``target``, ``toolchain``, ``policy``, ``vendor`` (id) and ``median``
            (seconds), of those that the viewer may know of, and nothing else about them.
        """
        return self.rows(
            "SELECT c.trial AS claim, c.workload, c.target, c.toolchain, c.policy, c.vendor, t.median"
            f" FROM {DISPUTED} JOIN trial t ON t.id = c.trial"
            f" WHERE d.disputed AND c.state = 'refused' AND {visible_time('c', 'r')} ORDER BY c.received, t.seq",
            {**viewer.values, "release": release, "at": math.inf},
        )

    def claims_for(self, release: str, key: Key) -> list[Claim]:
        """Every claim for a key in a release, in the order of arrival, whoever may see them: never to be shown."""
        where = f"c.release = :release AND {SAME_KEY.format('c')} ORDER BY t.seq"
        return self._claims(where, {"release": release, **vars(key)})

    def all_verdicts(self, trial: str) -> list[Verdict]:
        """Every verdict on a claim, in the order of arrival, whoever may see it: never to be shown."""
        columns = ", ".join(Verdict.__dataclass_fields__)
        rows = self.rows(f"SELECT {columns} FROM verdict WHERE trial = ? ORDER BY seq", (trial,))
        return [
            Verdict(**{**row, "outcome": Outcome(row["outcome"]), "evidence": json.loads(row["evidence"])})
            for row in rows
        ]

    def _open_evidence(self, viewer: Viewer, verdict: Verdict) -> Mapping[str, Any]:
        if INCUMBENT not in verdict.evidence:
            return verdict.evidence
        other = verdict.evidence[INCUMBENT]
        id = other.get("claim") if isinstance(other, dict) else None
        if isinstance(id, str) and self.claim(viewer, id):
            return verdict.evidence
        return {name: value for name, value in verdict.evidence.items() if name != INCUMBENT}

    def _say(self, verdict: Verdict, release: str) -> None:
        """Keep a verdict, and make its claim what it comes to; who leads is for the caller to see to."""
        self.execute(
            "INSERT INTO verdict (id, trial, judge, outcome, created, reason, evidence, after)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, (SELECT max(seq) FROM trial))",
            (
                *(verdict.id, verdict.trial, verdict.judge, verdict.outcome.value, verdict.created),
                *(verdict.reason, canonical_json(dict(verdict.evidence))),
            ),
        )
        said = self.all_verdicts(verdict.trial)
        tier, state, reason = judged(said)
        self.execute(
            "UPDATE claim SET tier = ?, state = ?, reason = ? WHERE trial = ?",
            (tier.value, state, reason, verdict.trial),
        )
        self.set_dispute(release, verdict.trial, disputed(said), verdict.created)

    def _settle(self, release: str, key: Key, verdict: Verdict) -> None:
        """See who leads for a key after a verdict on a claim for it."""
        claims = self.claims_for(release, key)
        vendor = next(claim.vendor for claim in claims if claim.trial.id == verdict.trial)
        self.set_lead(release, key, "", leader(claims), verdict.created, verdict.id)
        own = leader(claim for claim in claims if claim.vendor == vendor)
        self.set_lead(release, key, vendor, own, verdict.created, verdict.id)

    def _releases_of_claims(self, viewer: Viewer, release: str | None) -> list[dict[str, Any]]:
        """Releases that may have claims that the viewer may see, or one of them by its id: its own it may at any time.

        Returns:
            ``id``, and whether it may see those of ``others``.
        """
        invited = "SELECT release FROM opening WHERE account = :account"
        which = f"(r.id IN {open_releases()} OR r.id IN ({invited}))" + (" AND r.id = :release" if release else "")
        return self.rows(
            f"SELECT r.id, {sees_others('r')} AS others FROM release r WHERE {which}",
            {**viewer.values, "release": release},
        )

    def _arrival(self, trial: str) -> dict[str, float]:
        """When a claim arrived: ``received``, then ``seq`` of its trial; before all others where there is none."""
        rows = self.rows(
            "SELECT c.received, t.seq FROM claim c JOIN trial t ON t.id = c.trial WHERE c.trial = ?", (trial,)
        )
        return rows[0] if rows else {"received": -math.inf, "seq": 0}

    def _may_judge(self, verdict: Verdict) -> Claim:
        """The claim that a verdict is about, where its judge may give it."""
        viewer = Viewer(verdict.created, verdict.judge)
        claim = self.claim(viewer, verdict.trial)
        role = self.value("SELECT role FROM account WHERE id = ?", (verdict.judge,))
        if claim is None or role is None:
            raise InputError(f"no claim {verdict.trial}")
        rules = self.rows("SELECT launch, withdraw_s, object_s FROM release WHERE id = ?", (claim.release,))[0]
        if verdict.outcome is Outcome.WITHDRAWN:
            if verdict.judge != claim.vendor:
                raise InputError(f"claim {verdict.trial} is another vendor's; only its own withdraws it")
            if verdict.created > claim.received + _seconds(rules["withdraw_s"]):
                raise InputError(f"claim {verdict.trial} can no longer be withdrawn")
            return claim
        if role != "referee":
            raise InputError("only referees judge claims")
        if verdict.outcome is Outcome.REFUSED:
            if not verdict.reason.strip():
                raise InputError("a refusal says why, in a sentence that the vendor can read")
            if verdict.created > max(rules["launch"], claim.received) + _seconds(rules["object_s"]):
                raise InputError(f"the time to object to claim {verdict.trial} is over")
        return claim

    def _leading(self, viewer: Viewer, where: str, values: Mapping[str, Any]) -> list[Claim]:
        """Those who lead in the releases that are open to the viewer, as far as they may see who does."""
        whose = f"CASE WHEN {sees_all('r', 'l.target')} THEN '' ELSE :account END"
        return self._claims(
            f"{where} AND l.vendor IN ('', :account) AND l.vendor = {whose}"
            f" AND {open_target('r', 'l.target')}"
            f" AND {visible_claim('c', 'r')} ORDER BY t.seq",
            {**viewer.values, **values},
            "lead l JOIN claim c ON c.trial = l.trial",
        )

    def _claims(self, where: str, values: Mapping[str, Any], source: str = "claim c") -> list[Claim]:
        rows = self.rows(
            f"SELECT {FIELDS} FROM {source} JOIN release r ON r.id = c.release JOIN trial t ON t.id = c.trial"
            f" WHERE {where}",
            values,
        )
        return [_of_row(row) for row in rows]


def _seconds(deadline: float | None) -> float:
    return math.inf if deadline is None else deadline


def _of_row(row: Mapping[str, Any]) -> Claim:
    own = {name: row[f"c_{name}"] for name in OWN}
    return Claim(from_row(row), **{**own, "tier": Tier(own["tier"])})
