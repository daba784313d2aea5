"""A benchmark as one HTML file that asks the network for nothing and runs no script."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from tuner.bench.plots import colour, drift, letter, ratios, roofs
from tuner.bench.result import TUNED, Result
from tuner.bench.statistics import Interval, spread
from tuner.report.figure import ARITHMETIC, COLOURS
from tuner.report.templates import templates


def render(result: Result, now: float) -> str:
    """The page as text; the same result and time give the same text.

    Args:
        result: with one workload at least.
        now: seconds since 1970 that the page says it was written at.

    Raises:
        MissingExtra: jinja2 or matplotlib is not installed.
    """
    environment = templates("the page of a benchmark", Path(__file__).parent)
    from markupsafe import Markup  # comes with jinja2

    environment.filters |= {"spread": _spread, "variable": _variable, "letter": letter}
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


def _spread(values: Sequence[float]) -> Interval | None:
    return spread(values) if values else None


def _variable(name: str) -> str:
    """The page's custom property of a peer's colour."""
    names = {code: variable for variable, code in COLOURS.items()}
    names |= {code: f"arithmetic{at}" for at, code in enumerate(ARITHMETIC)}
    return f"var(--{names[colour(name)]})"
