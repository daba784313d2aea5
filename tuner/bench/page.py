"""A benchmark as one HTML file that asks the network for nothing and runs no script."""

from __future__ import annotations

from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

from targets.errors import MissingExtra
from targets.units import percent, rate, seconds, size, times
from tuner.bench.plots import colour, drift, letter, ratios, roofs
from tuner.bench.result import TUNED, Result
from tuner.bench.statistics import spread
from tuner.report.figure import ARITHMETIC, COLOURS


def render(result: Result, now: float) -> str:
    """The page as text; the same result and time give the same text.

    Args:
        result: with one workload at least.
        now: seconds since 1970 that the page says it was written at.

    Raises:
        MissingExtra: jinja2 or matplotlib is not installed.
    """
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
        from markupsafe import Markup
    except ImportError:
        raise MissingExtra("the page of a benchmark", "report") from None
    here = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader([here, here.parent / "report"]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "seconds": seconds, "size": size, "rate": rate, "times": times, "percent": percent,
        "spread": lambda values: spread(values) if values else None, "variable": _variable, "letter": letter,
        "date": lambda when: datetime.fromtimestamp(when, timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
    }  # fmt: skip
    return environment.get_template("bench.html.jinja").render(
        result=result,
        cases=list(enumerate(result.cases, 1)),
        others=[name for name in result.titles if name != TUNED],
        ratios=Markup(ratios(result.cases)),
        roofs=Markup(roofs(result.cases)),
        drifts=[Markup(drift(at, case)) for at, case in enumerate(result.cases, 1)],
        version=version("headstart"),
        now=now,
    )


def _variable(name: str) -> str:
    """The page's custom property of a peer's colour."""
    names = {code: variable for variable, code in COLOURS.items()}
    names |= {code: f"arithmetic{at}" for at, code in enumerate(ARITHMETIC)}
    return f"var(--{names[colour(name)]})"
