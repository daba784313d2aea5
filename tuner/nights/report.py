"""The morning report: what jobs did from a moment on. All of it is read from the database; no model is loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from tuner.failures import failures
from tuner.nights.look import look_at
from tuner.nights.night import Gain, Night, Spent, StepGain
from tuner.reigns import Reign, gain, reigns
from tuning_db.records import Key, Status, Trial
from tuning_db.store import Store

# Reasons that are shown of a way to fail.
REASONS = 3


def night_of(store: Store, since: float, until: float, jobs: Sequence[str] = ()) -> Night:
    """What happened from a moment to another.

    Args:
        store: the database.
        since, until: seconds since 1970.
        jobs: ids; all that were run in that time unless said.
    """
    worked = [
        Worked(store, row, since, until)
        for row in store.jobs()
        if (not jobs or row["id"] in jobs) and row["started"] is not None and row["started"] <= until
        and row["heartbeat"] >= since
    ]  # fmt: skip
    keys = dict.fromkeys(key for job in worked for key in job.keys)
    ids = {job.row["id"] for job in worked}
    changed = [Changed(store, key, ids, since, until) for key in keys]
    gains = {one.key: one.gain([job.plan for job in worked]) for one in changed}
    made = [trial for one in changed for trial in one.made]
    crowned = Counter(trial.job for one in changed for trial in one.crowned)
    steps = {str(step): step for job in worked for step in job.steps(gains)}
    night = Night(
        since,
        until,
        str(store.path),
        steps=sorted(steps.values(), key=lambda step: step.after_s - step.before_s),
        gains=sorted(gains.values(), key=lambda one: -one.saved_s),
        spent=[job.spent([t for t in made if t.job == job.row["id"]], crowned[job.row["id"]]) for job in worked],
        failed=failures(((gains[trial.key].operator, trial) for trial in made), REASONS),
    )
    return replace(night, look=look_at(night, [line for job in worked for line in job.lines], made))


class Worked:
    """A job that was run in the time of the report."""

    def __init__(self, store: Store, row: Mapping[str, Any], since: float, until: float) -> None:
        self.store, self.row = store, row
        log = store.job_log(row["id"])
        self.before = [line for line in log if line["at"] < since]
        self.lines = [line for line in log if since <= line["at"] <= until]
        found = store.rows(
            "SELECT DISTINCT workload, target, toolchain, policy FROM trial WHERE job = ? AND created BETWEEN ? AND ?",
            (row["id"], since, until),
        )
        self.keys = [Key(**key) for key in found]

    @cached_property
    def plan(self) -> Mapping[str, Any]:
        """What it works on: the last that its log has, or what ``headstart tune`` kept with it."""
        plans = [line["data"] for line in (*self.before, *self.lines) if line["event"] == "plan"]
        return plans[-1] if plans else self.row["spec"].get("plan") or {"steps": [], "floors": {}}

    def steps(self, gains: Mapping[Key, Gain]) -> list[StepGain]:
        """Its steps, each over the workloads that have times."""
        found = []
        for step in self.plan["steps"]:
            times = {workload: self._times(workload, gains) for workload in step["calls"]}
            there = [(time, calls) for time, calls in zip(times.values(), step["calls"].values(), strict=True) if time]
            before, after, floor = (sum(calls * time[at] for time, calls in there) for at in range(3))
            known = all(time[2] for time, _ in there)
            what, chip = (self.row["spec"].get(name, "") for name in ("model", "chip"))
            counts = len(times), len(there)
            found.append(StepGain(what, step["step"], chip, *counts, before, after, floor if known else None))
        return [step for step in found if step.measured]

    def _times(self, workload: str, gains: Mapping[Key, Gain]) -> tuple[float, float, float] | None:
        """Seconds of a call before and after, and its floor; None where a champion was not timed."""
        key = Key(workload, *(self.plan[name] for name in ("target", "toolchain", "policy")))
        floor = self.plan["floors"].get(workload, 0.0)
        if key in gains:
            one = gains[key]
            return (one.before_s, one.after_s, floor) if one.before_s and one.after_s else None
        still = self.store.champion(key)
        return (still.median, still.median, floor) if still and still.median else None

    def spent(self, made: Sequence[Trial], champions: int) -> Spent:
        """What it took."""
        before = self.before[-1]["spent"] if self.before else 0.0
        return Spent(
            self.row["id"],
            self.row["spec"].get("model", ""),
            self.row["spec"].get("chip", ""),
            self.row["state"],
            self.row["share"],
            self.row["spent"] - before,
            len(made),
            sum(trial.status is Status.OK for trial in made),
            champions,
        )


class Changed:
    """A workload on a chip under a policy, of which jobs made trials."""

    def __init__(self, store: Store, key: Key, jobs: set[str], since: float, until: float) -> None:
        self.key = key
        every = [t for t in store.trials(key.workload, key.target, key.toolchain, key.policy) if t.created <= until]
        numbers = [n for n, t in enumerate(every, 1) if t.job in jobs and t.created >= since]
        self.made = [every[n - 1] for n in numbers]
        chain = reigns(every)
        old = [reign for reign in chain if reign.number < numbers[0]][-1:]
        self.fresh = not old
        self.chain: list[Reign] = [*old, *(reign for reign in chain if reign.number >= numbers[0])]
        self.crowned = [reign.trial for reign in chain if reign.number in numbers and not reign.again]
        self.workload, self.chip = store.workload(key.workload), store.target(key.target)["name"]
        self.cache = str(store.value("SELECT cache FROM policy WHERE id = ?", (key.policy,)))

    def gain(self, plans: Sequence[Mapping[str, Any]]) -> Gain:
        """What became of it, with what the plans of jobs say of its calls and its floor."""
        factor = gain(self.chain) if self.chain else None
        after_s = self.chain[-1].trial.median if self.chain else None
        names = ("target", "toolchain", "policy")
        ours = [plan for plan in plans if all(plan.get(name) == getattr(self.key, name) for name in names)]
        calls = {str(step["step"]): step["calls"].get(self.key.workload, 0) for plan in ours for step in plan["steps"]}
        return Gain(
            workload=self.key.workload,
            operator=self.workload["operator"],
            label=self.workload["label"],
            chip=self.chip,
            cache=self.cache,
            calls=sum(calls.values()),
            trials=len(self.made),
            failed=sum(trial.status is not Status.OK for trial in self.made),
            built=any(reign.trial for reign in self.chain),
            fresh=self.fresh,
            before_s=self.chain[0].trial.median if self.chain else None,
            after_s=after_s,
            faster=factor[0] if factor else None,
            error=factor[1] if factor else None,
            floor_s=max((plan["floors"].get(self.key.workload, 0.0) for plan in ours), default=0.0),
        )
