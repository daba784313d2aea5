"""What must hold for a record by itself: ids are hashes of the content, figures fit the status.

The same rules guard writing (``store``), reading from strangers (``exchange``) and looking back (``check``).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from schedules.schedule import Schedule
from targets import Target
from targets.digest import canonical_json, digest
from tuning_db.records import Policy, Status, Toolchain, Trial

# Statuses of trials that ran to the end of their timing.
TIMED = (Status.OK, Status.BELOW_FLOOR)


def trial_problem(trial: Trial) -> str | None:
    """What is wrong with a trial's figures, None where nothing is."""
    if not (math.isfinite(trial.build_s) and trial.build_s >= 0):
        return f"build time {trial.build_s} is not a duration"
    if not (math.isfinite(trial.created) and trial.created >= 0):
        return f"time of making {trial.created} is not a time"
    if trial.status is Status.OK and trial.error:
        return "status ok with an error"
    if trial.status is not Status.OK and not trial.error:
        return f"status {trial.status.value} without a reason"
    if trial.untimed and trial.samples:
        return f"samples of {trial.untimed}, which stood in for the chip"
    if trial.status is Status.OK and not trial.samples and not trial.untimed:
        return "status ok without samples"
    if trial.samples and trial.status not in TIMED:
        return f"status {trial.status.value} with samples"
    if not trial.samples:
        return None if trial.median is None and trial.spread is None else "a median or spread without samples"
    if not all(math.isfinite(sample) and sample > 0 for sample in trial.samples):
        return "a sample that is not a positive duration"
    if trial.median is None or trial.spread is None:
        return "samples without median and spread"
    middle = statistics.median(trial.samples)
    if not math.isclose(trial.median, middle, rel_tol=1e-6):
        return f"median {trial.median} is not that of the samples, {middle}"
    # There are several definitions of quartiles; all lie between the smallest and the largest sample, but for rounding.
    slack = 1e-9 * max(trial.samples)
    if not -slack <= trial.spread <= max(trial.samples) - min(trial.samples) + slack:
        return f"spread {trial.spread} is wider than the samples, or negative"
    return None


OP_FIELDS = ("name", "workload", "operator", "params", "calls")


def listed_ops(ops: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The operators of a model as they are hashed: these fields, None where one is left out."""
    return [{field: op.get(field) for field in OP_FIELDS} for op in ops]


def model_id(row: Mapping[str, Any]) -> str:
    """Hash of a model's name, source, step and operators."""
    return digest("m", canonical_json({name: row[name] for name in ("name", "source", "step", "ops")}))


IDS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "workload": lambda row: digest("w", row["canonical"]),
    "target": lambda row: Target.from_spec(row["spec"]).fingerprint,
    "toolchain": lambda row: Toolchain(row["versions"]).id,
    "policy": lambda row: Policy(row["cache"], row["threads"], row["clock"]).id,
    "schedule": lambda row: Schedule(row["space"], row["version"], row["config"]).id,
    "model": model_id,
}


def id_problem(kind: str, row: Mapping[str, Any]) -> str | None:
    """Why a row's id is not the hash of its content, None where it is (or where ids of this kind are no hashes)."""
    if kind not in IDS:
        return None
    stored = row["fingerprint" if kind == "target" else "id"]
    try:
        computed = IDS[kind](row)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return f"its id cannot be computed: {type(error).__name__} {error}"
    return None if computed == stored else f"its content hashes to {computed}"
