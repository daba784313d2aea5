"""What a bundle says of itself: ``manifest.json``, written from and read back into plain records, strictly."""

from __future__ import annotations

import json
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import cache
from typing import Any

from headstart_runtime.argument import KernelArgument
from headstart_runtime.digests import FILE_NAME
from headstart_runtime.errors import InputError
from headstart_runtime.row_plan import BundleFamily, check_families
from headstart_runtime.strict import STRICT

SCHEMA = "headstart-bundle/3"
SYMBOL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
ROLES = ("input", "output")
TIERS = ("measured", "claimed", "replayed", "reproduced")


@dataclass(frozen=True)
class BundleModel:
    """The model a bundle was built for: name, where it came from, and the step (phase, tokens, ...)."""

    name: str
    source: str
    step: Mapping[str, Any]


@dataclass(frozen=True)
class BundleTarget:
    """The chip it was built for: the fields of a target that say what code is made for it, and

    Attributes:
        arch: architecture: ``x86_64``, ``aarch64``, ...
        instructions: extensions that the code may use, in LLVM's spelling; a CPU that lacks one cannot run it.
    """

    fingerprint: str
    name: str
    vendor: str
    model: str
    tvm: Mapping[str, Any]
    cores: int
    vector_bits: int
    features: tuple[str, ...]
    l1d: int
    l2: int
    l3: int
    arch: str
    instructions: tuple[str, ...]


@dataclass(frozen=True)
class BundlePolicy:
    """How the times were taken; ``threads`` is also how many threads the kernels are built to use."""

    id: str
    cache: str
    threads: int
    clock: str


@dataclass(frozen=True)
class BundleToolchain:
    """What compiled it, and what the times were taken with."""

    id: str
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Provenance:
    """Where a champion's time comes from: trial, who, on which machine, when (seconds since 1970).

    ``tier`` is how far it is trusted: ``measured`` in the database that the bundle was built from, or what a claim has:
    ``claimed``, ``replayed``, ``reproduced``.
    """

    trial: str
    tier: str
    author: str
    machine: str
    created: float


@dataclass(frozen=True)
class BundleSchedule:
    """The schedule a kernel was compiled from."""

    id: str
    space: str
    version: int
    config: Mapping[str, Any]


@dataclass(frozen=True)
class BundleKernel:
    """One kernel.

    Attributes:
        names: of the model's operators that it computes.
        workload, operator, label, params: what it computes.
        function: its symbol in the library.
        arguments: inputs, then outputs.
        weights: names of the inputs that stay the same from call to call.
        prepared: the arrays that the function takes in their place, where its schedule lays them out anew; what writes
            them has the symbol ``function`` and ``_prepare``.
        layout: id of how they lie there, a hash of the program that writes them; None where the function takes weights
            as they are. What one kernel prepared is right for every kernel with the same weights and the same id.
        tuned: whether a champion was found; otherwise it is the default schedule, and the times are None.
        seconds, default_seconds: median of the champion and of the default schedule, as measured.
        calls: how often one step of the model calls it.
    """

    names: tuple[str, ...]
    workload: str
    operator: str
    label: str
    params: Mapping[str, Any]
    function: str
    arguments: tuple[KernelArgument, ...]
    weights: tuple[str, ...]
    prepared: tuple[KernelArgument, ...]
    layout: str | None
    schedule: BundleSchedule
    tuned: bool
    seconds: float | None
    default_seconds: float | None
    provenance: Provenance | None
    calls: int


@dataclass(frozen=True)
class Manifest:
    """The content of ``manifest.json``.

    Attributes:
        schema: name and version of this format.
        library: file name of the shared library with every kernel.
        missing: operators of the model that Headstart has no kernels for, with their calls a step.
        families: kernels that differ in rows alone, each with a plan for any number of them.
    """

    schema: str
    model: BundleModel
    target: BundleTarget
    toolchain: BundleToolchain
    policy: BundlePolicy
    library: str
    kernels: tuple[BundleKernel, ...]
    missing: Mapping[str, int]
    families: tuple[BundleFamily, ...]

    def to_json(self) -> dict[str, Any]:
        """The manifest as JSON types."""
        return asdict(self)

    def dumps(self) -> str:
        """The text of ``manifest.json``; the same for equal manifests."""
        return json.dumps(self.to_json(), indent=1, sort_keys=True, allow_nan=False) + "\n"

    @property
    def untuned(self) -> tuple[BundleKernel, ...]:
        """Kernels that have no champion and run the default schedule."""
        return tuple(kernel for kernel in self.kernels if not kernel.tuned)

    @classmethod
    def loads(cls, text: str) -> Manifest:
        """Read what ``dumps`` wrote: every field there, of its type, and none besides.

        Raises:
            InputError: it is not such a text, or of another version of the schema; the message says where.
        """
        try:
            value = json.loads(text, **STRICT)
        except (ValueError, RecursionError) as error:
            raise InputError(f"manifest.json is not JSON: {error}") from None
        schema = value.get("schema") if isinstance(value, dict) else None
        if schema != SCHEMA:
            raise InputError(f"manifest.json has schema {schema!r}; this runtime reads {SCHEMA}")
        try:
            manifest: Manifest = _reader(Manifest)(value)
        except _WrongError as error:
            raise InputError("manifest.json" + "".join(reversed(error.where)) + error.told) from None
        _check(manifest)
        return manifest


