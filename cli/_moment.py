"""Moments and spans of time on the command line."""

from __future__ import annotations

import re
import time
from datetime import datetime, timezone
from typing import Any

import click

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
SPAN = re.compile(r"(\d+(?:\.\d+)?)([smhd])")


class Span(click.ParamType[float]):
    """Seconds, given as a number with a unit: 30s, 5m, 12h, 7d."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it."""
        if isinstance(value, float):
            return value
        if not (found := SPAN.fullmatch(str(value).strip())):
            self.fail(f"{value!r} is no span of time such as 30s, 12h or 7d", param, ctx)
        return float(found[1]) * UNITS[found[2]]


class Moment(click.ParamType[float]):
    """Seconds since 1970, given as a date with a time in UTC (or another zone), or as a span from now."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it."""
        if isinstance(value, float):
            return value
        text = str(value).strip()
        if text == "now":
            return time.time()
        if text[:1] in ("+", "-") and (found := SPAN.fullmatch(text[1:])):
            span = float(found[1]) * UNITS[found[2]]
            return time.time() + (span if text[0] == "+" else -span)
        try:
            read = datetime.fromisoformat(re.sub("[zZ]$", "+00:00", text))
        except ValueError:
            self.fail(f"{value!r} is no time such as 2026-07-01T09:00, 2026-07-01, +30d or now", param, ctx)
        # As everything that is printed: a lab and a vendor may be in different zones.
        return (read if read.tzinfo else read.replace(tzinfo=timezone.utc)).timestamp()


MOMENT, SPAN_OF_TIME = Moment(), Span()


def moment(value: float) -> str:
    """Seconds since 1970 as date and time in UTC."""
    return f"{datetime.fromtimestamp(value, timezone.utc):%Y-%m-%d %H:%M:%S}"
