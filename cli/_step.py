"""The options that say which step of a model is meant."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

FIELDS = ("phase", "tokens", "batch", "kv_len", "tp", "ep")


class Counts(click.ParamType[tuple[int, ...]]):
    """Numbers with commas, ``1,16,128``, each once, ascending."""

    name = "counts"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """The numbers."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(sorted({int(word) for word in str(value).split(",")}))
        except ValueError:
            self.fail(f"{value!r} is not a number, or several with commas: 1,16,128", param, ctx)


def step_options(function: F) -> F:
    """``--phase``, ``--tokens`` and so on, for a command with an argument called ``model``.

    The command gets one argument ``step``: the step, with what was not said filled in as suits that model.
    """

    @functools.wraps(function)
    def with_step(given: dict[str, Any], **arguments: Any) -> Any:
        from tuner.frontend.load import step_for

        return function(step=step_for(arguments["model"], arguments.get("db"), **given), **arguments)

    return _with_options(with_step, int, "Tokens in the step, over all sequences: 16 in decode.")


def given_steps_options(function: F) -> F:
    """The same for several steps that differ in their tokens, and a command that fills in itself what was not said.

    What was said is its argument ``given``; in it ``tokens`` are several numbers, ascending, or None.
    """
    told = "Tokens in the step, over all sequences: 16 in decode. Several, as 1,16,128, for any number up to the most."
    return _with_options(function, Counts(), told)


def steps_options(function: F) -> F:
    """The same, filled in: the command gets one argument ``steps``, by tokens ascending."""

    @functools.wraps(function)
    def with_steps(given: dict[str, Any], **arguments: Any) -> Any:
        from tuner.frontend.load import step_for

        model, db = arguments["model"], arguments.get("db")
        steps = [step_for(model, db, **given | {"tokens": tokens}) for tokens in given["tokens"] or (None,)]
        return function(steps=steps, **arguments)

    return given_steps_options(with_steps)  # type: ignore[return-value]


def _with_options(function: Callable[..., Any], tokens: Any, told: str) -> Any:
    """A command with the options of a step, which are its argument ``given``."""

    @functools.wraps(function)
    def command(**arguments: Any) -> Any:
        return function(given={field: arguments.pop(field) for field in FIELDS}, **arguments)

    options = [
        click.option("--phase", type=click.Choice(["decode", "prefill"]), help="Which step: decode unless said."),
        click.option("--tokens", type=tokens, help=told),
        click.option("--batch", type=int, help="Sequences in the step: as many as tokens in decode, 1 in prefill."),
        click.option("--kv-len", type=int, help="Tokens attention sees: 4096 in decode, the new ones in prefill."),
        click.option("--tp", type=int, default=1, show_default=True, help="Degree of tensor parallelism."),
        click.option("--ep", type=int, default=1, show_default=True, help="Degree of expert parallelism."),
    ]
    for option in reversed(options):
        command = option(command)
    return command
