"""Models that were tuned: at which step, with which operators."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from targets.digest import canonical_json
from targets.errors import InputError
from tuning_db.connection import Connection
from tuning_db.rules import OP_FIELDS, listed_ops, model_id


class Models(Connection):
    """The tables ``model`` and ``model_op``."""

    def add_model(
        self,
        name: str,
        source: str,
        step: Mapping[str, Any],
        ops: Sequence[Mapping[str, Any]],
        used: float | None = None,
    ) -> str:
        """Keep a model at one step; adding it again makes it the latest of its name.

        Args:
            name: what people call it.
            source: where it came from, with the revision where there is one.
            step: phase, tokens and so on, JSON types.
            ops: in the model's order: ``name``, ``operator``, ``params``, ``calls`` and ``workload``, which is the
                id of a workload that is in the database, or None for an operator that is not known here.
            used: seconds since 1970, now unless said.

        Returns:
            Its id.
        """
        listed = listed_ops(ops)
        row = {"name": name, "source": source, "step": dict(step), "ops": listed}
        id = model_id(row)
        with self.transaction():
            self.execute(
                "INSERT INTO model (id, name, source, step, used) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET used = max(used, excluded.used)",
                (id, name, source, canonical_json(row["step"]), time.time() if used is None else used),
            )
            for position, op in enumerate(listed):
                values = [canonical_json(op[field]) if field == "params" else op[field] for field in OP_FIELDS]
                self.execute(
                    "INSERT INTO model_op (model, position, name, workload, operator, params, calls)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (model, position) DO NOTHING",
                    (id, position, *values),
                )
        return id

    def model(self, name: str, step: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """A model with its ``ops``, by id or name: the one last added, or the one at ``step``.

        Raises:
            InputError: none of that name, or none of it at that step.
        """
        found = self.rows("SELECT * FROM model WHERE name = ? OR id = ? ORDER BY used DESC", (name, name))
        if not found:
            raise InputError(f"no model {name!r} in {self.path}; it has {', '.join(self.model_names()) or 'none'}")
        for row in found:
            row["step"] = json.loads(row["step"])
            if step is None or row["step"] == dict(step):
                return {**row, "ops": self.ops_of(row["id"])}
        raise InputError(f"model {name!r} is in {self.path}, but not at this step: {canonical_json(dict(step or {}))}")

    def model_names(self) -> list[str]:
        """Names of the models, each once."""
        return [row["name"] for row in self.rows("SELECT DISTINCT name FROM model ORDER BY name")]

    def models(self) -> list[dict[str, Any]]:
        """Every model with its ``ops``, by id."""
        rows = self.rows("SELECT * FROM model ORDER BY id")
        return [{**row, "step": json.loads(row["step"]), "ops": self.ops_of(row["id"])} for row in rows]

    def ops_of(self, model: str) -> list[dict[str, Any]]:
        """The operators of a model, by its id, in its order."""
        rows = self.rows(f"SELECT {', '.join(OP_FIELDS)} FROM model_op WHERE model = ? ORDER BY position", (model,))
        return [{**row, "params": json.loads(row["params"])} for row in rows]
