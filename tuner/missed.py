"""From shapes that a bundle lacked to workloads: what was called with these arrays, and is an id what it says it is?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from headstart_runtime.misses import Miss, MissFile, read
from schedules.operator import make_operator
from schedules.workload import Workload
from targets.errors import InputError, one_line
from tuning_db.misses import Missed

Signature = tuple[tuple[str, tuple[int, ...]], ...]


def read_misses(path: Path) -> MissFile:
    """What is in a file of misses.

    Raises:
        InputError: it cannot be read, or is none.
    """
    try:
        return read(path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{path} is no file of misses: it {error}") from None


def missed(file: MissFile, say: Callable[[str], None]) -> list[Missed]:
    """The workloads that the misses of a file are of, each once for a chip, the most missed first.

    Args:
        file: what was counted.
        say: told in a line of each miss that is left out, and why.
    """
    counts: dict[tuple[Workload, str], int] = {}
    for miss, count in file.counts.items():
        try:
            key = workload_of_miss(miss), miss.target
        except InputError as error:
            say(f"left out, a miss of {miss.operator}, {count} times: {error}")
        else:
            counts[key] = counts.get(key, 0) + count
    found = [Missed(w.id, w.operator, dict(w.params), target, count) for (w, target), count in counts.items()]
    return sorted(found, key=lambda each: (-each.count, each.workload, each.target))


def workload_of_miss(miss: Miss) -> Workload:
    """The workload that a call was of: the operator that the bundle has, with the parameters that these arrays need.

    Parameters are found by trying: one that would explain a size or a type that is another is changed, the one after
    which the most of the arrays are as they came, until all are.

    Raises:
        InputError: no such operator, or none of its instances that is found so takes these arrays.
    """
    found = base = _made(miss.operator, dict(miss.params))
    for _ in base.params:
        if _signature(found) == miss.inputs:
            return found
        tried = [_like(base, params) for params in _changed(found.params, _signature(found), miss.inputs)]
        nearest = min(filter(None, tried), key=lambda each: _wrong(each, miss.inputs), default=found)
        if _wrong(nearest, miss.inputs) >= _wrong(found, miss.inputs):
            break
        found = nearest
    if _signature(found) == miss.inputs:
        return found
    came = ", ".join(f"{dtype}{list(shape)}" for dtype, shape in miss.inputs)
    raise InputError(f"no {miss.operator} like {base.label} takes {came}")


def verified(miss: Missed) -> Workload:
    """The workload of a miss that somebody told of.

    Raises:
        InputError: there is no such operator, or its id is another.
    """
    found = _made(miss.operator, dict(miss.params))
    if found.id != miss.workload:
        raise InputError(f"{miss.operator} {found.label} is {found.id}, and not {miss.workload}")
    return found


def _made(operator: str, params: dict[str, Any]) -> Workload:
    try:
        return Workload.of(make_operator(operator, params))
    except InputError:
        raise
    except Exception as error:  # sizes that a definition or TVM cannot take, in many types of error
        raise InputError(f"{operator} cannot be made with these parameters: {one_line(error)}") from None


def _like(base: Workload, params: dict[str, Any]) -> Workload | None:
    try:
        return _made(base.operator, params)
    except InputError:
        return None


def _signature(workload: Workload) -> Signature:
    return tuple((argument.dtype, argument.shape) for argument in workload.input_arguments)


def _wrong(workload: Workload, came: Signature) -> int:
    """How many types and sizes are not those that came."""
    signature = _signature(workload)
    missing = sum(len(shape) + 1 for _, shape in signature[len(came) :] + came[len(signature) :])
    return missing + sum(
        (dtype != other) + abs(len(shape) - len(extents)) + sum(a != b for a, b in zip(shape, extents, strict=False))
        for (dtype, shape), (other, extents) in zip(signature, came, strict=False)
    )


def _changed(params: Mapping[str, Any], had: Signature, came: Signature) -> Iterator[dict[str, Any]]:
    """Parameters of which one has a value that would explain a type or a size that is another."""
    pairs = dict.fromkeys(
        (old, new)
        for (dtype, before), (other, after) in zip(had, came, strict=False)
        for old, new in ((dtype, other), *zip(before, after, strict=False))
        if old != new
    )
    for name, value in params.items():
        for old, new in pairs:
            if isinstance(value, str):
                if value == old:
                    yield {**params, name: new}
            elif type(value) is int and value and isinstance(old, int) and isinstance(new, int):
                # The size of an array is the parameter, a multiple of it, a part of it, or one more in a sum.
                if old % value == 0 and new % (old // value) == 0:
                    yield {**params, name: new // (old // value)}
                elif old and value % old == 0:
                    yield {**params, name: new * (value // old)}
                yield {**params, name: value + new - old}
