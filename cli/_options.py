"""Options that many commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def db_option(function: F) -> F:
    """``--db PATH``: the database, as the argument ``db``."""
    return click.option(
        "--db",
        type=click.Path(path_type=Path),
        default="headstart.db",
        envvar="HEADSTART_DB",
        show_default=True,
        show_envvar=True,
        help="Database file.",
    )(function)


def cache_option(function: F) -> F:
    """``--cache``: the policy's cache, as the argument ``cache``; None where the phase decides."""
    return click.option(
        "--cache",
        type=click.Choice(["warm", "cold"]),
        help="Time with weights in the cache or in memory: memory in decode, cache in prefill.",
    )(function)


def ray_option(function: F) -> F:
    """``--ray ADDRESS``: a cluster to run on, as the argument ``ray``; None for this machine."""
    return click.option(
        "--ray",
        metavar="ADDRESS",
        help="Run on a Ray cluster: HOST:PORT of its head, or local for one here.",
    )(function)
