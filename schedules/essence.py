"""What of a schedule makes a difference: equal essences are equal programs, though not the other way round.

A trace can say one thing in many ways: names of variables, true for 1, the probabilities of choices that are made,
look-ups that nobody uses. Whoever would fill a database with one schedule in a thousand disguises has to try harder
than that. Instructions that could change places are not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from schedules.schedule import Schedule
from targets.digest import canonical_json, digest

# Instructions without an effect of their own: nothing is lost with them where their outputs are not used.
LOOKUPS = frozenset(
    {
        "GetSBlock",
        "GetLoops",
        "GetChildBlocks",
        "GetProducers",
        "GetConsumers",
        "SamplePerfectTile",
        "SampleCategorical",
        "SampleComputeLocation",
        "EnterPostproc",
    }
)


def essence(schedule: Schedule) -> str:
    """Hash of what of a schedule makes a difference; hashes of schedules of different spaces differ.

    Args:
        schedule: if it has a trace, one that ``check_trace`` has passed.
    """
    config: Any = dict(schedule.config)
    if set(config) == {"trace"}:
        config = _plain(*config["trace"])
    return digest("e", canonical_json([schedule.space, schedule.version, config]))


def _plain(instructions: Sequence[Any], decisions: Sequence[Any]) -> list[Any]:
    """The instructions that matter, each with its decision, variables numbered in the order in which they are made."""
    chosen: dict[int, Any] = dict(decisions)
    values: dict[str, Any] = {}
    plain: list[Any] = []
    variables = 0
    for at in _needed(instructions):
        kind, inputs, attributes, outputs = instructions[at]
        if kind == "SampleCategorical":
            values[outputs[0]] = int(attributes[0][chosen[at]])
            continue
        if kind == "SamplePerfectTile":
            attributes = attributes[:1]  # the second bounds what is drawn, and this was
        inputs = _named(inputs, values)
        values |= {output: f"{output[0]}{variables + nth}" for nth, output in enumerate(outputs)}
        variables += len(outputs)
        plain.append([kind, inputs, _named(attributes, {}), len(outputs), _named(chosen.get(at), {})])
    return plain


def _needed(instructions: Sequence[Any]) -> list[int]:
    """Positions of the instructions with an effect, and of the look-ups that they use."""
    needed: list[int] = []
    used: set[str] = set()
    for at in range(len(instructions) - 1, -1, -1):
        kind, inputs, _, outputs = instructions[at]
        if kind not in LOOKUPS or used & set(outputs):
            needed.append(at)
            flat = (name for value in inputs for name in (value if isinstance(value, list) else [value]))
            used |= {name for name in flat if isinstance(name, str)}
    return needed[::-1]


def _named(value: Any, values: Mapping[str, Any]) -> Any:
    """A value with each variable as what it stands for, and flags as numbers."""
    if isinstance(value, list):
        return [_named(item, values) for item in value]
    if isinstance(value, bool):
        return int(value)
    return values.get(value, value) if isinstance(value, str) else value
