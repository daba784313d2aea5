"""A small race: a lab, two vendors that it invites at different times and one that it does not, and two referees."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from targets.digest import digest
from tests.tuning_db.example import fill, schedule, trial
from tuning_db.accounts import Account
from tuning_db.claim import Claim, Outcome, Verdict
from tuning_db.records import Key
from tuning_db.releases import DAY, Release, Rules
from tuning_db.store import Store
from tuning_db.windows import Viewer

START = 1e9
EARLY = START + 10 * DAY
LATE = START + 20 * DAY
LAUNCH = START + 30 * DAY


def hidden_model(store: Store, key: Key, workloads: int = 2) -> tuple[dict[str, Any], list[Key]]:
    """A model of workloads that are new, which are added, and of the one of ``key``; and keys for the new ones."""
    keys = []
    for n in range(workloads):
        canonical = f"secret computation {n}"
        id = digest("w", canonical)
        store.add_workload(id, "linear", f"secret {n}", {"n": n}, canonical, 2048, 64)
        keys.append(replace(key, workload=id))
    ops = [
        {"name": f"layer.{n}", "operator": "linear", "params": {"n": n}, "calls": 1, "workload": one.workload}
        for n, one in enumerate([*keys, key])
    ]
    return {"name": "secret", "source": "lab", "step": {"phase": "decode"}, "ops": ops}, keys


@dataclass(frozen=True)
class Race:
    """The people, the release, and keys: two that only the release has, and one that is public too."""

    store: Store
    lab: Account
    early: Account
    late: Account
    uninvited: Account
    referee: Account
    second: Account
    release: Release
    keys: list[Key]
    shared: Key

    @property
    def key(self) -> Key:
        """A key that only the release has."""
        return self.keys[0]

    def submit(
        self,
        vendor: Account,
        seconds: float | None = 1e-3,
        at: float = LATE,
        key: Key | None = None,
        knob: int = 0,
        release: str | None = None,
        noise: float | None = None,
    ) -> str:
        """Add a claim and return its trial's id; ``noise`` replaces the spread."""
        made = trial(key or self.key, knob, seconds, author=vendor.name)
        made = made if noise is None else replace(made, spread=noise)
        plan = schedule(knob)
        with self.store.transaction():
            self.store.add_schedule(plan.id, plan.space, plan.version, plan.config)
            self.store.add_claim(Claim(made, release or self.release.id, vendor.id, "b0", at))
        return made.id

    def say(self, judge: Account, trial: str, outcome: Outcome, at: float = LATE + 1, reason: str = "") -> Claim:
        """Add a verdict."""
        why = reason or ("it is wrong" if outcome is Outcome.REFUSED else "")
        return self.store.add_verdict(Verdict(trial, judge.id, outcome, at, why))

    def leads(self, key: Key | None = None) -> dict[str, str]:
        """Who leads in the release for a key, as the table has it."""
        of = key or self.key
        rows = self.store.rows(
            "SELECT vendor, trial FROM lead WHERE release = ? AND workload = ? AND target = ?",
            (self.release.id, of.workload, of.target),
        )
        return {row["vendor"]: row["trial"] for row in rows}


def hold(store: Store, rules: Rules | None = None) -> Race:
    """Begin a race in a database that may hold other things."""
    shared = fill(store)[0]
    people = {
        name: store.add_account(name, role, START)
        for name, role in (
            ("lab", "publisher"),
            ("early", "vendor"),
            ("late", "vendor"),
            ("uninvited", "vendor"),
            ("referee", "referee"),
            ("second", "referee"),
        )
    }
    store.add_model(
        "open",
        "lab",
        {"phase": "decode"},
        [{"name": "q", "operator": "linear", "params": {}, "calls": 1, "workload": shared.workload}],
        used=START,
    )
    with store.transaction():
        model, keys = hidden_model(store, shared)
        release = store.add_release("v5", people["lab"], LAUNCH, rules or Rules(), [model], START)
    store.invite(release, people["early"], EARLY)
    store.invite(release, people["late"], LATE)
    store.invite(release, people["referee"], EARLY)
    store.invite(release, people["second"], EARLY)
    return Race(store=store, release=release, keys=keys, shared=shared, **people)


def populate(store: Store) -> Race:
    """A race with claims and verdicts of every kind."""
    race = hold(store)
    account = race.early
    store.issue_token(account, START, DAY)
    store.add_key(account, "key", "public", START)
    slow = race.submit(race.early, 2e-3, EARLY, noise=0.0)
    fast = race.submit(race.late, 1e-3, LATE, knob=1)
    wrong = race.submit(race.late, 1e-4, LATE, knob=2)
    race.submit(race.late, 1e-3, LATE, race.shared)
    race.submit(race.late, 1e-3, LATE, race.shared, release="public")
    race.say(race.referee, slow, Outcome.REPRODUCED)
    race.say(race.second, slow, Outcome.UNJUDGED)
    race.say(race.referee, wrong, Outcome.REFUSED)
    race.say(race.late, fast, Outcome.WITHDRAWN, reason="a mistake")
    return race


def viewers(race: Race, now: float) -> dict[str, Viewer]:
    """Everybody at a moment, and somebody without an account."""
    names = ("lab", "early", "late", "uninvited", "referee", "second")
    return {"anybody": Viewer(now), **{name: Viewer(now, getattr(race, name).id) for name in names}}
