"""Calls by operator and arrays: the kernel that takes exactly these, else the caller's own code, said out loud."""

from __future__ import annotations

import atexit
import functools
import os
import sys
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from headstart_runtime.bundle import Bundle, load
from headstart_runtime.errors import HeadstartError, InputError
from headstart_runtime.kernel import Kernel
from headstart_runtime.manifest import BundleKernel
from headstart_runtime.misses import Miss, Misses
from headstart_runtime.weights import Weights, dtype_name

POLICIES = ("fallback", "warn", "raise")
# Shapes that a call remembers; what comes after them is looked for anew each time.
MOST_SHAPES = 4096
# Kernels that the message of a miss lists.
SHOWN = 4

Function = TypeVar("Function", bound=Callable[..., Any])


class MissError(HeadstartError, LookupError):
    """There is no kernel for these arrays, and no fallback or one that must not be taken."""


class MissWarning(RuntimeWarning):
    """There is no kernel for these arrays, and the fallback is taken; shown once for each shape."""


def use(
    *bundles: Bundle | str | os.PathLike[str], miss: str = "fallback", threads: int | None = None, pool: str = "auto"
) -> Kernels:
    """Load bundles for calls by operator and arrays.

    Args:
        bundles: loaded ones, or their directories; where several have a kernel for a call, the first is taken.
        threads, pool: for those that are loaded here, as of ``load``.
        miss: what a call does that no bundle has a kernel for: ``fallback`` takes the caller's code, ``warn`` says so
            once for each shape, ``raise`` is a ``MissError``.

    Raises:
        InputError, HeadstartError: as of ``load``.
    """
    return Kernels([b if isinstance(b, Bundle) else load(b, threads=threads, pool=pool) for b in bundles], miss)


