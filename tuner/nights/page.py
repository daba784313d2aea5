"""The morning report as one HTML file that asks the network for nothing and runs no script."""

from __future__ import annotations

from importlib.metadata import version

from targets.units import duration
from tuner.nights.night import Night
from tuner.report.templates import templates
from tuning_db.jobs import short


def render(night: Night) -> str:
    """The page as text; the same report gives the same text.

    Raises:
        MissingExtra: jinja2 is not installed.
    """
    environment = templates("the report")
    environment.filters |= {"duration": duration, "short": short}
    return environment.get_template("night.html.jinja").render(night=night, version=version("headstart"))
