"""Options that say when tuning is to stop."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from cli._moment import UNITS

F = TypeVar("F", bound=Callable[..., Any])


class Duration(click.ParamType[float]):
    """A length of time: ``90s``, ``3m``, ``1.5h``; a bare number is seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds, more than none."""
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", str(value).strip())
        if match is None:
            self.fail(f"{value!r} is not a length of time; write 90s, 3m or 1.5h", param, ctx)
        length = float(match[1]) * UNITS[match[2] or "s"]
        if length <= 0:
            self.fail("must be more than nothing; write 90s, 3m or 1.5h", param, ctx)
        return length


class Percent(click.ParamType[float]):
    """A share: ``5%``; a bare number is a percentage too."""

    name = "percent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The fraction, more than nothing."""
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%?", str(value).strip())
        if match is None or float(match[1]) <= 0:
            self.fail(f"{value!r} is not a percentage of more than nothing; write 5%", param, ctx)
        return float(match[1]) / 100


def limit_options(function: F) -> F:
    """``--for``, ``--trials`` and ``--until-within``, as the arguments ``length``, ``trials`` and ``within``."""
    options = [
        click.option("--for", "length", type=Duration(), help="Stop after this long, e.g. 90s, 3m, 8h."),
        click.option("--trials", type=click.IntRange(min=1), help="Stop after this many trials of each workload."),
        click.option(
            "--until-within", "within", type=Percent(), help="Stop with what is this near its roofline, e.g. 5%."
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function
