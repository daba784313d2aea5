"""JSON without what parsers differ in: no name twice in an object, no NaN and no infinity."""

from __future__ import annotations

from typing import Any


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    whole = dict(pairs)
    if len(whole) != len(pairs):
        raise ValueError("names a field twice")
    return whole


def _constant(name: str) -> None:
    raise ValueError(f"holds {name}, which is not JSON")


# Arguments of ``json.loads``; what is refused is a ValueError.
STRICT: dict[str, Any] = {"object_pairs_hook": _once, "parse_constant": _constant}
