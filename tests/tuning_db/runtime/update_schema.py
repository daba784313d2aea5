"""Write the JSON Schema of a bundle's manifest again: ``python -m tests.tuning_db.runtime.update_schema``.

It is made from the records that read the manifest, so that it says what they do.
"""

from __future__ import annotations

import inspect
import json
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from headstart_runtime.argument import KernelArgument
from headstart_runtime.digests import FILE_NAME
from headstart_runtime.manifest import ROLES, SCHEMA, SYMBOL, TIERS, BundleKernel, BundlePolicy, Manifest, Provenance
from headstart_runtime.row_plan import AnyKernel

PUBLISHED = Path(__file__).parents[3] / "docs" / "bundle.schema.json"
TYPES = {str: "string", int: "integer", float: "number", bool: "boolean"}
# What types alone do not say and one field does.
FIELDS: dict[tuple[type, str], dict[str, Any]] = {
    (Manifest, "schema"): {"const": SCHEMA},
    (Manifest, "library"): {"pattern": f"^{FILE_NAME.pattern}$"},
    (BundlePolicy, "threads"): {"minimum": 1},
    (BundleKernel, "function"): {"pattern": f"^{SYMBOL.pattern}$"},
    (AnyKernel, "function"): {"pattern": f"^{SYMBOL.pattern}$"},
    (Provenance, "tier"): {"enum": list(TIERS)},
    (KernelArgument, "role"): {"enum": [*ROLES, "prepared"]},
    (KernelArgument, "shape"): {"items": {"type": "integer", "minimum": 1}},
}


def schema() -> dict[str, Any]:
    """The JSON Schema of ``manifest.json``."""
    records: dict[str, Any] = {}
    _record(Manifest, records)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": SCHEMA, **records.pop("Manifest")} | {
        "$defs": dict(sorted(records.items()))
    }


def text() -> str:
    """What is in the published file."""
    return json.dumps(schema(), indent=1) + "\n"


def _record(kind: type, records: dict[str, Any]) -> None:
    if kind.__name__ in records:
        return
    records[kind.__name__] = {}
    hints, told = typing.get_type_hints(kind), _attributes(kind)
    properties = {}
    for field in fields(kind):
        found = _type(hints[field.name], records) | FIELDS.get((kind, field.name), {})
        properties[field.name] = found | ({"description": told[field.name]} if field.name in told else {})
    records[kind.__name__] = {
        "description": _line((inspect.getdoc(kind) or "").partition("\n\n")[0]),
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _type(kind: Any, records: dict[str, Any]) -> dict[str, Any]:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if is_dataclass(kind) and isinstance(kind, type):
        _record(kind, records)
        return {"$ref": f"#/$defs/{kind.__name__}"}
    if origin is tuple:
        return {"type": "array", "items": _type(arguments[0], records)}
    if origin is types.UnionType:
        return {"anyOf": [_type(arguments[0], records), {"type": "null"}]}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object"} | (
            {} if arguments[1] is Any else {"additionalProperties": _type(arguments[1], records)}
        )
    return {"type": TYPES[kind]}


def _attributes(kind: type) -> dict[str, str]:
    """What the docstring of a record says of its fields."""
    listed = (inspect.getdoc(kind) or "").partition("Attributes:\n")[2]
    found = {}
    for names, said in re.findall(r"^    ([a-z_0-9, ]+): (.*(?:\n     .*)*)", listed, flags=re.M):
        found |= {name.strip(): _line(said) for name in names.split(",")}
    return found


def _line(said: str) -> str:
    return re.sub(r"\s+", " ", said).replace("``", "").strip()


if __name__ == "__main__":
    PUBLISHED.write_text(text())
