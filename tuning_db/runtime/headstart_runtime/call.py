"""One operator of some bundles, called with arrays: which kernel they come to, and what is done where there is none."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from headstart_runtime.argument import KernelArgument
from headstart_runtime.bundle import Bundle
from headstart_runtime.errors import HeadstartError, InputError
from headstart_runtime.family import Family
from headstart_runtime.kernel import Kernel
from headstart_runtime.manifest import BundleKernel
from headstart_runtime.misses import Miss
from headstart_runtime.row_plan import BundleFamily
from headstart_runtime.weights import Weights, dtype_name

if TYPE_CHECKING:
    from headstart_runtime.dispatch import Kernels

# Dtype and shape of arrays.
Described = tuple[tuple[str, tuple[int, ...]], ...]
# Shapes that a call remembers; what comes after them is looked for anew each time.
MOST_SHAPES = 4096
# Kernels that the message of a miss lists.
SHOWN = 4


class MissError(HeadstartError, LookupError):
    """There is no kernel for these arrays, and no fallback or one that must not be taken."""


class MissWarning(RuntimeWarning):
    """There is no kernel for these arrays, and the fallback is taken; shown once for each shape."""


class Call:
    """One operator of some bundles: ``call(args, fallback)``. What shapes come to is looked up once and kept."""

    def __init__(self, kernels: Kernels, name: str, params: Mapping[str, Any]) -> None:
        self.kernels, self.name, self.params = kernels, name, dict(params)
        self._found: dict[Any, Callable[..., Any]] = {}
        self._lock = threading.Lock()
        named = [(b, e) for b in kernels.bundles for e in b.manifest.kernels if name in (e.operator, *e.names)]
        for parameter in params:
            if named and not any(parameter in entry.params for _, entry in named):
                raise InputError(f"{name} has no parameter {parameter!r}; it has {', '.join(named[0][1].params)}")
        self._candidates = [(b, e) for b, e in named if self._agrees(e)]
        self._families = [
            (b, f)
            for b in kernels.bundles
            for f in b.manifest.families
            if name in (f.operator, *f.names)
            if self._agrees(f)
        ]

    def _agrees(self, entry: BundleKernel | BundleFamily) -> bool:
        return all(entry.params.get(name) == value for name, value in self.params.items())

    def __call__(self, args: Sequence[Any], fallback: Callable[..., Any] | None = None) -> Any:
        """As ``Kernels.apply``."""
        key: list[Any] = []
        try:
            for array in args:
                if type(array) is Weights:
                    key.append(array.signature)
                else:
                    key.append(array.shape)
                    key.append(array.dtype)
            found = self._found.get(tuple(key))
        except (AttributeError, TypeError):
            raise TypeError(f"{self.name}: takes arrays, not {', '.join(type(a).__name__ for a in args)}") from None
        if found is None:
            found = self._resolve(tuple(key), args)
        return found(args, fallback)

    @property
    def entries(self) -> list[BundleKernel]:
        """What the bundles have under this name with these parameters."""
        return [entry for _, entry in self._candidates]

    def kernels_of(self, weights: Weights) -> list[Kernel | Family]:
        """Every kernel that takes these weights, whatever the other inputs are; a family in the place of its own."""
        of = _described([weights])
        fits = [(b, e) for b, e in self._candidates if _take(_inputs(e, e.weights), of)]
        families = [(b, f) for b, f in self._families if any(e.workload in _members(f) for _, e in fits)]
        covered = {workload for _, family in families for workload in _members(family)}
        return [b.family(f.names[0]) for b, f in families] + [
            b[e.workload] for b, e in fits if e.workload not in covered
        ]

    def _resolve(self, key: tuple[Any, ...], args: Sequence[Any]) -> Callable[..., Any]:
        """What to do with such arguments from now on."""
        given = _described(args)
        fitting: dict[str, Any] = {}
        for bundle, entry in reversed(self._candidates):
            if _take(_inputs(entry), given):
                fitting[repr(sorted(entry.params.items()))] = bundle, entry
        if not fitting:
            for bundle, family in reversed(self._families):
                if _fits(bundle, family, given):
                    fitting[repr(sorted(family.params.items()))] = bundle, family
        if len(fitting) > 1:
            raise InputError(self._ambiguous([entry for _, entry in fitting.values()]))
        found = _runner(self._called(*next(iter(fitting.values()))), args) if fitting else self._miss(given)
        with self._lock:
            if len(self._found) < MOST_SHAPES:
                self._found[key] = found
        return found

    def _called(self, bundle: Bundle, entry: BundleKernel | BundleFamily) -> Kernel | Family:
        """The family of a kernel where it has one, so that weights are laid out for all numbers of rows at once."""
        if isinstance(entry, BundleFamily):
            return bundle.family(entry.names[0])
        family = next((f for b, f in self._families if b is bundle and entry.workload in _members(f)), None)
        return bundle[entry.workload] if family is None else bundle.family(family.names[0])

    def _miss(self, given: Described) -> Callable[..., Any]:
        """What a call without a kernel does: count, and what the policy says."""
        misses, policy, warned = self.kernels.misses, self.kernels.policy, False
        told = f"no kernel for {self.name}({', '.join(map(_shown, given))})"
        have = list(dict.fromkeys(entry.label for _, entry in self._candidates))
        told += f"; the bundle has {', '.join(have[:SHOWN])}{', ...' * (len(have) > SHOWN)}" * bool(have)
        miss = None
        if self._candidates:
            bundle, entry = self._candidates[0]
            miss = Miss(entry.operator, dict(entry.params), given, bundle.manifest.target.fingerprint)

        def fall_back(args: Sequence[Any], fallback: Callable[..., Any] | None) -> Any:
            nonlocal warned
            if miss is not None:
                misses.add(miss)
            if fallback is None or policy == "raise":
                raise MissError(told)
            if any(type(array) is Weights and array.released for array in args):
                raise MissError(f"{told}; there is no falling back, since the weights as they were have been released")
            if policy == "warn" and not warned:
                warned = True
                warnings.warn(told, MissWarning, stacklevel=4)
            return fallback(*_flat(args))

        return fall_back

    def _ambiguous(self, entries: Sequence[BundleKernel | BundleFamily]) -> str:
        differ = [name for name in entries[0].params if len({repr(entry.params.get(name)) for entry in entries}) > 1]
        told = "; ".join(f"{name}: {', '.join(str(entry.params.get(name)) for entry in entries)}" for name in differ)
        return f"{len(entries)} kernels take these arrays for {self.name}; say which ({told})"


def _runner(kernel: Kernel | Family, args: Sequence[Any]) -> Callable[..., Any]:
    """How to call a kernel with arguments like these.

    Raises:
        TypeError: ``Weights`` that stand for other inputs than the kernel's weights.
    """
    at = [place for place, array in enumerate(args) if type(array) is Weights]
    if not at:
        return lambda args, fallback: kernel(*args)
    place = at[0]
    names, weights = ([argument.name for argument in some] for some in (kernel.inputs, kernel.weights))
    if len(at) > 1 or names[place : place + len(args[place].signature) // 2] != weights:
        has = ", ".join(weights) or "it has none"
        raise TypeError(f"{kernel.name}: Weights must be all of its weights together: {has}")
    if place == len(args) - 1:
        return lambda args, fallback: args[place].prepare(kernel)(*args[:place])
    return lambda args, fallback: args[place].prepare(kernel)(*args[:place], *args[place + 1 :])


def _members(family: BundleFamily) -> list[str]:
    return [kernel.workload for kernel in family.kernels]


def _fits(bundle: Bundle, family: BundleFamily, given: Described) -> bool:
    """Whether a family takes such inputs: as its kernels do, but for the rows, of which all have as many."""
    entry = next(kernel for kernel in bundle.manifest.kernels if kernel.workload == family.kernels[0].workload)
    inputs = _inputs(entry)
    rows = {shape[:1] for argument, (_, shape) in zip(inputs, given, strict=False) if argument.name in family.sliced}
    if len(rows) != 1 or not all(rows.pop()):
        return False
    other = [
        replace(a, shape=(*g[1][:1], *a.shape[1:])) if a.name in family.sliced else a
        for a, g in zip(inputs, given, strict=False)
    ]
    return len(inputs) == len(given) and _take(other, given)


def _inputs(entry: BundleKernel, names: Sequence[str] | None = None) -> list[KernelArgument]:
    """A kernel's inputs, or some of them."""
    return [a for a in entry.arguments if a.role == "input" and (names is None or a.name in names)]


def _take(inputs: Sequence[KernelArgument], given: Described) -> bool:
    """Whether inputs are of these dtypes and shapes; without ``ml_dtypes`` numpy has unsigned integers for some."""
    return len(inputs) == len(given) and all(
        tuple(a.shape) == shape and dtype in (a.dtype, a.numpy_dtype.name)
        for a, (dtype, shape) in zip(inputs, given, strict=True)
    )


def _described(args: Sequence[Any]) -> Described:
    """Dtypes and shapes of arguments, those that ``Weights`` stand for included."""
    parts: list[Any] = []
    for array in args:
        parts += array.signature if type(array) is Weights else (array.shape, array.dtype)
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return tuple((dtype_name(dtype), tuple(int(size) for size in shape)) for shape, dtype in pairs)


def _flat(args: Sequence[Any]) -> list[Any]:
    """Arguments with the arrays that ``Weights`` were made of."""
    return [array for each in args for array in (each.arrays if type(each) is Weights else (each,))]


def _shown(argument: tuple[str, tuple[int, ...]]) -> str:
    return f"{argument[0]}[{', '.join(map(str, argument[1]))}]"
