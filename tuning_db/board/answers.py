"""Boards as a service answers them, read back into what they were; what a service sends may be anything."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

from tuning_db.readers import Reader, flag, mapping, number, text


@cache
def reader(kind: Any) -> Reader:
    """A reader of JSON that was made with ``asdict``, by the types of the fields; fields that it does not know pass.

    Raises:
        ValueError: when it reads, where something is not as it must be.
    """
    if is_dataclass(kind):
        return _record(kind)
    if kind in PLAIN:
        return PLAIN[kind]
    origin, parts = get_origin(kind), get_args(kind)
    if origin is types.UnionType:
        (other,) = (part for part in parts if part is not types.NoneType)
        return lambda value: None if value is None else reader(other)(value)
    if origin is tuple:
        return lambda value: tuple(reader(parts[0])(one) for one in _of(list, value))
    assert origin is Mapping
    return lambda value: {name: reader(parts[1])(one) for name, one in _of(dict, value).items()}


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise ValueError("must be a whole number")
    return value


PLAIN: dict[Any, Reader] = {
    str: text,
    float: number,
    int: _whole,
    bool: flag,
    Mapping[str, object]: mapping,
}


def _record(kind: Any) -> Reader:
    hints = get_type_hints(kind)

    def read(value: Any) -> Any:
        given = _of(dict, value)
        found = {}
        for one in fields(kind):
            if one.name not in given:
                raise ValueError(f"has no {one.name}")
            try:
                found[one.name] = reader(hints[one.name])(given[one.name])
            except ValueError as error:
                raise ValueError(f"{one.name}: {error}") from None
        return kind(**found)

    return read


def _of(kind: type, value: Any) -> Any:
    if not isinstance(value, kind):
        raise ValueError("must be an array" if kind is list else "must be an object")
    return value
