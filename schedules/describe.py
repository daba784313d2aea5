"""What can be said of an operator without running it: for the command line and the documentation."""

from __future__ import annotations

import inspect
from dataclasses import MISSING, fields
from typing import Any

from schedules.operator import Operator, operators
from schedules.space import spaces_for
from schedules.workload import Workload
from targets import Target
from targets.errors import InputError


def operator_named(name: str) -> type[Operator]:
    """An operator's class.

    Raises:
        InputError: there is none of that name.
    """
    if name not in operators():
        raise InputError(f"unknown operator {name!r}; known: {', '.join(operators())}")
    return operators()[name]


def parameters(kind: type[Operator]) -> list[dict[str, Any]]:
    """Name, type, default (None where one must be given) and allowed values (None where any) of each parameter."""
    return [
        {
            "name": field.name,
            "type": str(field.type),
            "default": None if field.default is MISSING else field.default,
            "choices": list(kind.choices[field.name]) if field.name in kind.choices else None,
        }
        for field in fields(kind)
    ]


def summary(kind: type[Operator]) -> dict[str, Any]:
    """Name, one line, parameters, and which of them counts independent rows ("" where none does)."""
    return {"name": kind.name, "summary": kind.summary, "parameters": parameters(kind), "rows": kind.row_parameter}


def details(kind: type[Operator], target: Target) -> dict[str, Any]:
    """The summary, the definition, and for each example its arguments, cost and the spaces for it on a target."""
    return {
        **summary(kind),
        "definition": inspect.getdoc(kind),
        "target": target.name,
        "examples": [_example(operator, target) for operator in kind.examples()],
    }


def _example(operator: Operator, target: Target) -> dict[str, Any]:
    workload = Workload.of(operator)
    inputs = len(workload.input_arguments)
    return {
        "label": operator.label,
        "workload": workload.id,
        "params": operator.params(),
        "arguments": [
            {"name": a.name, "shape": list(a.shape), "dtype": a.dtype, "role": "input" if at < inputs else "output"}
            for at, a in enumerate(workload.arguments)
        ],
        "flops": workload.flops,
        "bytes": workload.bytes,
        "spaces": list(spaces_for(workload, target)),
    }


def markdown_table() -> str:
    """The table of ``docs/operators.md``, a row for each operator; what counts independent rows is in bold."""
    rows = ["| operator | what it computes | parameters |", "|---|---|---|"]
    for name, kind in operators().items():
        takes = ", ".join(_marked(kind, parameter) for parameter in parameters(kind))
        rows.append(f"| `{name}` | {kind.summary} | {takes} |")
    return "\n".join(rows) + "\n"


def _marked(kind: type[Operator], parameter: dict[str, Any]) -> str:
    text = f"`{_signature(parameter)}`"
    return f"**{text}**" if parameter["name"] == kind.row_parameter else text


def _signature(parameter: dict[str, Any]) -> str:
    default = parameter["default"]
    return parameter["name"] if default is None else f"{parameter['name']}={default}"


def with_table(page: str) -> str:
    """A page with the table between its two marks made again."""
    before, mark, rest = page.partition("<!-- generated: headstart operators list -->\n")
    return before + mark + markdown_table() + "<!-- end -->" + rest.partition("<!-- end -->")[2]


if __name__ == "__main__":
    import sys
    from pathlib import Path

    for name in sys.argv[1:]:
        Path(name).write_text(with_table(Path(name).read_text()))
