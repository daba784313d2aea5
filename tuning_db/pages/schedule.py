"""A schedule for people: knobs by name, or the steps of a trace, one a line."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from schedules.space import spaces

# Attributes are what TVM calls them; a step has them in this order.
NAMES = {
    "GetSBlock": ("name", "function"),
    "SamplePerfectTile": ("n", "innermost"),
    "SampleCategorical": ("candidates", "probabilities"),
    "Annotate": ("key",),
    "Unannotate": ("key",),
    "CacheRead": ("buffer", "scope"),
    "CacheWrite": ("buffer", "scope"),
    "SetScope": ("buffer", "scope"),
    "Fuse": ("preserve_unit",),
    "Split": ("preserve_unit", "no_bounds"),
    "ComputeAt": ("preserve_unit", "index"),
    "ReverseComputeAt": ("preserve_unit", "index"),
    "RFactor": ("axis",),
}


@dataclass(frozen=True)
class Plan:
    """What a page shows of a schedule.

    Attributes:
        id, space, version: of it.
        knobs: name and value, where it has knobs.
        steps: lines, where it has a trace.
        about: what the space says of itself, where this Headstart has it.
    """

    id: str
    space: str
    version: int
    knobs: tuple[tuple[str, str], ...]
    steps: tuple[str, ...]
    about: str


def plan(id: str, space: str, version: int, config: Mapping[str, Any]) -> Plan:
    """Read a stored schedule; nothing of it is trusted to be in order."""
    known = spaces().get(space)
    about = (
        " ".join((inspect.getdoc(known) or "").replace("``", "").split()) if known and known.version == version else ""
    )
    trace = config.get("trace")
    if isinstance(trace, list) and len(trace) == 2 and all(isinstance(part, list) for part in trace):
        return Plan(id, space, version, (), tuple(_steps(*trace)), about)
    return Plan(id, space, version, tuple((name, _value(value)) for name, value in sorted(config.items())), (), about)


def _steps(instructions: Sequence[Any], decisions: Sequence[Any]) -> list[str]:
    chosen = {one[0]: one[1] for one in decisions if isinstance(one, list) and len(one) == 2 and _hashable(one[0])}
    lines = []
    for at, instruction in enumerate(instructions):
        if not (isinstance(instruction, list) and len(instruction) == 4):
            lines.append(_value(instruction))
            continue
        kind, inputs, attributes, outputs = instruction
        names = NAMES.get(kind, ()) if isinstance(kind, str) else ()
        given = [_value(one) for one in inputs] if isinstance(inputs, list) else [_value(inputs)]
        for nth, attribute in enumerate(attributes if isinstance(attributes, list) else [attributes]):
            given.append(f"{names[nth]}={_value(attribute)}" if nth < len(names) else _value(attribute))
        made = ", ".join(map(_value, outputs)) if isinstance(outputs, list) else _value(outputs)
        call = f"{_value(kind)}({', '.join(given)})"
        decided = f"  # chose {_value(chosen[at])}" if at in chosen else ""
        lines.append(f"{made} = {call}{decided}" if made else f"{call}{decided}")
    return lines


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return str(value)


def _hashable(value: Any) -> bool:
    return isinstance(value, (int, str))
