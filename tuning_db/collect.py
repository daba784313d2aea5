"""A vendor's own trials out of a local database, as batches to send."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from schedules.schedule import Schedule
from targets import Target
from tuning_db.batch import Batch, ClaimedTrial
from tuning_db.batch_format import EVIDENCE, MAX_BYTES, MAX_TRIALS, NAMED
from tuning_db.reasons import printable
from tuning_db.records import Key, Policy, Status, Toolchain, Trial
from tuning_db.screening import MAX_PER_KEY, MIN_SAMPLES
from tuning_db.store import Store


def batches_of(
    store: Store,
    vendor: str,
    release: str | None = None,
    model: str | None = None,
    workloads: Sequence[str] = (),
    target: str | None = None,
    every: bool = False,
) -> list[Batch]:
    """What there is to send: one batch, several where one has no room for all of it, or none.

    Taken are the champions, or with ``every`` the fastest ``MAX_PER_KEY`` schedules of each key, of trials with at
    least ``MIN_SAMPLES`` samples; of a schedule that was timed several times, the fastest time.

    Args:
        store: the local database.
        vendor: who sends it.
        release: what for; None for the public.
        model: only workloads of this model, by id or name.
        workloads: only these, by id or the first characters of one.
        target: only this chip, by fingerprint or name.
        every: not only champions.

    Raises:
        InputError: no such model, workload or target here, or something that has no place in a batch.
    """
    wanted = [store.workload(id)["id"] for id in workloads]
    if model is not None:
        ops = [op["workload"] for op in store.model(model)["ops"] if op["workload"] is not None]
        wanted = [id for id in dict.fromkeys(ops) if not workloads or id in wanted]
    elif not workloads:
        wanted = [row["id"] for row in store.workloads()]
    chip = store.target(target)["fingerprint"] if target is not None else None
    named = _Named(store)
    claims = [named.claim(trial) for id in dict.fromkeys(wanted) for trial in _trials(store, id, chip, every)]
    return list(_fitting(vendor, release, claims)) if claims else []


def _trials(store: Store, workload: str, target: str | None, every: bool) -> list[Trial]:
    """The trials of a workload that are worth sending, by key, the fastest first."""
    if not every:
        found = [store.trial(row["trial"]) for row in store.champions(workload=workload, target=target)]
        return [trial for trial in found if len(trial.samples) >= MIN_SAMPLES]
    fastest: dict[Key, dict[str, Trial]] = {}
    for trial in sorted(store.trials(workload, target), key=_seconds):
        if trial.status is Status.OK and len(trial.samples) >= MIN_SAMPLES:
            fastest.setdefault(trial.key, {}).setdefault(trial.schedule, trial)
    return [trial for best in fastest.values() for trial in list(best.values())[:MAX_PER_KEY]]


def _seconds(trial: Trial) -> float:
    return float("inf") if trial.median is None else trial.median


def _fitting(vendor: str, release: str | None, claims: list[ClaimedTrial]) -> Iterator[Batch]:
    """Batches within the limits: halved until they are."""
    batch = Batch(vendor, tuple(claims), release)
    if len(claims) <= MAX_TRIALS and (len(batch.dumps()) <= MAX_BYTES or len(claims) == 1):
        yield batch
        return
    middle = len(claims) // 2
    yield from _fitting(vendor, release, claims[:middle])
    yield from _fitting(vendor, release, claims[middle:])


class _Named:
    """Claims of trials; what they name is read once each."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._targets: dict[str, Target] = {}
        self._toolchains: dict[str, Toolchain] = {}
        self._policies: dict[str, Policy] = {}

    def claim(self, trial: Trial) -> ClaimedTrial:
        key = trial.key
        if key.target not in self._targets:
            chip = Target.from_spec(self._store.target(key.target)["spec"])
            # Names that machines report need not be ASCII, and are no part of the fingerprint.
            vendor, model = (printable(text)[:NAMED] for text in (chip.vendor, chip.model))
            self._targets[key.target] = replace(chip, vendor=vendor, model=model)
        if key.toolchain not in self._toolchains:
            self._toolchains[key.toolchain] = Toolchain(json.loads(self._row("toolchain", key.toolchain)["versions"]))
        if key.policy not in self._policies:
            row = self._row("policy", key.policy)
            self._policies[key.policy] = Policy(row["cache"], row["threads"], row["clock"])
        return ClaimedTrial(
            workload=key.workload,
            target=self._targets[key.target],
            toolchain=self._toolchains[key.toolchain],
            policy=self._policies[key.policy],
            schedule=Schedule(*self._store.schedule(trial.schedule)),
            samples=trial.samples,
            median=_seconds(trial),
            spread=trial.spread or 0.0,
            build_s=trial.build_s,
            machine=printable(trial.machine)[:NAMED],
            evidence={name: value for name, value in trial.evidence.items() if name in EVIDENCE},
            created=trial.created,
        )

    def _row(self, table: str, id: str) -> dict[str, Any]:
        return self._store.rows(f"SELECT * FROM {table} WHERE id = ?", (id,))[0]
