"""Misses: calls of a shape that a bundle has no kernel for, counted and kept in a file that tells no more than that.

A file holds how often which operator was wanted at which shape on which chip: no times, no data, nothing of a user. Its
counts only grow, and ``id`` is drawn when it is made, so that whoever is told of a file twice counts nothing twice.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headstart_runtime.strict import STRICT

SCHEMA = "headstart-misses/1"
# Different misses that are counted and that a file holds; what comes after them is not counted.
MOST = 1000
MAX_FILE = 4 << 20
MAX_COUNT = 2**53

FILE_ID = re.compile("[0-9a-f]{32}")
OPERATOR = re.compile("[a-z][a-z0-9_]{0,63}")
DTYPE = re.compile("[a-z][a-z0-9_]{0,31}")
TARGET = re.compile("c[0-9a-f]{24}")
TEXT = re.compile("[ -~]{0,64}")
MAX_PARAMS, MAX_INPUTS, MAX_RANK, MAX_SIZE = 32, 32, 8, 2**48


@dataclass(frozen=True)
class Miss:
    """A shape that an operator was called with and that the bundle lacks.

    Attributes:
        operator, params: of a kernel that the bundle has instead.
        inputs: dtype and shape of each array that came.
        target: fingerprint of the chip that the bundle is for.
    """

    operator: str
    params: Mapping[str, Any] = field(hash=False)
    inputs: tuple[tuple[str, tuple[int, ...]], ...]
    target: str

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON types."""
        inputs = [{"dtype": dtype, "shape": list(shape)} for dtype, shape in self.inputs]
        return {"operator": self.operator, "params": dict(self.params), "inputs": inputs, "target": self.target}


@dataclass(frozen=True)
class MissFile:
    """What is in a file.

    Attributes:
        id: what the file is known again by.
        counts: how often each miss happened.
    """

    id: str
    counts: Mapping[Miss, int]

    def dumps(self) -> str:
        """The text of the file."""
        misses = [{**miss.to_json(), "count": count} for miss, count in self.counts.items()]
        lines = ",\n".join(f"  {line}" for line in sorted(json.dumps(miss, sort_keys=True) for miss in misses))
        return f'{{"schema": "{SCHEMA}", "id": "{self.id}", "misses": [\n{lines}\n]}}\n'


class Misses:
    """Counts misses of this process, from any thread."""

    def __init__(self) -> None:
        self._counts: dict[Miss, int] = {}
        self._written: dict[Miss, int] = {}
        self._lock = threading.Lock()
        self._writing = threading.Lock()

    @property
    def counts(self) -> dict[Miss, int]:
        """How often each miss happened in this process."""
        with self._lock:
            return dict(self._counts)

    def add(self, miss: Miss, count: int = 1) -> None:
        """Count a miss, but for one that no file could hold; of more than ``MOST`` different ones, the first are."""
        with self._lock:
            if miss in self._counts or (len(self._counts) < MOST and _can_be_kept(miss)):
                self._counts[miss] = self._counts.get(miss, 0) + count

    def write(self, path: str | Path) -> MissFile:
        """Add what was counted since the last time to a file, which other processes may add to as well.

        Args:
            path: the file, made where there is none.

        Returns:
            What is in it then.

        Raises:
            ValueError: what is there is no file of misses.
            OSError: it cannot be written.
        """
        path = Path(path)
        with self._writing, _alone(path):
            counts = self.counts
            new = {miss: count - self._written.get(miss, 0) for miss, count in counts.items()}
            made = added(read(path) if path.exists() else MissFile(secrets.token_hex(16), {}), new)
            _replace(path, made.dumps())
            self._written = counts
        return made


def added(file: MissFile, counts: Mapping[Miss, int]) -> MissFile:
    """A file with these counts added to its own; of more than ``MOST`` misses, those that it has stay."""
    found = dict(file.counts)
    for miss, count in counts.items():
        if count and (miss in found or len(found) < MOST):
            found[miss] = min(found.get(miss, 0) + count, MAX_COUNT)
    return MissFile(file.id, found)


def read(path: str | Path) -> MissFile:
    """What is in a file.

    Raises:
        ValueError: it is no file of misses; the message says what is wrong, and where.
        OSError: it cannot be read.
    """
    with Path(path).open("rb") as file:
        data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise ValueError(f"is longer than {MAX_FILE >> 20} MiB")
    return loads(data)