class Kernels:
    """The kernels of some bundles, called by operator and arrays. Calls may come from several threads at once.

    Attributes:
        misses: calls that there was no kernel for, counted.
    """

    def __init__(self, bundles: Sequence[Bundle], miss: str = "fallback") -> None:
        if miss not in POLICIES:
            raise InputError(f"miss is {miss!r}, must be {', '.join(POLICIES[:-1])} or {POLICIES[-1]}")
        if not bundles:
            raise InputError("there is no bundle to use")
        self.bundles, self.policy, self.misses = tuple(bundles), miss, Misses()
        self._calls: dict[Any, Call] = {}

    def apply(
        self, name: str, args: Sequence[Any], fallback: Callable[..., Any] | None = None, /, **params: Any
    ) -> Any:
        """Call the kernel that takes exactly these arrays, or the fallback where no bundle has it.

        Args:
            name: of an operator (``linear``), or what the model calls it (``o_proj``).
            args: the inputs: arrays of numpy, torch or any DLPack library, and ``Weights`` in the place of those that
                stay the same. Arrays in the place of ``Weights`` are laid out in every call, which takes long.
            fallback: what to call with the same arrays on a miss; it gets those that ``Weights`` were made of.
            params: parameters of the operator that shapes do not say, where kernels differ in them: ``eps=1e-6``.

        Returns:
            What the kernel computed, in new arrays of the library of the first argument; or what the fallback returned.

        Raises:
            MissError: a miss, and there is no fallback or the policy is ``raise``.
            InputError: kernels that differ in a parameter which was not said, or a parameter that they do not have.
            TypeError, ValueError: as of a call of the kernel, or something that is no array.
        """
        return self.call(name, **params)(args, fallback)

    def call(self, name: str, /, **params: Any) -> Call:
        """``apply`` with its name and parameters: the same object for the same ones."""
        key = (name, *sorted(params.items())) if params else name
        found = self._calls.get(key)
        return found if found is not None else self._calls.setdefault(key, Call(self, name, params))

    def replaces(self, name: str, /, **params: Any) -> Callable[[Function], Function]:
        """A decorator: calls go to kernels, and to the function itself where there is none.

        The function takes the operator's inputs in their order, by position.
        """
        call = self.call(name, **params)

        def decorate(function: Function) -> Function:
            @functools.wraps(function)
            def wrapper(*args: Any) -> Any:
                return call(args, function)

            return wrapper  # type: ignore[return-value]

        return decorate

    def write_misses(self, path: str | os.PathLike[str], *, at_exit: bool = False) -> None:
        """Add what was counted to a file, now or when the process ends; ``headstart misses push`` sends it.

        Args:
            path: several processes may name the same.
            at_exit: then a file that cannot be written is one line on standard error.

        Raises:
            InputError: what is there is no file of misses, or it cannot be written.
        """
        if at_exit:
            atexit.register(self._write_at_exit, path)
            return
        try:
            self.misses.write(Path(path))
        except (ValueError, OSError) as error:
            raise InputError(f"{path}: {error}") from None

    def _write_at_exit(self, path: str | os.PathLike[str]) -> None:
        try:
            self.write_misses(path)
        except InputError as error:
            print(f"misses were not written: {error}", file=sys.stderr)

    def __repr__(self) -> str:
        count = sum(len(bundle) for bundle in self.bundles)
        return f"<Kernels of {', '.join(b.manifest.model.name for b in self.bundles)}: {count}, miss={self.policy!r}>"


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
        self._candidates = [(b, e) for b, e in named if all(e.params.get(k) == v for k, v in self.params.items())]

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

    def kernels_of(self, weights: Weights) -> list[Kernel]:
        """Every kernel that takes these weights, whatever the other inputs are."""
        return [b[e.workload] for b, e in self._candidates if _inputs_of(e, e.weights) == _described([weights])]

    def _resolve(self, key: tuple[Any, ...], args: Sequence[Any]) -> Callable[..., Any]:
        """What to do with such arguments from now on."""
        given = _described(args)
        fitting = {e.workload: (b, e) for b, e in reversed(self._candidates) if _inputs_of(e) == given}
        if len(fitting) > 1:
            raise InputError(self._ambiguous([entry for _, entry in fitting.values()]))
        found: Callable[..., Any]
        if fitting:
            bundle, entry = next(iter(fitting.values()))
            found = _runner(bundle[entry.workload], entry, args)
        else:
            found = self._miss(given)
        with self._lock:
            if len(self._found) < MOST_SHAPES:
                self._found[key] = found
        return found

    def _miss(self, given: tuple[tuple[str, tuple[int, ...]], ...]) -> Callable[..., Any]:
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

    def _ambiguous(self, entries: Sequence[BundleKernel]) -> str:
        differ = [name for name in entries[0].params if len({repr(entry.params.get(name)) for entry in entries}) > 1]
        told = "; ".join(f"{name}: {', '.join(str(entry.params.get(name)) for entry in entries)}" for name in differ)
        return f"{len(entries)} kernels take these arrays for {self.name}; say which ({told})"


def _runner(kernel: Kernel, entry: BundleKernel, args: Sequence[Any]) -> Callable[..., Any]:
    """How to call a kernel with arguments like these.

    Raises:
        TypeError: ``Weights`` that stand for other inputs than the kernel's weights.
    """
    at = [place for place, array in enumerate(args) if type(array) is Weights]
    if not at:
        return lambda args, fallback: kernel(*args)
    place = at[0]
    names = [argument.name for argument in kernel.inputs]
    covered = names[place : place + len(args[place].signature) // 2]
    if len(at) > 1 or covered != [argument.name for argument in kernel.weights]:
        has = ", ".join(entry.weights) or "it has none"
        raise TypeError(f"{kernel.name}: Weights must be all of its weights together: {has}")
    if place == len(args) - 1:
        return lambda args, fallback: args[place].prepare(kernel)(*args[:place])
    return lambda args, fallback: args[place].prepare(kernel)(*args[:place], *args[place + 1 :])


def _inputs_of(entry: BundleKernel, names: Sequence[str] | None = None) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Dtypes and shapes of a kernel's inputs, or of some."""
    inputs = [a for a in entry.arguments if a.role == "input" and (names is None or a.name in names)]
    return tuple((a.dtype, tuple(a.shape)) for a in inputs)


def _described(args: Sequence[Any]) -> tuple[tuple[str, tuple[int, ...]], ...]:
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
