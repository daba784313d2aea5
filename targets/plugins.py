"""Chips that other packages add, found by their entry points: ``docs/bring_your_own_chip.md``.

An entry point of the group ``headstart.targets`` is called what its chip is called, so that which chips there are is
known without importing anything, and only the plug-in of the chip that is asked for is ever imported. A plug-in is
installed code and runs with the rights of the user, like every other package. What comes from others can name one that
is installed at most, and ``tuning_db``, which reads what strangers send, asks for none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Protocol

from targets import catalogue
from targets.digest import canonical_json
from targets.errors import InputError, first_line
from targets.target import Target

if TYPE_CHECKING:
    from targets.backend import Backend

GROUP = "headstart.targets"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class Plugin(Protocol):
    """What an entry point names: an object, or a module, with these members.

    Attributes:
        targets: the chips; the entry point's own is among them. Several chips take several entry points, which may
            all name the same object.
        spaces: classes derived from ``schedules.space.Space``; they are used for these chips and no others.
    """

    targets: Sequence[Target]
    spaces: Sequence[type[Any]]

    def backend(self, target: Target) -> Backend:
        """How kernels for one of ``targets`` are built and run."""


@dataclass(frozen=True)
class Chip:
    """A chip that a plug-in adds.

    Attributes:
        target: the chip.
        plugin: what its entry point names.
        package: that the entry point points into; what the plug-in's spaces are called begins with it.
        origin: the entry point and its distribution, as errors call them.
    """

    target: Target
    plugin: Plugin
    package: str
    origin: str


@cache
def names() -> tuple[str, ...]:
    """What the chips of installed plug-ins are called; imports none of them."""
    return tuple(sorted({entry.name for entry in entry_points(group=GROUP)}))


@cache
def chip(name: str) -> Chip:
    """The chip of this name with the plug-in that adds it, which is imported now.

    Raises:
        InputError: the plug-in cannot be used, or two of them claim the name; says which, why, and what to do.
        KeyError: no plug-in has such a chip.
    """
    entries = [entry for entry in entry_points(group=GROUP) if entry.name == name]
    if not entries:
        raise KeyError(name)
    if len(entries) > 1:
        both = " and ".join(sorted(_distribution(entry) for entry in entries))
        raise InputError(f"{both} both add a chip called {name!r}: uninstall one of them")
    origin = f"plug-in {_distribution(entries[0])} (entry point {name!r})"
    if not NAME.fullmatch(name) or name == "host" or name in catalogue.specs():
        why = "is taken" if NAME.fullmatch(name) else "is no name of small letters, digits and .-_"
        raise InputError(f"{origin}: {name!r} {why}: its maker must call the chip something else")
    try:
        plugin = entries[0].load()
        return Chip(_target(plugin, name, origin), plugin, entries[0].module.partition(".")[0], origin)
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(f"{origin} cannot be loaded ({first_line(error)}): mend, update or uninstall it") from error


def chip_of(target: Target) -> Chip | None:
    """The chip of an installed plug-in that a target is, by name and fingerprint; None where no plug-in has it.

    Raises:
        InputError: as ``chip``.
    """
    if target.name in catalogue.specs() or target.name not in names():
        return None
    found = chip(target.name)
    return found if found.target.fingerprint == target.fingerprint else None


def _distribution(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value


def _target(plugin: Any, name: str, origin: str) -> Target:
    """The chip that an entry point is called after, with all that is wrong with the plug-in found out before."""
    lacking = [member for member in ("targets", "spaces", "backend") if not hasattr(plugin, member)]
    if lacking:
        raise InputError(f"{origin} lacks {', '.join(lacking)}, see docs/bring_your_own_chip.md")
    listed = all(isinstance(part, Sequence) for part in (plugin.targets, plugin.spaces))
    targets = list(plugin.targets) if listed else []
    if not listed or not callable(plugin.backend) or not all(isinstance(target, Target) for target in targets):
        raise InputError(f"{origin}: targets must be a list of Target, spaces one of classes, backend a function")
    found = [target for target in targets if target.name == name]
    if len(found) != 1:
        called = ", ".join(repr(target.name) for target in targets) or "nothing"
        raise InputError(f"{origin} must have one target of that name; its targets are {called}")
    _check(found[0], origin)
    return found[0]


def _check(target: Target, origin: str) -> None:
    """What a target is recorded as must be what it is, and no other chip's.

    Raises:
        InputError: it is not.
    """
    try:
        same = canonical_json(Target.from_spec(target.spec()).spec()) == canonical_json(target.spec())
        whole = same and target.cores >= 1 and target.vector_bits >= 1 and bool(target.kind)
    except (TypeError, ValueError, KeyError) as error:
        raise InputError(f"{origin}: target {target.name!r} is not made of plain values ({error})") from None
    if not whole:
        raise InputError(f"{origin}: target {target.name!r} needs sorted features, cores, vector_bits and a TVM kind")
    rates = [target.peaks.dram, *target.peaks.flops.values()] if target.peaks else []
    if target.peaks and ("float32" not in target.peaks.flops or not all(0 < rate < 1e18 for rate in rates)):
        # What has no figure of its own is bounded by it: see ``Peaks.bound``.
        raise InputError(f"{origin}: peaks of {target.name!r} need flops of float32, and every rate must be positive")
    if target.name not in target.tvm.values():
        # Two makers' chips of a few plain cores would otherwise be one to the database.
        raise InputError(
            f"{origin}: no attribute of the TVM target of {target.name!r} names the chip, by which it is told from "
            f"others: add 'mcpu' or 'model': {target.name!r}"
        )
