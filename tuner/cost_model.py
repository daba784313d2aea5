"""A learned guess of how good a schedule is: one xgboost model a space, trained on every trial in the database."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import xgboost

from schedules.schedule import Schedule
from schedules.space import Space, spaces
from schedules.workload import Workload
from targets import Target
from targets.errors import HeadstartError
from tuner.features import VERSION, Context
from tuner.relative import Relative
from tuning_db.find import find
from tuning_db.records import Policy, Status, stand_in
from tuning_db.store import Store

# log2 of how many times slower than the best counts as hopeless; failed trials are given this.
HOPELESS = 4.0
# Fewer rows than this teach nothing that chance would not.
MINIMUM = 12
# The latest trials of the database that are read; more would take longer than they are worth.
NEWEST = 20_000

# Squared error rather than a ranking objective: docs/cost_model.md has the comparison.
PARAMETERS = {
    "objective": "reg:squarederror",
    "max_depth": 6,
    "eta": 0.2,
    "min_child_weight": 1,
    "subsample": 0.9,
    "seed": 0,
    "verbosity": 0,
    # Kernels are timed on the other cores.
    "nthread": 1,
}
ROUNDS = 60


@dataclass(frozen=True, eq=False)
class Example:
    """One schedule that was tried, as the model learns from it.

    Attributes:
        context: the workload, the target and the policy.
        toolchain: id; only trials of one context and one toolchain are compared.
        seconds: as ``Relative`` has them; None where it failed.
    """

    context: Context
    toolchain: str
    schedule: Schedule
    seconds: float | None

    @property
    def group(self) -> tuple[str, str, str, str]:
        """What trials have in common that can be compared."""
        return (*self.context.key, self.toolchain)

    @cached_property
    def row(self) -> np.ndarray | None:
        """The features; None where the schedule is of a space or version that is no more."""
        return self.context.row(self.schedule)

    @cached_property
    def plain(self) -> np.ndarray | None:
        """The row it had before it was compiled, where that is another one."""
        return self.context.row(self.schedule, compiled=False) if self.schedule in self.context.resources else None


class CostModel:
    """Predicts log2 of a schedule's time over the best time known for its workload, in any space."""

    def __init__(self) -> None:
        self._boosters: dict[str, xgboost.Booster] = {}
        self._trained_on: dict[str, int] = {}

    def fit(self, examples: Iterable[Example]) -> None:
        """Train anew on all examples; a space with too few of them gets no model."""
        self.train(training_sets(examples))

    def train(self, sets: Mapping[str, TrainingSet]) -> None:
        """``fit`` to sets that were made before; nearly all of it is xgboost's, which lets other threads run."""
        self._boosters = {space: _train(part) for space, part in sets.items()}
        self._trained_on = {space: part.trials for space, part in sets.items()}

    @property
    def spaces(self) -> dict[str, int]:
        """The spaces it knows, with how many trials it learnt each from."""
        return dict(self._trained_on)

    def predict(self, context: Context, schedules: Sequence[Schedule]) -> np.ndarray | None:
        """log2(time / best) of schedules of one space, lower is better; None where there is no model of it."""
        booster = self._boosters.get(schedules[0].space) if schedules else None
        if booster is None:
            return None
        rows = [context.row(schedule) for schedule in schedules]
        return np.asarray(booster.inplace_predict(np.array(rows, dtype=np.float32), validate_features=False))

    def save(self, store: Store, kind: str, metrics: Mapping[str, Any] | None = None) -> None:
        """Keep the model of each space for a kind of target, in xgboost's own UBJ.

        Args:
            store: where to.
            kind: of the targets it learnt from (``llvm``, ``cuda``, ...).
            metrics: by space, how good it is on workloads it has not seen, see ``tuner.evaluate``.
        """
        for space, booster in self._boosters.items():
            found = {"features": VERSION} | dict((metrics or {}).get(space, {}))
            store.save_cost_model(space, kind, self._trained_on[space], found, bytes(booster.save_raw("ubj")))

    @classmethod
    def load(cls, store: Store, kind: str, known: Mapping[str, type[Space]] | None = None) -> CostModel:
        """What was kept for a kind of target; models of other features or of another version of a space are left.

        Args:
            store: where from.
            kind: of target (``llvm``, ``cuda``, ...).
            known: the spaces of a chip, see ``spaces_on``; by default those of Headstart.
        """
        model, known = cls(), spaces() if known is None else known
        for name, kept in store.cost_models(kind).items():
            if name not in known:
                continue
            booster = xgboost.Booster()
            try:
                booster.load_model(bytearray(kept["blob"]))
            except xgboost.core.XGBoostError:
                continue  # an old xgboost does not read the file of a new one
            if booster.attr("stamp") == _stamp(known[name].version):
                booster.set_param({"nthread": 1})
                model._boosters[name], model._trained_on[name] = booster, kept["trained_on"]
        return model


