"""What a referee is to judge, with all that it needs for that: nothing has to be looked up elsewhere."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tuning_db.claim import Claim
from tuning_db.store import Store
from tuning_db.windows import Viewer


@dataclass(frozen=True)
class Pending:
    """A claim to judge.

    Attributes:
        claim: itself.
        incumbent: the one to time it against, which leads for the same key; None where it leads itself.
        workload: the service's own words on the computation: ``id``, ``operator``, ``label``, ``params``,
            ``canonical``, ``flops`` and ``bytes``.
        target: the chip as its vendor declared it, ``Target.spec()``.
        toolchain: versions.
        policy: ``cache``, ``threads`` and ``clock``.
    """

    claim: Claim
    incumbent: Claim | None
    workload: dict[str, Any]
    target: dict[str, Any]
    toolchain: dict[str, str]
    policy: dict[str, Any]


def docket(store: Store, viewer: Viewer, target: str, limit: int, since: float = 0.0) -> list[Pending]:
    """What a referee is to judge, oldest first; arguments as ``Claims.pending``."""
    return [_pending(store, viewer, claim) for claim in store.pending(viewer, target, limit, since)]


def _pending(store: Store, viewer: Viewer, claim: Claim) -> Pending:
    key = claim.trial.key
    first = store.best(viewer, key)
    said = store.said(claim.release, key.workload, viewer.now)
    text = store.value("SELECT canonical FROM workload WHERE id = ?", (key.workload,))
    spec = store.value(
        "SELECT spec FROM declared_target WHERE release = ? AND vendor = ? AND target = ?",
        (claim.release, claim.vendor, key.target),
    ) or store.value("SELECT spec FROM target WHERE fingerprint = ?", (key.target,))
    versions = store.value("SELECT versions FROM toolchain WHERE id = ?", (key.toolchain,))
    (policy,) = store.rows("SELECT cache, threads, clock FROM policy WHERE id = ?", (key.policy,))
    return Pending(
        claim,
        first if first and first.trial.id != claim.trial.id else None,
        {"id": key.workload, "canonical": text, **(said or {})},
        json.loads(spec),
        json.loads(versions),
        policy,
    )
