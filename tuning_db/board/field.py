"""What a viewer may know of a release: its models, the chips and what these can do at best, and who is called what.

Nothing is taken from rows that what is hidden could have changed. Of a workload counts what the release's publisher
says; of a chip what the catalogue says, or else what those vendors declare of whose claims the viewer may know.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from targets import Target
from targets.errors import InputError
from targets.target import Peaks
from tuning_db.board.records import About, Chip, Model, Operator, Setup
from tuning_db.screening import Computation, catalogue_by_fingerprint, floor
from tuning_db.store import Store
from tuning_db.windows import PUBLIC, Viewer, public_model, visible_time


@dataclass(frozen=True)
class Field:
    """A release as a viewer may know it at a moment; make one with ``enter``."""

    store: Store
    viewer: Viewer
    release: About
    past: bool

    @property
    def at(self) -> float | None:
        """The moment that was asked for; None for now."""
        return self.release.at if self.past else None

    @cached_property
    def models(self) -> tuple[Model, ...]:
        """The models; of the public those that anybody claimed something for."""
        return tuple(self._model(row) for row in self._rows)

    @cached_property
    def names(self) -> dict[str, str]:
        """Names of accounts by id; what is shown of it is for the caller to choose."""
        return {row["id"]: row["name"] for row in self.store.rows("SELECT id, name FROM account")}

    @cached_property
    def setups(self) -> dict[str, Setup]:
        """Policies by id."""
        rows = self.store.rows("SELECT id, cache, threads, clock FROM policy")
        return {row["id"]: Setup(row["id"], row["cache"], row["threads"], row["clock"]) for row in rows}

    @cached_property
    def disputes(self) -> list[dict[str, Any]]:
        """Claims that referees disagree about, as ``Leads.disputes`` has them."""
        return self.store.disputes(self.viewer, self.release.id, self.release.at)

    def chip(self, fingerprint: str) -> Chip:
        """A chip."""
        known = catalogue_by_fingerprint()
        if fingerprint in known:
            return Chip(fingerprint, known[fingerprint].name, "catalogue" if known[fingerprint].peaks else "unknown")
        target = self._declared.get(fingerprint)
        if target is None:
            return Chip(fingerprint, fingerprint, "unknown")
        # Nobody's own chip is to pass for one that everybody knows.
        taken = target.name in {one.name for one in known.values()}
        name = f"{target.name} ({fingerprint})" if taken else target.name
        return Chip(fingerprint, name, "declared" if target.peaks else "unknown")

    def floors(self, model: Model, fingerprint: str, cache: str) -> dict[str, float] | None:
        """Least possible seconds of a call, by workload; None where the chip's peaks are not known."""
        target = catalogue_by_fingerprint().get(fingerprint) or self._declared.get(fingerprint)
        if target is None or target.peaks is None:
            return None
        costs = self._computations
        return {one.workload: floor(costs[one.workload], target, cache) or 0.0 for one in model.operators}

    def targets(self) -> set[str]:
        """Chips that the viewer's window is open for by name, or, to the publisher, that anybody is invited for."""
        rows = self.store.rows(
            "SELECT DISTINCT o.target FROM opening o JOIN release r ON r.id = o.release WHERE r.id = :release"
            " AND o.target <> '' AND (r.publisher = :account OR (o.account = :account AND o.opens <= :now))",
            {**self.viewer.values, "release": self.release.id},
        )
        return {row["target"] for row in rows}

    @cached_property
    def _declared(self) -> dict[str, Target]:
        rows = self.store.rows(
            "SELECT d.target, d.spec FROM declared_target d JOIN release r ON r.id = d.release"
            f" WHERE d.release = :release AND {visible_time('d', 'r')} ORDER BY d.target, d.spec",
            {**self.viewer.values, "release": self.release.id},
        )
        said: dict[str, list[Target]] = {}
        for row in rows:
            said.setdefault(row["target"], []).append(Target.from_spec(json.loads(row["spec"])))
        return {fingerprint: _together(targets) for fingerprint, targets in said.items()}

    @cached_property
    def _said(self) -> dict[str, dict[str, Any]]:
        workloads = {op["workload"] for row in self._rows for op in row["ops"] if op["workload"]}
        now = self.viewer.now
        return {one: self.store.said(self.release.id, one, now) or {} for one in sorted(workloads)}

    @cached_property
    def _computations(self) -> dict[str, Computation]:
        return {workload: Computation.of_row(said) for workload, said in self._said.items()}

    @cached_property
    def _rows(self) -> list[dict[str, Any]]:
        if self.release.id != PUBLIC:
            return self.store.models_of(self.viewer, self.release.id)
        rows = self.store.rows(
            "SELECT m.id, m.name, m.step FROM model m WHERE m.id IN (SELECT p.model FROM model_op p WHERE p.workload IN"
            f" (SELECT workload FROM lead_history WHERE release = '{PUBLIC}')) AND {public_model('m.id')}"
            " ORDER BY m.name, m.id",
            self.viewer.values,
        )
        return [{**row, "step": json.loads(row["step"]), "ops": self.store.ops_of(row["id"])} for row in rows]

    def _model(self, row: Mapping[str, Any]) -> Model:
        merged: dict[str, Operator] = {}
        for op in row["ops"]:
            if not op["workload"] or not op["calls"]:
                continue
            same, said = merged.get(op["workload"]), self._said[op["workload"]]
            names, calls = (same.names, same.calls) if same else ((), 0)
            merged[op["workload"]] = Operator(
                op["workload"], (*names, op["name"]), op["operator"], said.get("label", ""), calls + op["calls"]
            )
        outside = sum(op["calls"] for op in row["ops"] if not op["workload"])
        return Model(row["id"], row["name"], row["step"], tuple(merged.values()), outside)


def enter(store: Store, viewer: Viewer, release: str, at: float | None = None) -> Field | None:
    """A release by id or name, as the viewer may know it.

    Args:
        at: the moment that it is wanted of: what the viewer may know now of how it was then. Now unless said.

    Returns:
        None where there is no such release, or none that the viewer could know of.

    Raises:
        InputError: the moment is to come; or several open releases have the name.
    """
    if at is not None and not 0 <= at <= viewer.now:
        raise InputError("a board shows what was and what is: give a time from 1970 to now")
    moment = viewer.now if at is None else at
    if release == PUBLIC:
        return Field(store, viewer, About(PUBLIC, PUBLIC, 0.0, False, moment), at is not None)
    found = store.release(viewer, release)
    if found is None:
        return None
    return Field(store, viewer, About(found.id, found.name, found.launch, found.rules.sealed, moment), at is not None)


def chosen(chips: Iterable[Chip], target: str | None) -> set[str]:
    """Fingerprints of those of ``chips`` that are called ``target``, by name or fingerprint; all where it is None."""
    return {chip.fingerprint for chip in chips if target is None or target in (chip.name, chip.fingerprint)}


def _together(targets: list[Target]) -> Target:
    """A chip of which several vendors say something: the best of what they say of its peaks.

    A floor must be true before it is tight, and nobody comes nearer to the roof by making it low.
    """
    first = min(targets, key=lambda target: target.name)
    said = [target.peaks for target in targets if target.peaks]
    if not said:
        return first
    flops = {name: max(one.bound(name) for one in said) for name in {name for one in said for name in one.flops}}
    cache = max(one.cache for one in said) if all(one.cache for one in said) else 0.0
    return replace(first, peaks=Peaks(flops, max(one.dram for one in said), cache, "declared"))
