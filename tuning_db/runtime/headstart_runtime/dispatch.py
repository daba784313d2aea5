"""Calls by operator and arrays: the kernel that takes exactly these, else the caller's own code, said out loud."""

from __future__ import annotations

import atexit
import functools
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from headstart_runtime.bundle import Bundle, load
from headstart_runtime.call import Call
from headstart_runtime.errors import InputError
from headstart_runtime.misses import Misses

POLICIES = ("fallback", "warn", "raise")

Function = TypeVar("Function", bound=Callable[..., Any])


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
