"""The names by which a target is asked for."""

from __future__ import annotations

import difflib

from targets import catalogue, host
from targets.errors import InputError
from targets.target import Target


def resolve(name: str) -> Target:
    """The target of a name: ``host`` for the CPU of this machine, or a chip of the catalogue.

    The host also answers to the name that it was given (``zen4-2c``). Its peaks are measured when first read, see
    ``targets.host.Host``.

    Raises:
        InputError: there is no such target.
    """
    known = catalogue.specs()
    if name in known:
        return catalogue.target(name)
    here = host.host()
    if name in ("host", here.name):
        return here
    close = difflib.get_close_matches(name, ["host", here.name, *known], n=1)
    meant = f"did you mean {close[0]!r}? " if close else ""
    raise InputError(f"unknown target {name!r}; {meant}known: host, {', '.join(known)}")
