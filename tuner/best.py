"""Look up the champions of one workload on one chip, with everything that backs them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from schedules.operator import make_operator, operators
from schedules.schedule import Schedule
from schedules.workload import Workload
from targets import resolve
from targets.errors import HeadstartError, InputError
from tuner.task import DEFAULT
from tuning_db.find import find
from tuning_db.records import Status, Trial
from tuning_db.selection import MEASURED
from tuning_db.store import Store

PARSE: Mapping[str, Any] = {"int": int, "float": float, "str": str, "bool": {"true": True, "false": False}.__getitem__}


@dataclass(frozen=True)
class Best:
    """The champion of a workload on a target with one toolchain under one policy.

    Attributes:
        workload: its row in the database.
        target: name of the chip.
        toolchain: versions.
        policy: cache, threads, clock.
        default_seconds: median of the default schedule under the same key, None where it was never timed.
    """

    workload: Mapping[str, Any]
    target: str
    toolchain: Mapping[str, str]
    policy: Mapping[str, Any]
    schedule: Schedule
    trial: Trial
    default_seconds: float | None

    @property
    def tier(self) -> str:
        """How far it is trusted, as in a selection."""
        return "replayed" if self.trial.untimed else MEASURED

    @property
    def speedup(self) -> float | None:
        """Default over champion."""
        if self.default_seconds is None or not self.trial.median:
            return None
        return self.default_seconds / self.trial.median

    def to_json(self) -> dict[str, Any]:
        """The fields and what follows from them as JSON types."""
        workload = {name: self.workload[name] for name in ("id", "operator", "label", "params")}
        return {
            "workload": workload,
            "target": {"name": self.target, "fingerprint": self.trial.key.target},
            "toolchain": {"id": self.trial.key.toolchain, "versions": dict(self.toolchain)},
            "policy": {"id": self.trial.key.policy, **self.policy},
            "schedule": {"id": self.schedule.id, **self.schedule.to_json()},
            "tier": self.tier,
            "seconds": self.trial.median,
            "default_seconds": self.default_seconds,
            "speedup": self.speedup,
            "trial": asdict(self.trial) | {"status": self.trial.status.value},
        }


def best(store: Store, workload: str, target: str) -> list[Best]:
    """The champions of a workload on a chip, one for each toolchain and policy it was tuned with.

    Args:
        store: where to look.
        workload: an id or the first characters of one, or ``operator:param=value,...``.
        target: ``host``, a name of the catalogue, or a name or fingerprint in the database.

    Raises:
        InputError: no such operator, workload or target.
        HeadstartError: the workload has no champion on this chip; the message says which other chips have one.
    """
    id, label = _workload(store, workload)
    fingerprint, name = _target(store, target)
    rows = store.champions(workload=id, target=fingerprint)
    if not rows:
        others = sorted({row["target_name"] for row in store.champions(workload=id)})
        there = f"it has one for {', '.join(others)}" if others else "it has none for any other chip either"
        raise HeadstartError(f"no champion of {label} ({id}) for {name} ({fingerprint}) in {store.path}; {there}")
    return [_best(store, row) for row in rows]


def named(workload: str, target: str) -> tuple[str, str]:
    """Ids of a workload and a chip by what a person types, where no database is at hand to look in.

    Args:
        workload: an id, or ``operator:param=value,...``.
        target: ``host``, a name of the catalogue, or a fingerprint.

    Raises:
        InputError: no such operator or target, or no whole id.
    """
    if not re.fullmatch("w[0-9a-f]{24}", workload):
        workload = parse_operator(workload).id
    return workload, target if re.fullmatch("c[0-9a-f]{24}", target) else resolve(target).fingerprint


def parse_operator(text: str) -> Workload:
    """The workload of ``operator:param=value,...``.

    Raises:
        InputError: no such operator, parameter or value.
    """
    name, _, given = text.partition(":")
    if name not in operators():
        make_operator(name, {})  # says which there are
    types = {field.name: str(field.type) for field in fields(operators()[name])}
    params: dict[str, Any] = {}
    for part in filter(None, given.split(",")):
        key, equals, value = part.partition("=")
        if not equals or key not in types:
            raise InputError(f"{part!r} is not a parameter of {name}, which takes {', '.join(types)}")
        try:
            params[key] = PARSE[types[key]](value)
        except (ValueError, KeyError):
            raise InputError(f"{name}: {key} is {value!r}, must be of type {types[key]}") from None
    return Workload.of(make_operator(name, params))


def _workload(store: Store, text: str) -> tuple[str, str]:
    """Id and label."""
    if ":" in text or text in operators():
        found = parse_operator(text)
        return found.id, f"{found.operator} {found.label}"
    row = store.workload(text)
    return row["id"], f"{row['operator']} {row['label']}"


def _target(store: Store, name: str) -> tuple[str, str]:
    """Fingerprint and name."""
    if name != "host" and any(name in (row["name"], row["fingerprint"]) for row in store.targets()):
        row = store.target(name)
        return row["fingerprint"], row["name"]
    found = resolve(name)
    return found.fingerprint, found.name


def _best(store: Store, row: Mapping[str, Any]) -> Best:
    trial = store.trial(row["trial"])
    key = trial.key
    toolchain, policy = find(store, key.toolchain)[1], find(store, key.policy)[1]
    defaults = [
        other.median
        for other in store.trials(key.workload, key.target, key.toolchain, key.policy)
        if other.schedule == DEFAULT.id and other.status is Status.OK and other.median is not None
    ]
    return Best(
        workload=store.workload(key.workload),
        target=row["target_name"],
        toolchain=toolchain["versions"],
        policy={name: policy[name] for name in ("cache", "threads", "clock")},
        schedule=Schedule(row["space"], row["version"], row["config"]),
        trial=trial,
        default_seconds=defaults[-1] if defaults else None,
    )
