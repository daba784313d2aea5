"""Trained cost models, as the bytes that xgboost itself writes and reads."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from targets.digest import canonical_json
from tuning_db.connection import Connection
from tuning_db.records import new_id

# One night retrains hundreds of times; all of them can be trained again from the trials.
KEPT = 3


class CostModels(Connection):
    """The table ``cost_model``."""

    def save_cost_model(self, space: str, kind: str, trained_on: int, metrics: Mapping[str, Any], blob: bytes) -> str:
        """Keep a model for a space and a target kind (``llvm``, ``cuda``, ...); the oldest of more than three go.

        Args:
            space: the space whose schedules it ranks.
            kind: target kind.
            trained_on: number of trials.
            metrics: how good it is, JSON types.
            blob: UBJ.

        Returns:
            Its id.
        """
        id = new_id("f")
        with self.transaction():
            values = (id, space, kind, trained_on, canonical_json(dict(metrics)), blob, time.time())
            self.execute("INSERT INTO cost_model VALUES (?, ?, ?, ?, ?, ?, ?)", values)
            self.execute(
                "DELETE FROM cost_model WHERE space = ? AND kind = ? AND id NOT IN"
                " (SELECT id FROM cost_model WHERE space = ? AND kind = ? ORDER BY created DESC, id DESC LIMIT ?)",
                (space, kind, space, kind, KEPT),
            )
        return id

    def load_cost_model(self, space: str, kind: str) -> dict[str, Any] | None:
        """The latest model for a space and target kind, ``blob`` as bytes; None where there is none."""
        rows = self.rows(
            "SELECT * FROM cost_model WHERE space = ? AND kind = ? ORDER BY created DESC, id DESC LIMIT 1",
            (space, kind),
        )
        return {**rows[0], "metrics": json.loads(rows[0]["metrics"])} if rows else None

    def cost_models(self, kind: str) -> dict[str, dict[str, Any]]:
        """The latest model of each space that there is one of for a target kind, by space, as ``load_cost_model``."""
        names = self.rows("SELECT DISTINCT space FROM cost_model WHERE kind = ? ORDER BY space", (kind,))
        found = {row["space"]: self.load_cost_model(row["space"], kind) for row in names}
        return {space: model for space, model in found.items() if model is not None}
