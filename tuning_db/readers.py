"""JSON from strangers: a reader takes a value and gives back what it stands for, or says in words what it must be."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from headstart_runtime.strict import STRICT
from targets.digest import canonical_json

Reader = Callable[[Any], Any]

# Names that people give: lower case only, so that no letter passes for another.
NAME = re.compile("[a-z0-9]+([._-][a-z0-9]+)*")
LONGEST_NAME = 64
LONGEST_NUMBER = 40
NO_CHARACTER = re.compile("[\0\ud800-\udfff]")
NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


# What a reader takes, as a JSON schema: less strict than the reader where a schema cannot say it.
_SCHEMAS: dict[Reader, dict[str, Any]] = {}


def described(reader: Reader, **schema: Any) -> Reader:
    """A reader, of which a schema of JSON is known from now on."""
    _SCHEMAS[reader] = schema
    return reader


def schema_of(reader: Reader) -> dict[str, Any]:
    """What a reader takes, as a JSON schema; one of anything where none is known."""
    return _SCHEMAS.get(reader, {})


def text(value: Any) -> str:
    """Text that SQLite keeps as it is: no NUL, no half of a surrogate pair."""
    if not isinstance(value, str):
        raise ValueError("must be text")
    if NO_CHARACTER.search(value):
        raise ValueError("holds a character that is none")
    return value


def count(value: Any) -> int:
    """A whole number that SQLite can keep, not negative."""
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError("must be a whole number from 0 to 2^63 - 1")
    return value


def number(value: Any) -> float:
    """A finite number."""
    if type(value) not in (int, float) or abs(value) > 1e300 or not math.isfinite(value):
        raise ValueError("must be a finite number")
    return float(value)


def flag(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def name(value: Any) -> str:
    """A name: lower-case letters and digits of ASCII, with single ``.``, ``_`` or ``-`` between them."""
    if not isinstance(value, str) or len(value) > LONGEST_NAME or not NAME.fullmatch(value):
        raise ValueError(
            f"must be at most {LONGEST_NAME} lower-case letters and digits, with single '.', '_' or '-' between them"
        )
    return value


def matching(pattern: str, what: str) -> Reader:
    """Text that a pattern matches whole; ``what`` says in words which."""
    compiled = re.compile(pattern)

    def read(value: Any) -> str:
        if not isinstance(value, str) or not compiled.fullmatch(value):
            raise ValueError(f"must be {what}")
        return value

    return described(read, type="string", pattern=f"^(?:{pattern})$", description=what)


def exactly(expected: Any) -> Reader:
    """This value and no other."""

    def read(value: Any) -> Any:
        if type(value) is not type(expected) or value != expected:
            raise ValueError(f"must be {expected!r}")
        return value

    return described(read, const=expected)


def plain(most: int) -> Reader:
    """Text of printable ASCII, so that it looks like what it is everywhere; at most ``most`` characters."""
    return matching(f"[ -~]{{0,{most}}}", f"at most {most} printable characters of ASCII")


def whole(low: int, high: int) -> Reader:
    """A whole number from ``low`` to ``high``."""

    def read(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return value

    return described(read, type="integer", minimum=low, maximum=high)


def between(low: float, high: float, unit: str = "a number") -> Reader:
    """A number from ``low`` to ``high``; neither NaN nor a boolean is one."""

    def read(value: Any) -> float:
        if type(value) not in (int, float) or not low <= value <= high:
            raise ValueError(f"must be {unit} from {low:g} to {high:g}")
        return float(value) + 0.0  # -0.0 becomes 0.0

    return described(read, type="number", minimum=low, maximum=high)


def optional(reader: Reader) -> Reader:
    """What ``reader`` reads, or null."""
    return described(
        lambda value: None if value is None else reader(value), anyOf=[schema_of(reader), {"type": "null"}]
    )


def mapping(value: Any) -> dict[str, Any]:
    """A JSON object with any content that canonical JSON can spell."""
    if not isinstance(value, dict):
        raise ValueError("must be an object")
    canonical_json(value)
    return value


for _reader, _schema in (
    (text, {"type": "string"}),
    (count, {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}),
    (number, {"type": "number"}),
    (flag, {"type": "boolean"}),
    (name, {"type": "string", "pattern": f"^{NAME.pattern}$", "maxLength": LONGEST_NAME}),
    (mapping, {"type": "object"}),
):
    described(_reader, **_schema)


def versions(value: Any) -> dict[str, str]:
    """A JSON object of texts."""
    return {text(name): text(version) for name, version in mapping(value).items()}


def sequence(reader: Reader) -> Reader:
    """A JSON array of what ``reader`` reads."""

    def read(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ValueError("must be an array")
        return tuple(map(reader, value))

    return described(read, type="array", items=schema_of(reader))


def entries(reader: Reader, most: int, least: int = 0) -> Reader:
    """As ``sequence``, of so many entries; an error names the entry, counted from 1."""

    def read(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or not least <= len(value) <= most:
            raise ValueError(f"must be an array of {least} to {most} entries")
        read_so_far = []
        for at, entry in enumerate(value, 1):
            try:
                read_so_far.append(reader(entry))
            except ValueError as error:
                raise ValueError(f"entry {at}: {error}") from None
        return tuple(read_so_far)

    return described(read, type="array", items=schema_of(reader), minItems=least, maxItems=most)


def record(fields: Mapping[str, Reader], may_have: Mapping[str, Reader] | None = None) -> Reader:
    """A JSON object of exactly these fields, and of those that it may have besides."""
    known = {**fields, **(may_have or {})}

    def read(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValueError("must be an object")
        if wrong := sorted((set(fields) - set(value)) | (set(value) - set(known))):
            # Names that a stranger chose: none may break the line or steer a terminal.
            named = ", ".join(ascii(field)[1:-1] for field in wrong)
            raise ValueError(f"must have the fields {', '.join(fields)}; missing or too many: {named}")
        found = {}
        for field, reader in known.items():
            if field in value:
                try:
                    found[field] = reader(value[field])
                except ValueError as error:
                    raise ValueError(f"{field}: {error}") from None
        return found

    properties = {field: schema_of(reader) for field, reader in known.items()}
    return described(read, type="object", properties=properties, required=list(fields), additionalProperties=False)


def having(fields: Mapping[str, Reader]) -> Reader:
    """A JSON object of at least these fields; others stay as they are, for whoever knows what they mean."""

    def read(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValueError("must be an object")
        found = dict(value)
        for field, reader in fields.items():
            if field not in value:
                raise ValueError(f"has no {field}")
            try:
                found[field] = reader(value[field])
            except ValueError as error:
                raise ValueError(f"{field}: {error}") from None
        return found

    return read


def table(keys: Reader, values: Reader, most: int) -> Reader:
    """A JSON object of at most so many entries, each with a name and a value that these readers take."""

    def read(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict) or len(value) > most:
            raise ValueError(f"must be an object of at most {most} entries")
        found = {}
        for at, (key, each) in enumerate(value.items(), 1):
            try:
                found[keys(key)] = values(each)
            except ValueError as error:
                raise ValueError(f"entry {at}: {error}") from None
        return found

    return described(read, type="object", additionalProperties=schema_of(values), maxProperties=most)


def one_of(*readers: Reader) -> Reader:
    """What the first of several readers takes that takes it."""

    def read(value: Any) -> Any:
        problems = []
        for reader in readers:
            try:
                return reader(value)
            except ValueError as error:
                problems.append(str(error))
        raise ValueError(", or ".join(problems))

    return described(read, anyOf=[schema_of(reader) for reader in readers])


def parse(line: bytes, depth: int | None = None) -> dict[str, Any]:
    """One JSON object in UTF-8, without repeated names, NaN or infinities.

    Args:
        line: the text.
        depth: how many arrays and objects may be inside one another; counted before anything is built of the text,
            and numbers of more than ``LONGEST_NUMBER`` characters are then refused as well.

    Raises:
        ValueError: it is anything else.
    """
    if depth is not None and _deeper(line, depth):
        raise ValueError(f"is nested too deeply: at most {depth} arrays and objects may be inside one another")
    numbers: dict[str, Any] = {} if depth is None else {"parse_int": _short(int), "parse_float": _short(float)}
    try:
        value = json.loads(line.decode(), **STRICT, **numbers)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error.msg} at column {error.colno}") from None
    if not isinstance(value, dict):
        raise ValueError("is not a JSON object")
    return value


def _deeper(line: bytes, depth: int) -> bool:
    """Whether brackets outside of strings are nested more than ``depth`` deep; exact where the text is JSON.

    Escapes go first, then strings, each in one pass, so that no text takes longer than its length.
    """
    rest = re.sub(rb'"[^"]*(?:"|\Z)', b"", re.sub(rb"\\.", b"", line, flags=re.DOTALL) if b"\\" in line else line)
    open_now = 0
    for bracket in rest.translate(None, NO_BRACKETS):
        open_now += 1 if bracket in b"[{" else -1
        if open_now > depth:
            return True
    return False


def _short(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """A reader of numbers that does not begin on endless ones."""

    def read(digits: str) -> Any:
        if len(digits) > LONGEST_NUMBER:
            raise ValueError(f"holds a number of {len(digits)} characters")
        return kind(digits)

    return read