def loads(data: bytes) -> MissFile:
    """As ``read``, of the bytes of a file."""
    try:
        value = json.loads(data.decode(), **STRICT)
    except (RecursionError, UnicodeDecodeError, json.JSONDecodeError):
        raise ValueError("is not JSON in UTF-8") from None
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        raise ValueError(f"is not of the schema {SCHEMA}")
    _require_fields(value, {"schema", "id", "misses"}, "the file")
    id, misses = value["id"], value["misses"]
    if not _matches(FILE_ID, id):
        raise ValueError("id must be 32 hexadecimal digits")
    if not isinstance(misses, list) or len(misses) > MOST:
        raise ValueError(f"misses must be an array of at most {MOST}")
    counts: dict[Miss, int] = {}
    for at, entry in enumerate(misses, 1):
        try:
            miss, count = _miss(entry)
            if miss in counts:
                raise ValueError("is there twice")
        except ValueError as error:
            raise ValueError(f"miss {at}: {error}") from None
        counts[miss] = count
    return MissFile(id, counts)


def _miss(entry: Any) -> tuple[Miss, int]:
    if not isinstance(entry, dict):
        raise ValueError("must be an object")
    _require_fields(entry, {"operator", "params", "inputs", "target", "count"}, "it")
    operator, params, inputs, target, count = (
        entry[name] for name in ("operator", "params", "inputs", "target", "count")
    )
    if not _matches(OPERATOR, operator):
        raise ValueError("operator must be the name of one")
    if not isinstance(params, dict) or len(params) > MAX_PARAMS:
        raise ValueError(f"params must be an object of at most {MAX_PARAMS}")
    for name, value in params.items():
        if not _matches(OPERATOR, name) or not _is_param(value):
            raise ValueError(f"params: {ascii(name)[:40]} must be a name with a number, a truth value or a short text")
    if not isinstance(inputs, list) or not 0 < len(inputs) <= MAX_INPUTS:
        raise ValueError(f"inputs must be an array of 1 to {MAX_INPUTS}")
    if not _matches(TARGET, target):
        raise ValueError("target must be the fingerprint of a chip")
    if type(count) is not int or not 0 < count <= MAX_COUNT:
        raise ValueError(f"count must be a whole number from 1 to {MAX_COUNT}")
    return Miss(operator, params, tuple(map(_input, inputs)), target), count


def _can_be_kept(miss: Miss) -> bool:
    try:
        _miss({**miss.to_json(), "count": 1})
    except ValueError:
        return False
    return True


def _input(value: Any) -> tuple[str, tuple[int, ...]]:
    if not isinstance(value, dict):
        raise ValueError("inputs: each must be an object")
    _require_fields(value, {"dtype", "shape"}, "inputs: each")
    dtype, shape = value["dtype"], value["shape"]
    if not _matches(DTYPE, dtype):
        raise ValueError("inputs: dtype must be the name of one")
    sizes = isinstance(shape, list) and len(shape) <= MAX_RANK
    if not sizes or not all(type(size) is int and 0 <= size <= MAX_SIZE for size in shape):
        raise ValueError(f"inputs: shape must be at most {MAX_RANK} whole numbers from 0 to {MAX_SIZE}")
    return dtype, tuple(shape)


def _is_param(value: Any) -> bool:
    if isinstance(value, str):
        return TEXT.fullmatch(value) is not None
    return isinstance(value, bool) or (isinstance(value, (int, float)) and abs(value) <= MAX_SIZE)


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _require_fields(value: Mapping[str, Any], wanted: set[str], what: str) -> None:
    if wrong := sorted(wanted ^ set(value)):
        named = ", ".join(ascii(name)[1:-1][:40] for name in wrong[:5])
        raise ValueError(f"{what} has fields missing or too many: {named}")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Have no other process add to the file meanwhile, where the system has locks of files."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    # The folder is locked, so that no file is left that says nothing.
    folder = os.open(path.absolute().parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _replace(path: Path, text: str) -> None:
    """Have a file with this text in the place of the one that is there, whole or not at all."""
    descriptor, part = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        os.unlink(part)
        raise
