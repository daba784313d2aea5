"""The selections of a repository: for each model and step that everybody may know of, what to choose from on a chip.

A candidate is a champion of this very file, or the fastest of the vendors' leading claims of its tier. Windows are in
every query: before a release is launched, nothing here is other than if there were none.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from schedules.schedule import Schedule
from targets.errors import InputError
from tuning_db.published import Address
from tuning_db.records import Policy, Toolchain
from tuning_db.selection import MEASURED, STEP, TIERS, Candidate, SelectedKernel, Selection
from tuning_db.store import Store
from tuning_db.windows import PUBLIC, public_model, public_trial

# Of a query with a list of ids.
BATCH = 500
DEFAULT = Schedule("default", 1, {}).id
KEY = ("workload", "target", "toolchain", "policy")
# Chip, toolchain and policy.
Where = tuple[str, str, str]


@dataclass(frozen=True)
class Basis:
    """What the selections of a repository follow from, found quickly.

    Attributes:
        release: id of the release whose repository it is.
        now: seconds since 1970.
        launched: how many releases are launched then: what is said of workloads may change with each.
        models: those that are in it, the first that counts before others of its name and step, with their ``ops``.
        leading: the trials that are candidates, by id: key and tier of each.
        defaults: seconds of the default schedule by key, machine and author.
    """

    release: str
    now: float
    launched: int
    models: Sequence[Mapping[str, Any]]
    leading: Mapping[str, Mapping[str, Any]]
    defaults: Mapping[tuple[str, ...], float]

    @property
    def digest(self) -> str:
        """A hash of all of it but the moment: where it is the same, so are the selections."""
        models = [model["id"] for model in self.models]
        parts = (self.launched, models, sorted(self.leading.items()), sorted(self.defaults.items()))
        return hashlib.sha256(repr(parts).encode()).hexdigest()


def basis(store: Store, release: str, now: float) -> Basis:
    """What the selections of a repository follow from at a moment.

    Where several models have one name and step, the first of them counts: the database's own before those of releases,
    these in the order of their launch. A model is left out whose name or step can be no part of a path.

    Args:
        store: where.
        release: id of the release whose repository it is; that of ``public`` has every model that is public.
        now: seconds since 1970: what is not everybody's to see then has no part in it.
    """
    models = [{**model, "ops": store.ops_of(model["id"])} for model in _models(store, release, now)]
    workloads = sorted({op["workload"] for model in models for op in model["ops"] if op["workload"]})
    leading = {row.pop("trial"): row for ids in _batches(workloads) for row in _leading(store, ids, now)}
    return Basis(release, now, launched(store, now), models, leading, _defaults(store, workloads, now))


def launched(store: Store, now: float) -> int:
    """How many releases are launched."""
    return int(store.value("SELECT count(*) FROM release WHERE launch <= ?", (now,)))


def selections(store: Store, of: Basis) -> dict[str, bytes]:
    """The selections that follow, text by path."""
    found: dict[str, bytes] = {}
    known = _candidates(store, of)
    for model in of.models:
        for selection in _of_model(store, of, model, known):
            found.setdefault(Address.of(selection).selection, selection.dumps())
    return found


def _models(store: Store, release: str, now: float) -> Iterator[dict[str, Any]]:
    """The models of a repository, those first that count where names are the same."""
    # A model of no release has been everybody's for ever.
    launch = (
        "coalesce((SELECT min(fr.launch) FROM release_model fm JOIN release fr ON fr.id = fm.release"
        " WHERE fm.model = m.id AND fr.launch <= :now), 0)"
    )
    rows = store.rows(
        f"SELECT m.id, m.name, m.source, m.step FROM model m WHERE {public_model('m.id')} AND (:release = '{PUBLIC}'"
        " OR m.id IN (SELECT model FROM release_model WHERE release = :release))"
        " AND EXISTS (SELECT 1 FROM release r WHERE r.id = :release AND r.launch <= :now)"
        f" ORDER BY {launch}, m.used DESC, m.id",
        {"release": release, "now": now},
    )
    for row in rows:
        try:
            yield {**row, "step": STEP(json.loads(row["step"]))}
        except ValueError:
            continue


def _of_model(
    store: Store, of: Basis, model: Mapping[str, Any], known: Mapping[str, Mapping[Where, list[Candidate]]]
) -> Iterator[Selection]:
    """A selection of a model for each chip, toolchain and policy that there is a candidate for."""
    names: defaultdict[str, dict[str, None]] = defaultdict(dict)
    calls: defaultdict[str, int] = defaultdict(int)
    missing: defaultdict[str, int] = defaultdict(int)
    for op in model["ops"]:
        if op["workload"]:
            names[op["workload"]][op["name"]] = None
            calls[op["workload"]] += op["calls"]
        else:
            missing[op["operator"]] += op["calls"]
    words = {workload: store.said(of.release, workload, of.now) for workload in names}
    for where in sorted({where for workload in names for where in known.get(workload, ())}):
        kernels = tuple(
            SelectedKernel(
                tuple(named),
                workload,
                said["operator"],
                said["label"],
                said["params"],
                calls[workload],
                tuple(known.get(workload, {}).get(where, ())),
            )
            for workload, named in names.items()
            if (said := words[workload])
        )
        target, toolchain, policy = where
        versions = store.value("SELECT versions FROM toolchain WHERE id = ?", (toolchain,))
        selection = Selection(
            model=model["name"],
            source=model["source"],
            step=model["step"],
            target=target,
            target_name=store.value("SELECT name FROM target WHERE fingerprint = ?", (target,)),
            toolchain=Toolchain(json.loads(versions)),
            policy=Policy(**store.rows("SELECT cache, threads, clock FROM policy WHERE id = ?", (policy,))[0]),
            kernels=kernels,
            missing=missing,
        )
        try:
            Address.of(selection)
        except InputError:
            return
        yield selection


def _candidates(store: Store, of: Basis) -> dict[str, dict[Where, list[Candidate]]]:
    """What may be chosen for each workload, by chip, toolchain and policy, the least trusted first."""
    chosen: dict[tuple[str, ...], dict[str, Candidate]] = defaultdict(dict)
    for ids in _batches(sorted(of.leading)):
        named, values = _named(ids)
        for row in store.rows(
            "SELECT t.id, t.median, t.machine, t.author, t.created, s.space, s.version, s.config FROM trial t"
            f" JOIN schedule s ON s.id = t.schedule WHERE t.id IN ({named})",
            values,
        ):
            led = of.leading[row["id"]]
            tier, key = led["tier"], tuple(led[name] for name in KEY)
            chosen[key][tier] = Candidate(
                tier=tier,
                schedule=Schedule(row["space"], row["version"], json.loads(row["config"])),
                seconds=row["median"],
                default_seconds=of.defaults.get((*key, row["machine"], row["author"])),
                trial=row["id"],
                author=row["author"],
                machine=row["machine"],
                created=row["created"],
            )
    found: defaultdict[str, dict[Where, list[Candidate]]] = defaultdict(dict)
    for (workload, target, toolchain, policy), by_tier in chosen.items():
        found[workload][target, toolchain, policy] = [by_tier[tier] for tier in TIERS if tier in by_tier]
    return found


def _leading(store: Store, ids: Sequence[str], now: float) -> list[dict[str, Any]]:
    """The trials that are candidates for some workloads: key, tier and id of each."""
    named, values = _named(ids)
    keys = ", ".join(f"l.{name}" for name in KEY)
    # With min() alone, SQLite takes the other columns from the row that has it.
    claimed = store.rows(
        f"SELECT {keys}, l.tier, l.trial, min(l.median) FROM lead l JOIN release r ON r.id = l.release"
        f" WHERE l.workload IN ({named}) AND l.vendor <> '' AND r.launch <= :now GROUP BY {keys}, l.tier",
        {**values, "now": now},
    )
    measured = store.rows(
        f"SELECT {keys}, '{MEASURED}' AS tier, l.trial FROM champion l JOIN trial t ON t.id = l.trial"
        f" WHERE l.workload IN ({named}) AND {public_trial('t')}",
        {**values, "now": now},
    )
    return [*claimed, *measured]


def _defaults(store: Store, workloads: Sequence[str], now: float) -> dict[tuple[str, ...], float]:
    """The best median of the default schedule, in seconds, by key, machine and author."""
    found = {}
    keys = ", ".join(f"t.{name}" for name in KEY)
    for ids in _batches(workloads):
        named, values = _named(ids)
        # The index is of the trials of this one schedule, which is why it stands here and is no parameter.
        for row in store.rows(
            f"SELECT {keys}, t.machine, t.author, t.median FROM trial t WHERE t.schedule = '{DEFAULT}'"
            f" AND t.workload IN ({named}) AND t.status = 'ok' AND {public_trial('t')} ORDER BY t.median DESC",
            {**values, "now": now},
        ):
            median = row.pop("median")
            found[tuple(row.values())] = median
    return found


def _batches(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[start : start + BATCH] for start in range(0, len(ids), BATCH))


def _named(ids: Sequence[str]) -> tuple[str, dict[str, str]]:
    """A list of parameters for a query, and their values."""
    values = {f"id{at}": id for at, id in enumerate(ids)}
    return ", ".join(f":{name}" for name in values), values
