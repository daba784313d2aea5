"""The lines of an export, and how a line from a stranger is read: strictly, or not at all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tuning_db.readers import Reader, count, mapping, number, optional, record, sequence, text, versions
from tuning_db.records import Key, Status, Trial
from tuning_db.rules import id_problem, trial_problem

FORMAT = 1


def status(value: Any) -> Status:
    """A known status."""
    try:
        return Status(value)
    except ValueError:
        raise ValueError(f"must be one of {', '.join(s.value for s in Status)}") from None


def trial_id(value: Any) -> str:
    """The id of a trial, as ``new_id`` makes them."""
    if not re.fullmatch("t[0-9a-f]{28}", text(value)):
        raise ValueError("must be t and 28 hexadecimal digits")
    return str(value)


OP = {"name": text, "workload": optional(text), "operator": text, "params": mapping, "calls": count}

# In the order in which an export has them: what is named comes before what names it.
KINDS: dict[str, Reader] = {
    "workload": record(
        {
            "id": text,
            "operator": text,
            "label": text,
            "params": mapping,
            "canonical": text,
            "flops": count,
            "bytes": count,
        }
    ),
    "target": record({"fingerprint": text, "name": text, "vendor": text, "spec": mapping}),
    "toolchain": record({"id": text, "versions": versions}),
    "policy": record({"id": text, "cache": text, "threads": count, "clock": text}),
    "schedule": record({"id": text, "space": text, "version": count, "config": mapping}),
    "model": record(
        {"id": text, "name": text, "source": text, "step": mapping, "used": number, "ops": sequence(record(OP))}
    ),
    "trial": record(
        {
            "id": trial_id,
            "workload": text,
            "target": text,
            "toolchain": text,
            "policy": text,
            "schedule": text,
            "status": status,
            "samples": sequence(number),
            "median": optional(number),
            "spread": optional(number),
            "error": text,
            "build_s": number,
            "evidence": mapping,
            "machine": text,
            "author": text,
            "job": text,
            "created": number,
        }
    ),
    "champion": record({"trial": trial_id}),
}


def read_record(kind: Any, value: dict[str, Any]) -> dict[str, Any]:
    """The fields of a record of this kind, with its id recomputed.

    Raises:
        ValueError: an unknown kind, wrong fields, or content that does not hash to its id.
    """
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"unknown kind {str(kind)[:40]!r}; known: {', '.join(KINDS)}")
    try:
        whole: dict[str, Any] = KINDS[kind](value)
        if problem := id_problem(kind, whole):
            raise ValueError(problem)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    return whole


def trial_of(row: Mapping[str, Any]) -> Trial:
    """The trial of a record that ``read_record`` read.

    Raises:
        ValueError: it contradicts itself.
    """
    rest = {name: value for name, value in row.items() if name not in Key.__dataclass_fields__}
    trial = Trial(key=Key(row["workload"], row["target"], row["toolchain"], row["policy"]), **rest)
    if problem := trial_problem(trial):
        raise ValueError(problem)
    return trial
