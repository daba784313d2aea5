"""Spaces that plug-ins add for their own chips (``targets/plugins.py``), beside those of ``schedules/spaces``."""

from __future__ import annotations

import inspect
import re
from typing import Any

from schedules.space import Space, spaces
from targets import plugins
from targets.errors import InputError
from targets.plugins import Chip

WORD = "[a-z][a-z0-9_]{0,63}"


def added(chip: Chip) -> dict[str, type[Space]]:
    """The spaces that the plug-in of a chip adds, by name.

    Raises:
        InputError: one of them is none; says why, and what to do.
    """
    found: dict[str, type[Space]] = {}
    for space in chip.plugin.spaces:
        fault = _fault(space, chip.package)
        if fault is None and space.name in found:
            fault = f"two of its spaces are called {space.name!r}: call one of them something else"
        if fault is not None:
            raise InputError(f"{chip.origin}: {fault}")
        found[space.name] = space
    return found


def checked(name: str) -> tuple[Chip | None, str]:
    """The chip that a plug-in adds under this name, and why it cannot be used: one of the two."""
    try:
        chip = plugins.chip(name)
        added(chip)
    except InputError as error:
        return None, str(error)
    return chip, ""


def spaces_anywhere() -> dict[str, type[Space]]:
    """Headstart's spaces and those of every plug-in that can be used; imports them all."""
    chips = [chip for chip, _ in map(checked, plugins.names()) if chip is not None]
    return spaces() | {name: space for chip in chips for name, space in added(chip).items()}


def _fault(space: Any, package: str) -> str | None:
    """What keeps it from being a space, with what to do about it; None if nothing does."""
    called = getattr(space, "__qualname__", repr(space))
    if not (isinstance(space, type) and issubclass(space, Space)):
        return f"{called} is no class derived from schedules.space.Space"
    if inspect.isabstract(space):
        return f"space {called} must define {', '.join(sorted(space.__abstractmethods__))}"
    name, version = getattr(space, "name", None), getattr(space, "version", None)
    # A name without the package could be that of another plug-in's space, or of one that Headstart has or gets.
    if not isinstance(name, str) or not re.fullmatch(rf"{re.escape(package)}\.{WORD}", name):
        return f"space {called} is called {name!r}: its name must be '{package}.' and a word of small letters"
    if type(version) is not int or version < 1:
        return f"space {name!r} needs a version, a whole number from 1, not {version!r}"
    return None