@dataclass(frozen=True)
class TrainingSet:
    """What the model of one space learns from: a row of features and a label for each schedule.

    Attributes:
        names: of the features.
        stamp: which features of which version of the space these are.
        labels: log2 of the time over the best of the group, at most ``HOPELESS``.
        trials: that these are of; one whose kernel's resources are known has two rows.
    """

    names: list[str]
    stamp: str
    trials: int
    rows: np.ndarray
    labels: np.ndarray


def training_sets(examples: Iterable[Example]) -> dict[str, TrainingSet]:
    """By space, what a model of it is trained on; spaces with too few examples are left out."""
    parts: dict[str, list[Example]] = defaultdict(list)
    best: dict[tuple[str, ...], float] = {}
    for example in examples:
        # The default space has nothing to learn.
        if example.schedule.space == "default" or example.row is None:
            continue
        parts[example.schedule.space].append(example)
        if example.seconds is not None:
            # Over all spaces, so that what is predicted for one can be compared with what is for another.
            best[example.group] = min(example.seconds, best.get(example.group, math.inf))
    return {space: _training_set(part, best) for space, part in sorted(parts.items()) if len(part) >= MINIMUM}


def _training_set(examples: Sequence[Example], best: Mapping[tuple[str, ...], float]) -> TrainingSet:
    first = examples[0]
    rows: list[np.ndarray] = []
    labels: list[float] = []
    for example in examples:
        label = HOPELESS
        if example.seconds is not None:
            label = min(math.log2(example.seconds / best[example.group]), HOPELESS)
        # What was compiled is learnt from both with and without what is known by that: most that is asked is not.
        seen = [row for row in (example.row, example.plain) if row is not None]
        rows += seen
        labels += [label] * len(seen)
    return TrainingSet(
        first.context.names(first.schedule),
        _stamp(first.schedule.version),
        len(examples),
        np.array(rows, dtype=np.float32),
        np.array(labels, dtype=np.float32),
    )


def _train(part: TrainingSet) -> xgboost.Booster:
    # Errors near the best matter; whether a bad schedule is 8 or 12 times slower does not.
    weights = 2.0**-part.labels
    data = xgboost.DMatrix(part.rows, label=part.labels, weight=weights, nthread=1)
    booster = xgboost.train(PARAMETERS, data, num_boost_round=ROUNDS)
    # Known beforehand, xgboost would compare them in every round, which takes half of the time.
    booster.feature_names = part.names
    booster.set_attr(stamp=part.stamp)
    return booster


def _stamp(version: int) -> str:
    """Which features of which version of a space a model was trained on."""
    return f"features {VERSION}, space {version}"


def all_examples(store: Store, kind: str, without: set[str] | None = None) -> list[Example]:
    """The newest trials of all workloads on all chips of a kind, under any policy and toolchain, each schedule once.

    Args:
        store: where to look.
        kind: of target (``llvm``, ``cuda``, ...).
        without: ids of workloads to leave out.
    """
    targets = {row["fingerprint"]: Target.from_spec(row["spec"]) for row in store.targets()}
    contexts: dict[tuple[str, str, str], Context | None] = {}
    found: dict[tuple[str, ...], Example] = {}
    scales: dict[tuple[str, ...], Relative] = defaultdict(Relative)
    for row in store.training_rows(kind=kind, newest=NEWEST):
        if row["workload"] in (without or ()) or stand_in(row["evidence"]):
            continue  # what stood in for a chip tells nothing of it
        where = (row["workload"], row["target"], row["policy"])
        if where not in contexts:
            contexts[where] = _context(store, row, targets[row["target"]])
        context = contexts[where]
        if context is None:
            continue
        group = (*where, row["toolchain"])
        seconds = None
        if row["status"] == Status.OK.value:
            seconds = scales[group].add(row["schedule"], row["samples"], row["evidence"])
        key = (*group, row["schedule"])
        if key not in found:
            schedule = Schedule(row["space"], row["version"], row["config"])
            context.compiled(schedule, row["evidence"])
            found[key] = Example(context, row["toolchain"], schedule, seconds)
        elif seconds is not None:
            found[key] = replace(found[key], seconds=seconds)
    return list(found.values())


def _context(store: Store, row: Mapping[str, Any], target: Target) -> Context | None:
    """The context of a trial; None where its workload cannot be made any more."""
    policy = find(store, row["policy"])[1]
    try:
        workload = Workload.load(row["operator"], row["params"])
    except HeadstartError:
        return None
    return Context(workload, target, Policy(policy["cache"], policy["threads"], policy["clock"]))
