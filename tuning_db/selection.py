"""A selection: the schedules to use for a model at one step, on one chip, by one toolchain under one policy.

It says of each workload what may be chosen, at most one candidate for each tier of trust, and pins all that a bundle is
made from. It has one spelling: what was read writes the same bytes again, so that its digest names it. One for several
steps may have families, kernels with plans for any number of rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from headstart_runtime.row_plan import BundleFamily
from schedules.schedule import Schedule
from tuning_db.batch_format import seconds, target, workload
from tuning_db.family import FAMILY, check_families, family_json, read_family, takes
from tuning_db.formats import trial_id
from tuning_db.readers import (
    between,
    entries,
    exactly,
    mapping,
    matching,
    optional,
    record,
    table,
    text,
    versions,
    whole,
)
from tuning_db.records import Policy, Toolchain
from tuning_db.rules import id_problem
from tuning_db.spelled import Spelled

SCHEMA = "headstart-selection/1"
# With more than one step, or families.
ROWS_SCHEMA = "headstart-selection/2"
MAX_KERNELS = 10_000
MAX_STEPS = 1000

MEASURED = "measured"
# From the least trusted: by a vendor's word; built and found right by a referee; timed again by one; timed by whoever
# offers the selection. The last two are both of somebody who had the chip in hand, so the faster of them is taken.
TIERS = ("claimed", "replayed", "reproduced", MEASURED)
RANKS = {"claimed": 0, "replayed": 1, "reproduced": 2, MEASURED: 2}


@dataclass(frozen=True)
class Candidate:
    """A schedule that may be used for a workload, and where its time comes from.

    Attributes:
        tier: how far it is trusted, one of ``TIERS``.
        schedule: what to build.
        seconds: median of its trial.
        default_seconds: median of the default schedule on the same machine; None where it is not known.
        trial: id.
        author, machine: whose trial it is, and where it ran.
        created: seconds since 1970.
    """

    tier: str
    schedule: Schedule
    seconds: float
    default_seconds: float | None
    trial: str
    author: str
    machine: str
    created: float

    def to_json(self) -> dict[str, Any]:
        """The candidate as JSON types."""
        return {**vars(self), "schedule": {"id": self.schedule.id, **self.schedule.to_json()}}


@dataclass(frozen=True)
class SelectedKernel:
    """One workload of the model.

    Attributes:
        names: of the model's operators that it computes.
        workload: id.
        operator, label, params: what it computes, as ``Workload.load`` takes it.
        calls: how often one step of the model calls it.
        candidates: at most one of each tier, in the order of ``TIERS``; none where only the default schedule is left.
    """

    names: tuple[str, ...]
    workload: str
    operator: str
    label: str
    params: Mapping[str, Any]
    calls: int
    candidates: tuple[Candidate, ...] = ()

    def chosen(self, tier: str) -> Candidate | None:
        """What to use of those trusted at least as far as ``tier``: the most trusted, of equals the fastest."""
        trusted = [candidate for candidate in self.candidates if RANKS[candidate.tier] >= RANKS[tier]]
        return min(trusted, key=lambda one: (-RANKS[one.tier], one.seconds), default=None)

    @property
    def only(self) -> Candidate | None:
        """The candidate of a kernel that was chosen; None for the default schedule."""
        return self.candidates[0] if self.candidates else None

    def to_json(self) -> dict[str, Any]:
        """The workload as JSON types."""
        candidates = [candidate.to_json() for candidate in self.candidates]
        return {**vars(self), "names": list(self.names), "params": dict(self.params), "candidates": candidates}


@dataclass(frozen=True)
class Selection(Spelled):
    """What may be used for a model at one step on one chip.

    Attributes:
        model, source: name of the model, and where it came from.
        step: fields of ``Step``: phase, tokens, batch, kv_len, tp, ep.
        target, target_name: fingerprint and name of the chip.
        toolchain, policy: what built the schedules, and how they were timed.
        kernels: one for each distinct workload, in the model's order.
        missing: operators that Headstart does not have, with their calls a step.
        smaller: steps with fewer tokens that it is for too, by tokens ascending.
        families: kernels that differ in rows alone, each with a plan for any number of them.
    """

    # Traces of a generic space for hundreds of workloads; a selection of knobs has a thousandth of it.
    MOST: ClassVar[int] = 64 << 20
    DEPTH: ClassVar[int] = 24

    model: str
    source: str
    step: Mapping[str, Any]
    target: str
    target_name: str
    toolchain: Toolchain
    policy: Policy
    kernels: tuple[SelectedKernel, ...]
    missing: Mapping[str, int]
    smaller: tuple[Mapping[str, Any], ...] = ()
    families: tuple[BundleFamily, ...] = ()

    @property
    def steps(self) -> tuple[Mapping[str, Any], ...]:
        """Every step that it is for, by tokens ascending."""
        return (*self.smaller, self.step)

    def family_of(self, kernel: SelectedKernel) -> BundleFamily | None:
        """The family that computes what a kernel does, of any number of rows; None where there is none."""
        return next((one for one in self.families if takes(one, kernel.operator, kernel.params)), None)

    def chosen(self, tier: str) -> Selection:
        """The same with one candidate a workload, or none where nothing is trusted as far as ``tier``."""
        chosen = [(kernel, kernel.chosen(tier)) for kernel in self.kernels]
        return replace(self, kernels=tuple(replace(kernel, candidates=(c,) if c else ()) for kernel, c in chosen))

    def to_json(self) -> dict[str, Any]:
        """The selection as JSON types."""
        model: dict[str, Any] = {"name": self.model, "source": self.source, "step": dict(self.step)}
        rows: dict[str, Any] = {}
        if self.smaller or self.families:
            model |= {"smaller": [dict(step) for step in self.smaller]}
            rows = {"families": [family_json(family) for family in self.families]}
        return {
            "schema": ROWS_SCHEMA if rows else SCHEMA,
            "model": model,
            "target": {"fingerprint": self.target, "name": self.target_name},
            "toolchain": {"id": self.toolchain.id, "versions": dict(self.toolchain.versions)},
            "policy": {"id": self.policy.id, **self.policy.to_json()},
            "kernels": [kernel.to_json() for kernel in self.kernels],
            "missing": dict(self.missing),
            **rows,
        }

    @classmethod
    def from_json(cls, value: Any) -> Selection:
        with_rows = isinstance(value, dict) and value.get("schema") == ROWS_SCHEMA
        found: Selection = _selection((ROWS_SELECTION if with_rows else SELECTION)(value))
        return found


def joined(steps: Sequence[Selection], smaller: Sequence[Mapping[str, Any]]) -> Selection:
    """The selection for several steps, by tokens ascending, as that of the last with the kernels of all."""
    kernels = {kernel.workload: kernel for step in steps for kernel in step.kernels}
    missing = {name: calls for step in steps for name, calls in step.missing.items()}
    return replace(steps[-1], kernels=tuple(kernels.values()), missing=missing, smaller=tuple(map(dict, smaller)))


def step_key(step: Mapping[str, Any]) -> str:
    """A step as a part of a path: ``decode-t16-b16-kv4096-tp1-ep1``."""
    return "{phase}-t{tokens}-b{batch}-kv{kv_len}-tp{tp}-ep{ep}".format(**step)


SIZES = ("tokens", "batch", "kv_len", "tp", "ep")
STEP = record({"phase": matching("decode|prefill", "decode or prefill"), **{name: whole(1, 2**31) for name in SIZES}})
CANDIDATE = record(
    {
        "tier": matching("|".join(TIERS), f"one of {', '.join(TIERS)}"),
        "schedule": record({"id": text, "space": text, "version": whole(1, 2**31 - 1), "config": mapping}),
        "seconds": seconds,
        "default_seconds": optional(seconds),
        "trial": trial_id,
        "author": text,
        "machine": text,
        "created": between(0, 1e10, "seconds since 1970"),
    }
)
KERNEL = record(
    {
        "names": entries(text, MAX_KERNELS, 1),
        "workload": workload,
        "operator": text,
        "label": text,
        "params": mapping,
        "calls": whole(0, 2**31),
        "candidates": entries(CANDIDATE, len(TIERS)),
    }
)
MODEL = {"name": text, "source": text, "step": STEP}
FIELDS = {
    "target": record({"fingerprint": target, "name": text}),
    "toolchain": record({"id": text, "versions": versions}),
    "policy": record(
        {"id": text, "cache": matching("warm|cold", "warm or cold"), "threads": whole(1, 2**16), "clock": text}
    ),
    "kernels": entries(KERNEL, MAX_KERNELS, 1),
    "missing": table(text, whole(0, 2**31), MAX_KERNELS),
}
SELECTION = record({"schema": exactly(SCHEMA), "model": record(MODEL), **FIELDS})
ROWS_SELECTION = record(
    {
        "schema": exactly(ROWS_SCHEMA),
        "model": record({**MODEL, "smaller": entries(STEP, MAX_STEPS)}),
        **FIELDS,
        "families": entries(FAMILY, MAX_KERNELS),
    }
)


def _selection(row: Mapping[str, Any]) -> Selection:
    """What a record that was read stands for; ids must be hashes of what they are ids of."""
    for kind in ("toolchain", "policy"):
        _check_id(kind, kind, row[kind])
    kernels = tuple(_kernel(f"kernels: entry {at}", kernel) for at, kernel in enumerate(row["kernels"], 1))
    if len({kernel.workload for kernel in kernels}) != len(kernels):
        raise ValueError("kernels: a workload appears twice")
    smaller = row["model"].get("smaller", ())
    tokens = [step["tokens"] for step in (*smaller, row["model"]["step"])]
    if tokens != sorted(set(tokens)):
        raise ValueError("model: smaller must be steps with fewer tokens, ascending")
    families = tuple(map(read_family, row.get("families", ())))
    check_families(families, {kernel.workload: (kernel.operator, kernel.params) for kernel in kernels})
    policy = Policy(row["policy"]["cache"], row["policy"]["threads"], row["policy"]["clock"])
    return Selection(
        model=row["model"]["name"],
        source=row["model"]["source"],
        step=row["model"]["step"],
        target=row["target"]["fingerprint"],
        target_name=row["target"]["name"],
        toolchain=Toolchain(row["toolchain"]["versions"]),
        policy=policy,
        kernels=kernels,
        missing=row["missing"],
        smaller=smaller,
        families=families,
    )


def _kernel(where: str, row: Mapping[str, Any]) -> SelectedKernel:
    tiers = [candidate["tier"] for candidate in row["candidates"]]
    if tiers != sorted(set(tiers), key=TIERS.index):
        raise ValueError(f"{where}: candidates must be at most one of each tier, the least trusted first")
    candidates = []
    for candidate in row["candidates"]:
        schedule = candidate["schedule"]
        _check_id("schedule", f"{where}: candidates: schedule", schedule)
        made = Schedule(schedule["space"], schedule["version"], schedule["config"])
        candidates.append(Candidate(**{**candidate, "schedule": made}))
    return SelectedKernel(**{**row, "candidates": tuple(candidates)})


def _check_id(kind: str, where: str, row: Mapping[str, Any]) -> None:
    if problem := id_problem(kind, row):
        raise ValueError(f"{where}: {problem}")
