"""The two files of MetaSchedule's JSON database, read from strangers: one program, or one schedule, a line.

A line of ``database_workload.json`` is ``[hash, program]``, the program as TVM's JSON in base64 behind its length. A
line of ``database_tuning_record.json`` is ``[workload, [trace, seconds, target, arguments]]``, the workload counted
from 0. Hashes and targets are not looked at, and seconds only say what to try first: what others measured is not
believed.
"""

from __future__ import annotations

import base64
import binascii
import copy
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schedules import tvm_json
from schedules.recognise import safely
from schedules.schedule import Schedule
from schedules.space import apply
from schedules.spaces.generic import Generic
from schedules.trace import check_trace, replay_schedule, to_json
from schedules.workload import Workload
from targets import Target
from targets.errors import InputError, one_line
from tuning_db.readers import parse

if TYPE_CHECKING:
    from tvm import tirx

WORKLOADS, RECORDS = "database_workload.json", "database_tuning_record.json"
MAX_LINE, MAX_LINES = 16 << 20, 100_000
# Arrays inside one another that a record has, and two more.
DEPTH = 10
LENGTH = 8


@dataclass(frozen=True)
class Known:
    """A program of a database.

    Attributes:
        workload: what it computes.
        function: its name there.
        blocks: name there, and in the workload's own program, of each of its blocks.
    """

    workload: Workload
    function: str
    blocks: dict[str, str]


@dataclass(frozen=True)
class Record:
    """A schedule of a database: of which program, its trace, and how long somebody says that it takes."""

    workload: int
    trace: Any
    seconds: float


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file, counted from 1, none longer than anybody needs.

    Raises:
        InputError: it cannot be read, or has a line or more lines than that.
    """
    try:
        with path.open("rb") as file:
            for number in range(1, MAX_LINES + 2):
                line = file.readline(MAX_LINE + 1)
                if not line:
                    return
                if len(line) > MAX_LINE:
                    raise InputError(f"{path}, line {number}: is longer than {MAX_LINE >> 20} MiB")
                if number > MAX_LINES:
                    raise InputError(f"{path} has more than {MAX_LINES:,} lines")
                yield number, line
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None


def read_program(line: bytes) -> Known:
    """The program in a line of workloads.

    Raises:
        InputError: it is none that can be tuned; the message says why.
    """
    fields = _array(line)
    if len(fields) != 2 or not all(isinstance(field, str) for field in fields):
        raise InputError("is not [hash, program]")
    function, func = _function(tvm_json.load(_text(fields[1])))
    workload = safely(func)
    if workload.instance is None:
        workload = replace(workload, label=_label(function, workload))
    here, there = _blocks(workload.prim_func), _blocks(func)
    # A program that is known as an operator may be written another way there; then no name means the same.
    same = len(here) == len(there) and len(set(there)) == len(there)
    return Known(workload, function, dict(zip(there, here, strict=True)) if same else {})


def read_record(line: bytes) -> Record:
    """The schedule in a line of records; whether its trace is allowed is for ``allowed`` to say.

    Raises:
        InputError: it is not a line of that form, or of something that did not run.
    """
    fields = _array(line)
    if len(fields) != 2 or type(fields[0]) is not int or not isinstance(fields[1], list) or len(fields[1]) != 4:
        raise InputError("is not [workload, [trace, seconds, target, arguments]]")
    workload, (trace, seconds, _, _) = fields
    if not isinstance(seconds, list) or not seconds or not all(_is_time(each) for each in seconds):
        raise InputError("has no times: it is of a schedule that did not run")
    return Record(workload, trace, sum(seconds) / len(seconds))


def allowed(known: Known, trace: Any) -> Any:
    """A trace with the names that the workload's own program has.

    Raises:
        InputError: it holds what no trace may.
    """
    renamed = _renamed(trace, known)
    check_trace(renamed)
    return renamed


def schedule_of(known: Known, trace: Any, target: Target) -> Schedule:
    """The schedule of the generic space that a trace is which is allowed.

    Raises:
        InputError: it does not fit the program.
    """
    try:
        replayed = to_json(replay_schedule(known.workload.prim_func, trace).trace)
        made = Schedule(Generic.name, Generic.version, {"trace": replayed})
        check_trace(replayed)
        apply(known.workload, made, target)
    except InputError:
        raise
    except Exception as error:  # from C++, in many types
        raise InputError(f"the trace cannot be replayed: {one_line(error)}") from None
    return made


def _array(line: bytes) -> list[Any]:
    try:
        # The reader of objects sees to depth, numbers, and names that come twice.
        found = parse(b'{"line":' + line.rstrip(b"\r\n") + b"}", DEPTH)
    except ValueError as error:
        raise InputError(str(error)) from None
    if set(found) != {"line"} or not isinstance(found["line"], list):
        raise InputError("is not a JSON array")
    return list(found["line"])


def _text(program: str) -> str:
    """What base64 holds behind the length of it."""
    try:
        data = base64.b64decode(program, validate=True)
        length, text = int.from_bytes(data[:LENGTH], "little"), data[LENGTH:]
        if length != len(text):
            raise InputError(f"the program has {len(text)} bytes, and says {length}")
        return text.decode()
    except (binascii.Error, UnicodeError, ValueError):
        raise InputError("the program is not text in base64") from None


def _function(module: Any) -> tuple[str, tirx.PrimFunc]:
    import tvm

    if not isinstance(module, tvm.IRModule):
        raise InputError("the program is no module")
    found = [(name.name_hint, func) for name, func in module.functions_items()]
    if len(found) != 1:
        raise InputError(f"the program has {len(found)} functions, and not one")
    return found[0]


def _label(function: str, workload: Workload) -> str:
    """For people: the name of the function, and the shapes of its arguments."""
    shapes = ["x".join(map(str, argument.shape)) for argument in workload.arguments]
    named = function if re.fullmatch(r"\w{1,64}", function, re.ASCII) else "main"
    return f"{named} {' '.join(shapes)}"[:200]


def _blocks(func: tirx.PrimFunc) -> list[str]:
    """The names of the blocks, outer ones first, in the order in which they are written."""
    import tvm_ffi
    from tvm.s_tir import SBlock

    names: list[str] = []
    tvm_ffi.structural_walk(func.body, (SBlock, lambda block: names.append(str(block.name_hint))))
    return names


def _renamed(trace: Any, known: Known) -> Any:
    """A trace with the names of the workload's own function and blocks; what is no trace stays as it is."""
    trace = copy.deepcopy(trace)
    instructions = trace[0] if isinstance(trace, list) and trace and isinstance(trace[0], list) else []
    for instruction in instructions:
        match instruction:
            case ["GetSBlock", _, [str(block), known.function], _]:
                instruction[2] = [_name(block, known.blocks), "main"]
    return trace


def _name(block: str, names: dict[str, str]) -> str:
    """The name of a block here; what a step made of one is called after it, as ``C_global`` after ``C``."""
    if block in names:
        return names[block]
    parents: Sequence[str] = sorted((name for name in names if block.startswith(f"{name}_")), key=len)
    return names[parents[-1]] + block[len(parents[-1]) :] if parents else block


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value < 1e6
