"""A race worth a board: a model of four operators, a chip of the catalogue and one that only vendors know, two of each
policy and toolchain, three vendors; and the board as a slow, obvious program computes it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from math import fsum
from typing import Any

from targets import Target
from targets.catalogue import target
from targets.digest import digest
from targets.roofline import floor_seconds
from targets.target import Peaks
from tests.tuning_db.example import POLICY, TARGET, TOOLCHAIN, schedule, trial
from tuning_db.accounts import Account
from tuning_db.board import board, readiness, timeline
from tuning_db.claim import Claim, Outcome, Verdict
from tuning_db.records import Key, Policy, Toolchain
from tuning_db.releases import DAY, Release, Rules
from tuning_db.store import Store
from tuning_db.windows import Viewer

START = 1e9
OPENS, LAUNCH = START + DAY, START + 30 * DAY
KNOWN = target("zen4")
OWN = replace(TARGET, name="own", cores=3, peaks=Peaks({"float32": 1e11}, 1e10, 0.0))
CHIPS = (KNOWN, OWN)
TOOLCHAINS = (TOOLCHAIN, Toolchain({"tvm": "0.28.0"}))
POLICIES = (POLICY, Policy("cold", 2))
CALLS = (61, 61, 3, 1)
VENDORS = ("acme", "brick", "crane")
RANKS = {None: -1, "claimed": 0, "replayed": 1, "reproduced": 2}


@dataclass
class Course:
    """The race, and what happened in it in the order of arrival, as plain rows."""

    store: Store
    release: Release
    people: dict[str, Account]
    workloads: list[str]
    now: float = OPENS
    claims: list[dict[str, Any]] = field(default_factory=list)
    said: list[tuple[float, str, str, Outcome]] = field(default_factory=list)

    def viewer(self, name: str, now: float | None = None) -> Viewer:
        """Somebody, at the moment that the race has come to or at another."""
        account = self.people[name].id if name else ""
        return Viewer(self.now if now is None else now, account)

    def key(self, op: int, chip: int = 0, toolchain: int = 0, policy: int = 0) -> Key:
        """A key by numbers."""
        return Key(self.workloads[op], CHIPS[chip].fingerprint, TOOLCHAINS[toolchain].id, POLICIES[policy].id)

    def claim(self, vendor: str, op: int, seconds: float, noise: float = 0.0, **where: int) -> str:
        """A claim of now."""
        account, key = self.people[vendor], self.key(op, **where)
        made = replace(trial(key, len(self.claims), seconds, author=vendor), spread=noise)
        plan = schedule(len(self.claims))
        with self.store.transaction():
            if key.target == OWN.fingerprint:
                self.store.declare(self.release.id, account.id, OWN)
            self.store.add_schedule(plan.id, plan.space, plan.version, plan.config)
            self.store.add_claim(Claim(made, self.release.id, account.id, "b0", self.now))
        row = {"id": made.id, "vendor": vendor, "at": self.now, "s": seconds, "noise": noise, "key": key}
        self.claims.append(row)
        return made.id

    def say(self, judge: str, claim: str, outcome: Outcome) -> None:
        """A verdict of now."""
        self.store.add_verdict(Verdict(claim, self.people[judge].id, outcome, self.now, "it is so"))
        self.said.append((self.now, judge, claim, outcome))

    def everything(self, viewer: Viewer) -> bytes:
        """All that a viewer is shown, as bytes."""
        found = [look(self.store, viewer, self.release.id) for look in (board, readiness, timeline)]
        return json.dumps([asdict(one) for one in found if one]).encode()


def hold(store: Store, sealed: bool = True) -> Course:
    """Begin the race."""
    roles = {**dict.fromkeys(VENDORS, "vendor"), "lab": "publisher", "judge": "referee", "second": "referee"}
    people = {name: store.add_account(name, role, START) for name, role in roles.items()}
    store.add_target(KNOWN.fingerprint, KNOWN.name, KNOWN.vendor, KNOWN.spec())
    for toolchain, policy in zip(TOOLCHAINS, POLICIES, strict=True):
        store.add_toolchain(toolchain)
        store.add_policy(policy)
    described = [
        {
            "canonical": f"step {n}",
            "operator": "linear",
            "label": f"op {n}",
            "params": {"n": n},
            "flops": 10**7 * (n + 1),
            "bytes": 10**6 * (4 - n),
        }
        for n in range(4)
    ]
    workloads = [digest("w", str(one["canonical"])) for one in described]
    ops = [
        {"name": f"layer.{n}", "operator": "linear", "params": {}, "calls": calls, "workload": workloads[n]}
        for n, calls in enumerate(CALLS)
    ]
    # One operator stands twice, one is none of ours.
    ops.append({**ops[3], "name": "layer.again", "calls": 2})
    ops.append({"name": "layer.magic", "operator": "magic", "params": {}, "calls": 7, "workload": None})
    model = {"name": "v5", "source": "lab", "step": {"phase": "decode"}, "ops": ops}
    release = store.add_release("v5", people["lab"], LAUNCH, Rules(sealed), [model], START, described)
    for name in (*VENDORS, "judge", "second"):
        store.invite(release, people[name], OPENS)
    return Course(store, release, people, workloads)


def expected(course: Course, at: float, vendors: tuple[str, ...] = VENDORS) -> dict[tuple[str, str], list[Any]]:
    """Who is ahead at a moment, best first, by chip and policy: worked out anew from every claim and verdict."""
    calls = [61, 61, 3, 3]
    tables = {}
    for chip in CHIPS:
        for policy in POLICIES:
            best = []
            for vendor in vendors:
                options = []
                for toolchain in TOOLCHAINS:
                    keys = [Key(workload, chip.fingerprint, toolchain.id, policy.id) for workload in course.workloads]
                    leads = [lead(course, vendor, key, at) for key in keys]
                    if any(leads):
                        options.append(_row(chip, vendor, toolchain.id, leads, calls))
                if options:
                    best.append(min(options))
            if best:
                tables[chip.fingerprint, policy.id] = sorted(best)
    return tables


def lead(course: Course, vendor: str, key: Key, at: float) -> tuple[float, float, str] | None:
    """Seconds, noise and tier of a vendor's leading claim at a moment."""
    able = []
    for row in course.claims:
        if (row["vendor"], row["key"]) == (vendor, key) and row["at"] <= at:
            last = {judge: outcome for when, judge, claim, outcome in course.said if claim == row["id"] and when <= at}
            words = {outcome.value for outcome in last.values()}
            if not words & {"refused", "withdrawn"}:
                tier = max(({"claimed"} | words) & set(RANKS), key=RANKS.__getitem__)  # type: ignore[arg-type]
                able.append((row["s"], row["noise"], tier))
    top = [one for one in able if RANKS[one[2]] == max(RANKS[other[2]] for other in able)]
    found = None
    for one in top:
        if found is None or one[0] + (one[1] + found[1]) / 2 < found[0]:
            found = one
    return found


def _row(chip: Target, vendor: str, toolchain: str, leads: list[Any], calls: list[int]) -> tuple[Any, ...]:
    there = [(n, one) for n, one in zip(calls, leads, strict=True) if one]
    time = fsum(n * one[0] for n, one in there)
    tier = min((one[2] for _, one in there), key=RANKS.__getitem__)
    if len(there) == len(calls):
        return 0, -RANKS[tier], time, vendor, toolchain
    share = sum(n for n, _ in there) / sum(calls)
    if chip is KNOWN:
        least = [_floor(n) * of for n, of in enumerate(calls)]
        share = fsum(w for w, one in zip(least, leads, strict=True) if one) / fsum(least)
    return 1, -share, -RANKS[tier], time, vendor, toolchain


def _floor(n: int) -> float:
    peaks = KNOWN.peaks
    assert peaks
    # Nothing is known of the arithmetic of these operators; the fastest is right for all.
    fastest = max(peaks.flops, key=lambda name: peaks.flops[name])
    return floor_seconds(KNOWN, 10**7 * (n + 1), 0, 10**6 * (4 - n), fastest)
