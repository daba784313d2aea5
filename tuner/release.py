"""Models of a release: as a publisher sends them, operators with shapes and calls, and as a vendor gets them.

There are no weights in it, and no code: a workload is the canonical text that its id is the hash of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from schedules.operator import make_operator
from schedules.workload import Workload
from targets.errors import InputError
from tuner.frontend.model import Model, ModelOp, Step


def release_models(models: Sequence[Model]) -> dict[str, Any]:
    """``models`` and ``workloads`` of a release, as ``POST /v1/releases`` takes them.

    Raises:
        InputError: an operator does not take the parameters it was given, or nothing in the models can be tuned.
    """
    workloads = {op.workload.id: op.workload for model in models for op in model.ops if op.tunable}
    if not workloads:
        raise InputError("no operator of these models can be tuned, so that there is nothing to race for")
    return {
        "models": [
            {
                "name": model.name,
                "source": model.source,
                "step": asdict(model.step),
                "ops": [
                    {
                        "name": op.name,
                        "operator": op.operator,
                        "params": dict(op.params),
                        "calls": op.calls,
                        "workload": op.workload.id if op.tunable else None,
                    }
                    for op in model.ops
                ],
            }
            for model in models
        ],
        "workloads": [
            {
                "operator": workload.operator,
                "label": workload.label,
                "params": dict(workload.params),
                "canonical": workload.canonical,
                "flops": workload.flops,
                "bytes": workload.bytes,
            }
            for workload in workloads.values()
        ],
    }


def models_of_release(release: Mapping[str, Any]) -> list[Model]:
    """The models of a release, made again from what ``GET /v1/releases/{id}`` answers.

    A workload is made here from operator and parameters, and must come to the same text as the publisher's: what is
    tuned is what is raced for. Models of one name are told apart by their phase.

    Raises:
        InputError: this Headstart makes something else of an operator, or does not know it.
    """
    texts = {row["id"]: row["canonical"] for row in release["workloads"]}
    names = [model["name"] for model in release["models"]]
    found = []
    for model in release["models"]:
        try:
            step = Step(**model["step"])
        except TypeError:
            raise InputError(f"model {model['name']} is at a step that this Headstart does not know") from None
        ops = tuple(_op(op, texts) for op in model["ops"])
        name = f"{model['name']}-{step.phase}" if names.count(model["name"]) > 1 else model["name"]
        found.append(Model(name, f"release {release['name']} of {release['publisher']}", step, ops))
    return found


def _op(op: Mapping[str, Any], texts: Mapping[str, str]) -> ModelOp:
    name, operator, params, id = op["name"], op["operator"], op.get("params"), op.get("workload")
    if not isinstance(params, dict):
        raise InputError(f"operator {name} has no parameters")
    if id is None:
        return ModelOp(name, operator, params, op["calls"])
    if operator == "primfunc":
        made = ModelOp(name, operator, params, op["calls"], Workload.load(operator, params, name))
    else:
        make_operator(operator, params)  # says what is wrong with them
        made = ModelOp(name, operator, params, op["calls"])
    if (made.workload.id, made.workload.canonical) != (id, texts.get(id)):
        raise InputError(f"operator {name}: this Headstart makes {made.workload.id} of it, and the release has {id}")
    return made