def _check(manifest: Manifest) -> None:
    """What types alone do not say."""
    if not FILE_NAME.fullmatch(manifest.library):
        raise InputError(f"manifest.json: library {manifest.library!r} is not a plain file name")
    if manifest.policy.threads < 1:
        raise InputError(f"manifest.json: policy.threads is {manifest.policy.threads}, must be at least 1")
    seen: set[str] = set()
    for at, kernel in enumerate(manifest.kernels):
        where = f"manifest.json: kernels[{at}]"
        if not SYMBOL.fullmatch(kernel.function):
            raise InputError(f"{where}.function {kernel.function!r} is not a symbol")
        if kernel.workload in seen:
            raise InputError(f"{where}.workload {kernel.workload!r} appears twice")
        seen.add(kernel.workload)
        roles = [argument.role for argument in kernel.arguments]
        if roles != sorted(roles) or set(roles) != set(ROLES):
            raise InputError(f"{where}.arguments must be inputs, then outputs, at least one of each")
        inputs = [argument.name for argument in kernel.arguments if argument.role == "input"]
        if any(name not in inputs for name in kernel.weights):
            raise InputError(f"{where}.weights must be names of inputs")
        if any(argument.role != "prepared" for argument in kernel.prepared) or (kernel.prepared and not kernel.weights):
            raise InputError(f"{where}.prepared must be arrays that weights are laid out in, with the role prepared")
        if (kernel.layout is None) is bool(kernel.prepared):
            raise InputError(f"{where}.layout must be an id where there are prepared arrays, and null elsewhere")
        if kernel.provenance and kernel.provenance.tier not in TIERS:
            raise InputError(f"{where}.provenance.tier must be one of {', '.join(TIERS)}")

        for argument in (*kernel.arguments, *kernel.prepared):
            if any(extent < 1 for extent in argument.shape):
                raise InputError(f"{where}: argument {argument.name!r} has shape {argument.shape}")
            try:
                argument.numpy_dtype  # noqa: B018
            except TypeError:
                raise InputError(f"{where}: argument {argument.name!r} has unknown dtype {argument.dtype!r}") from None
    for at, family in enumerate(manifest.families):
        if any(not SYMBOL.fullmatch(one.function) for one in family.any):
            raise InputError(f"manifest.json: families[{at}].any has a function that is not a symbol")
    check_families(manifest.families, manifest.kernels)


class _WrongError(Exception):
    """A value that is not what its annotation says, and the way to it, the last step first."""

    def __init__(self, told: str) -> None:
        self.told, self.where = told, [""]


@cache
def _reader(kind: Any) -> Callable[[Any], Any]:
    """What makes a value of a type annotation from JSON types; made once, since a manifest has thousands of values.

    It raises ``_WrongError`` where the value is of another type, or has fields too few or too many.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if is_dataclass(kind):
        return _record_reader(kind)
    if kind is Any:
        return lambda value: value
    if origin is tuple:
        return _many_reader(_reader(arguments[0]))
    if origin is types.UnionType:
        inner = _reader(arguments[0])
        return lambda value: None if value is None else inner(value)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _table_reader(_reader(arguments[1]))

    def read(value: Any) -> Any:
        # type() and not isinstance: True is an int.
        if type(value) is kind:
            return value
        if kind is float and type(value) is int:
            return float(value)
        raise _wrong(value, kind.__name__)

    return read


def _record_reader(kind: Any) -> Callable[[Any], Any]:
    hints = typing.get_type_hints(kind)
    readers = {field.name: _reader(hints[field.name]) for field in fields(kind)}

    def read(value: Any) -> Any:
        if type(value) is not dict:
            raise _wrong(value, "an object")
        if value.keys() != readers.keys():
            for name in readers:
                if name not in value:
                    raise _WrongError(f" has no {name!r}")
            raise _WrongError(f" has an unknown field {next(name for name in value if name not in readers)!r}")
        return kind(**_each(readers, value))

    return read


def _each(readers: Mapping[str, Callable[[Any], Any]], value: Mapping[str, Any]) -> dict[str, Any]:
    made, name = {}, ""
    try:
        for name, reader in readers.items():
            made[name] = reader(value[name])
    except _WrongError as error:
        error.where.append(f".{name}")
        raise
    return made


def _many_reader(item: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) is not list:
            raise _wrong(value, "a list")
        made: list[Any] = []
        try:
            for each in value:
                made.append(item(each))
        except _WrongError as error:
            error.where.append(f"[{len(made)}]")
            raise
        return tuple(made)

    return read


def _table_reader(item: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) is not dict:
            raise _wrong(value, "an object")
        return _each(dict.fromkeys(value, item), value)

    return read


def _wrong(value: Any, expected: str) -> _WrongError:
    return _WrongError(f" is {json.dumps(value)[:60]}, must be {expected}")
