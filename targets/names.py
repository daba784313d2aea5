"""The names by which a target is asked for."""

from __future__ import annotations

import difflib

from targets import catalogue, host, plugins
from targets.errors import InputError
from targets.target import Target


def resolve(name: str) -> Target:
    """The target of a name: ``host`` for the CPU of this machine, a chip of the catalogue, or one of a plug-in.

    The host also answers to the name that it was given (``zen4-2c``). Its peaks are measured when first read, see
    ``targets.host.Host``.

    Raises:
        InputError: there is no such target, or its plug-in cannot be used.
    """
    known = catalogue.specs()
    if name in known:
        return catalogue.target(name)
    here = host.host()
    if name in ("host", here.name):
        return here
    if name in plugins.names():
        return _added(name)
    choices = ["host", *known, *plugins.names()]
    close = difflib.get_close_matches(name, [*choices, here.name], n=1)
    meant = f"did you mean {close[0]!r}? " if close else ""
    raise InputError(f"unknown target {name!r}; {meant}known: {', '.join(choices)}")


def _added(name: str) -> Target:
    """The chip of a plug-in, which must be no chip under another name."""
    chip = plugins.chip(name)
    others = [*catalogue.targets(), host.host()]
    same = [other.name for other in others if other.fingerprint == chip.target.fingerprint]
    if same:
        raise InputError(
            f"{chip.origin}: {name!r} is {same[0]} to the database, down to its caches: use --target {same[0]}"
        )
    return chip.target
