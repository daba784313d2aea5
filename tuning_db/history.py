"""How leads came about: claims and verdicts gone through again in the order of their arrival.

The tables ``lead_history`` and ``dispute`` are written when things happen (``leads``). Everything in them follows from
claims and verdicts, so that it can be computed for files that are older than the tables, and checked in others.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import NamedTuple

from tuning_db.claim import Claim, Outcome, Tier, Verdict, disputed, judged, leader
from tuning_db.records import Key, Status, Trial

KEY = ("workload", "target", "toolchain", "policy")
SAME_KEY = " AND ".join(f"c.{name} = ?" for name in ("release", *KEY))


class Turn(NamedTuple):
    """A row of ``lead_history`` without its key: who leads from a moment on; None but for the first three: nobody."""

    vendor: str
    number: int
    since: float
    trial: str | None = None
    holder: str | None = None
    tier: str | None = None
    median: float | None = None
    spread: float | None = None
    verdict: str | None = None

    def claim(self, release: str, key: Key) -> Claim | None:
        """As much of the claim that leads as others are compared with; None where nobody leads."""
        if self.trial is None or self.holder is None:
            return None
        timed = Trial(key, "", Status.OK, (), self.median, self.spread, created=0.0, id=self.trial)
        return Claim(timed, release, self.holder, "", self.since, Tier(self.tier))


class Doubt(NamedTuple):
    """A row of ``dispute`` without its release: whether referees disagree about a claim from a moment on."""

    trial: str
    number: int
    since: float
    disputed: int


def turn(last: Turn | None, vendor: str, claim: Claim | None, at: float, verdict: str | None) -> Turn | None:
    """The row that follows ``last``; None where nothing changes: neither who leads nor the tier.

    A history never goes back in time, whatever the clock did.
    """
    trial, tier = (claim.trial.id, claim.tier.value) if claim else (None, None)
    if (last.trial, last.tier) == (trial, tier) if last else claim is None:
        return None
    number, since = (last.number + 1, max(at, last.since)) if last else (0, at)
    if claim is None:
        return Turn(vendor, number, since, verdict=verdict)
    timed = claim.trial
    return Turn(vendor, number, since, trial, claim.vendor, tier, timed.median, timed.spread, verdict)


def doubt(last: Doubt | None, trial: str, is_disputed: bool, at: float) -> Doubt | None:
    """The row that follows ``last``; None where nothing changes."""
    if is_disputed == bool(last and last.disputed):
        return None
    number, since = (last.number + 1, max(at, last.since)) if last else (0, at)
    return Doubt(trial, number, since, int(is_disputed))


@dataclass
class Replay:
    """The race for one key, gone through again.

    Attributes:
        claims: as they are by now, in the order of arrival.
        turns: by vendor, and by ``""`` for the best of all.
        doubts: by trial.
    """

    claims: dict[str, Claim] = field(default_factory=dict)
    turns: dict[str, list[Turn]] = field(default_factory=lambda: defaultdict(list))
    doubts: dict[str, list[Doubt]] = field(default_factory=lambda: defaultdict(list))
    _said: dict[str, list[Verdict]] = field(default_factory=lambda: defaultdict(list))

    @property
    def leads(self) -> dict[str, Turn]:
        """Who leads in the end."""
        return {vendor: turns[-1] for vendor, turns in self.turns.items() if turns[-1].trial}

    def arrives(self, claim: Claim) -> None:
        """A claim comes in."""
        self.claims[claim.trial.id] = claim
        for whose in ("", claim.vendor):
            led = self.turns[whose][-1].trial if self.turns.get(whose) else None
            self._turn(whose, leader([*([self.claims[led]] if led else []), claim]), claim.received)

    def judges(self, verdict: Verdict) -> None:
        """Somebody says something of a claim.

        Raises:
            ValueError: it has not come in.
        """
        if verdict.trial not in self.claims:
            raise ValueError(f"verdict {verdict.id} is older than its claim")
        before, said = self.claims[verdict.trial], self._said[verdict.trial]
        said.append(verdict)
        tier, state, reason = judged(said)
        claim = self.claims[verdict.trial] = replace(before, tier=tier, state=state, reason=reason)
        doubts = self.doubts.get(verdict.trial, [])
        if one := doubt(doubts[-1] if doubts else None, verdict.trial, disputed(said), verdict.created):
            self.doubts[verdict.trial].append(one)
        if (tier, state) != (before.tier, before.state):
            of_all = self.claims.values()
            self._turn("", leader(of_all), verdict.created, verdict.id)
            own = leader(one for one in of_all if one.vendor == claim.vendor)
            self._turn(claim.vendor, own, verdict.created, verdict.id)

    def _turn(self, vendor: str, claim: Claim | None, at: float, verdict: str | None = None) -> None:
        turns = self.turns.get(vendor, [])
        if one := turn(turns[-1] if turns else None, vendor, claim, at, verdict):
            self.turns[vendor].append(one)


def replay(connection: sqlite3.Connection, release: str, key: Key) -> Replay:
    """Go through the race for a key again.

    Raises:
        ValueError: a claim or a verdict cannot be read.
    """
    values = (release, *vars(key).values())
    claims = connection.execute(
        "SELECT t.seq, t.id, t.status, t.median, t.spread, c.vendor, c.received FROM claim c"
        f" JOIN trial t ON t.id = c.trial WHERE {SAME_KEY} ORDER BY t.seq",
        values,
    ).fetchall()
    verdicts = connection.execute(
        "SELECT v.after, v.id, v.trial, v.judge, v.outcome, v.created, v.reason FROM claim c"
        f" JOIN verdict v ON v.trial = c.trial WHERE {SAME_KEY} ORDER BY v.seq",
        values,
    ).fetchall()
    again = Replay()
    waiting = iter([*((seq, _claim(release, key, rest)) for seq, *rest in claims), (None, None)])
    said = [
        (after, Verdict(trial, judge, Outcome(what), at, why, id=id))
        for after, id, trial, judge, what, at, why in verdicts
    ]
    for seq, claim in waiting:
        while said and (seq is None or said[0][0] < seq):
            again.judges(said.pop(0)[1])
        if claim:
            again.arrives(claim)
    return again


def keys(connection: sqlite3.Connection) -> Iterator[tuple[str, Key]]:
    """Each release with each key that it has claims for."""
    for release, *rest in connection.execute(f"SELECT DISTINCT release, {', '.join(KEY)} FROM claim").fetchall():
        yield release, Key(*rest)


def fill(connection: sqlite3.Connection) -> None:
    """Write the tables of a file that has only claims and verdicts, from nothing.

    Raises:
        ValueError: as ``replay``.
    """
    connection.executemany("UPDATE verdict SET after = ? WHERE seq = ?", _order(connection))
    for release, key in list(keys(connection)):
        again = replay(connection, release, key)
        write(connection, release, key, again.leads.values(), (t for turns in again.turns.values() for t in turns))
        connection.executemany(
            "INSERT INTO dispute (release, trial, number, since, disputed) VALUES (?, ?, ?, ?, ?)",
            [(release, *one) for doubts in again.doubts.values() for one in doubts],
        )


def write(connection: sqlite3.Connection, release: str, key: Key, leads: Iterable[Turn], turns: Iterable[Turn]) -> None:
    """Make each of ``leads`` the lead of its vendor, and add ``turns`` to the history."""
    columns = ["release", *KEY, "vendor"]
    of = (release, *vars(key).values())
    lead = [*columns, "trial", "holder", "tier", "median", "spread"]
    changes = ", ".join(f"{name} = excluded.{name}" for name in lead[6:])
    connection.executemany(
        f"INSERT INTO lead ({', '.join(lead)}) VALUES ({_marks(lead)})"
        f" ON CONFLICT (workload, target, toolchain, policy, release, vendor) DO UPDATE SET {changes}",
        [(*of, one.vendor, one.trial, one.holder, one.tier, one.median, one.spread) for one in leads],
    )
    history = [*columns[:-1], *Turn._fields]
    connection.executemany(
        f"INSERT INTO lead_history ({', '.join(history)}) VALUES ({_marks(history)})", [(*of, *one) for one in turns]
    )


def turns_of(connection: sqlite3.Connection, release: str, key: Key) -> dict[str, list[Turn]]:
    """The history of a key as it is kept, as ``Replay.turns`` has it."""
    found: dict[str, list[Turn]] = defaultdict(list)
    for row in connection.execute(
        f"SELECT {', '.join(Turn._fields)} FROM lead_history c WHERE {SAME_KEY} ORDER BY vendor, number",
        (release, *vars(key).values()),
    ):
        found[row[0]].append(Turn(*row))
    return found


def doubts_of(connection: sqlite3.Connection, release: str, key: Key) -> dict[str, list[Doubt]]:
    """Disputes about each claim for a key as they are kept, as ``Replay.doubts`` has them; an empty list for none."""
    found: dict[str, list[Doubt]] = defaultdict(list)
    for trial, *rest in connection.execute(
        "SELECT c.trial, d.number, d.since, d.disputed FROM claim c LEFT JOIN dispute d"
        f" ON d.release = c.release AND d.trial = c.trial WHERE {SAME_KEY} ORDER BY c.trial, d.number",
        (release, *vars(key).values()),
    ):
        found[trial] += [Doubt(trial, *rest)] if rest[0] is not None else []
    return found


def seen(turns: Mapping[str, Sequence[Turn]]) -> dict[str, list[Turn]]:
    """What can be told of a history by asking for moments: what was so for no time is not in it.

    Which of several verdicts of one moment did it is not told either.
    """
    found: dict[str, list[Turn]] = {}
    for vendor, rows in turns.items():
        kept: list[Turn] = []
        for one, after in zip(rows, [*rows[1:], None], strict=True):
            plain = one._replace(number=0, verdict=None)
            if not (after and after.since == one.since) and (plain[3:] != kept[-1][3:] if kept else one.trial):
                kept.append(plain)
        if kept:
            found[vendor] = kept
    return found


def _marks(columns: Sequence[str]) -> str:
    return ", ".join("?" * len(columns))


def _claim(release: str, key: Key, row: Sequence[object]) -> Claim:
    id, status, median, spread, vendor, received = row
    timed = Trial(key, "", Status(status), (), median, spread, created=0.0, id=id)  # type: ignore[arg-type]
    return Claim(timed, release, vendor, "", received)  # type: ignore[arg-type]


def _order(connection: sqlite3.Connection) -> list[tuple[int, int]]:
    """What the last trial was when a verdict arrived, by the times of both; and the verdict."""
    arrived = connection.execute(
        "SELECT c.received, t.seq FROM claim c JOIN trial t ON t.id = c.trial ORDER BY c.received, t.seq"
    ).fetchall()
    times, latest = [received for received, _ in arrived], list(accumulate((seq for _, seq in arrived), max))
    found, last = [], 0
    for seq, created, own in connection.execute(
        "SELECT v.seq, v.created, t.seq FROM verdict v JOIN trial t ON t.id = v.trial ORDER BY v.seq"
    ).fetchall():
        before = bisect_right(times, created)
        last = max(last, own, latest[before - 1] if before else 0)
        found.append((last, seq))
    return found
