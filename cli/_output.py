"""Printing for people (rich tables) and for programs (``--json``)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from targets.units import seconds, size

__all__ = ["console", "echo_json", "json_option", "progress_console", "say", "seconds", "size", "table"]

# But for newlines, which some cells have.
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")

console = Console(stderr=False)
progress_console = Console(stderr=True)

F = TypeVar("F", bound=Callable[..., Any])


def json_option(function: F) -> F:
    """``--json``: the result as one JSON document on standard output, nothing else there."""
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")(function)


def echo_json(value: Any) -> None:
    """Print one JSON document, indented, keys in the order given."""
    click.echo(json.dumps(value, indent=2, allow_nan=False))


def say(line: str, err: bool = False) -> None:
    """Print a line that may hold what strangers wrote; with ``err`` beside the result, and not as a part of it."""
    click.echo(CONTROL.sub("?", line), err=err)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> None:
    """Print a table; the first ``left`` columns are aligned left, the others right."""
    grid = Table(title=title, title_justify="left", header_style="bold")
    for at, column in enumerate(columns):
        grid.add_column(column, justify="left" if at < left else "right", overflow="fold")
    for row in rows:
        # A cell such as A[m, k] is text, not markup; and what strangers wrote steers no terminal.
        grid.add_row(*(escape(CONTROL.sub("?", cell)) for cell in row))
    console.print(grid)
