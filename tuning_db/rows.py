"""Every row of a table as the plain record that is hashed, checked and exported."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tuning_db.connection import Connection
from tuning_db.rules import OP_FIELDS
from tuning_db.store import PAGE

JSON_COLUMNS = ("params", "spec", "versions", "config", "step", "samples", "evidence")


def key_of(kind: str) -> str:
    """The column that names a row of this kind."""
    return {"target": "fingerprint", "champion": "trial", "claim": "trial"}.get(kind, "id")


def stored(db: Connection, kind: str) -> Iterator[dict[str, Any]]:
    """The rows of a table as they lie there, in the order of their ids, a page at a time."""
    key, after = key_of(kind), ""
    while page := db.rows(f"SELECT * FROM {kind} WHERE {key} > ? ORDER BY {key} LIMIT ?", (after, PAGE)):
        after = page[-1][key]
        yield from page


def decoded(db: Connection, kind: str, row: dict[str, Any]) -> dict[str, Any]:
    """A stored row as a record: JSON read, a model with its operators, a champion by its trial alone.

    Raises:
        ValueError: a field that should be JSON is not.
    """
    if kind == "champion":
        return {"trial": row["trial"]}
    whole = {name: json.loads(v) if name in JSON_COLUMNS else v for name, v in row.items() if name != "seq"}
    if kind == "model":
        columns = ", ".join(OP_FIELDS)
        ops = db.rows(f"SELECT {columns} FROM model_op WHERE model = ? ORDER BY position", (row["id"],))
        whole["ops"] = [{**op, "params": json.loads(op["params"])} for op in ops]
    return whole
