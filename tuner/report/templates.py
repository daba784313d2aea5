"""Pages are filled in by jinja2: where templates are, and how they write figures."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from targets.errors import MissingExtra
from targets.units import percent, rate, seconds, size, times

if TYPE_CHECKING:
    from jinja2 import Environment


def templates(what: str, *folders: Path) -> Environment:
    """The templates of these folders and of this one; a name that a template lacks is an error, text is escaped.

    Args:
        what: the page that is wanted, for the error.

    Raises:
        MissingExtra: jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError:
        raise MissingExtra(what, "report") from None
    environment = Environment(
        loader=FileSystemLoader([*folders, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = {"seconds": seconds, "size": size, "rate": rate, "times": times, "percent": percent, "date": _date}
    environment.filters |= filters
    return environment


def _date(when: float) -> str:
    return datetime.fromtimestamp(when, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
