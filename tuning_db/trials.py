"""How a trial lies in its table."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from targets.digest import canonical_json
from tuning_db.connection import Connection
from tuning_db.records import Key, Status, Trial
from tuning_db.rules import trial_problem

COLUMNS = (
    "id",
    "workload",
    "target",
    "toolchain",
    "policy",
    "schedule",
    "status",
    "samples",
    "median",
    "spread",
    "error",
    "build_s",
    "evidence",
    "machine",
    "author",
    "job",
    "created",
)


def insert(db: Connection, trial: Trial) -> None:
    """Add a trial, in the caller's transaction where there is one.

    Raises:
        ValueError: it contradicts itself, names what is not there, or has the id of another trial.
    """
    if problem := trial_problem(trial):
        raise ValueError(f"trial {trial.id}: {problem}")
    marks = ", ".join("?" * len(COLUMNS))
    try:
        with db.transaction():
            db.execute(f"INSERT INTO trial ({', '.join(COLUMNS)}) VALUES ({marks})", to_row(trial))
    except sqlite3.IntegrityError as error:
        raise ValueError(f"trial {trial.id}: {error}") from error


def to_row(trial: Trial) -> tuple[Any, ...]:
    """The values of ``COLUMNS``."""
    key = trial.key
    return (
        trial.id,
        key.workload,
        key.target,
        key.toolchain,
        key.policy,
        trial.schedule,
        trial.status.value,
        canonical_json([float(sample) for sample in trial.samples]),
        trial.median,
        trial.spread,
        _storable(trial.error),
        trial.build_s,
        canonical_json(dict(trial.evidence)),
        trial.machine,
        trial.author,
        trial.job,
        trial.created,
    )


def from_row(row: Mapping[str, Any]) -> Trial:
    """The trial of a row that has at least ``COLUMNS``.

    Raises:
        ValueError: a status that is not known, or text that is not JSON (``check`` finds both).
    """
    return Trial(
        key=Key(row["workload"], row["target"], row["toolchain"], row["policy"]),
        schedule=row["schedule"],
        status=Status(row["status"]),
        samples=tuple(json.loads(row["samples"])),
        median=row["median"],
        spread=row["spread"],
        error=row["error"],
        build_s=row["build_s"],
        evidence=json.loads(row["evidence"]),
        machine=row["machine"],
        author=row["author"],
        job=row["job"],
        created=row["created"],
        id=row["id"],
    )


def _storable(text: str) -> str:
    """What a compiler or a dying process said may hold bytes that are no text."""
    return text.replace("\0", "?").encode("utf-8", "replace").decode()
