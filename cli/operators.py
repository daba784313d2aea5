"""``headstart operators``: the operators that can be tuned, their parameters and the spaces for them."""

from __future__ import annotations

from typing import Any

import click

from cli import _output


@click.group(invoke_without_command=True)
@_output.json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """Show the operators that can be tuned; without a command, list them.

    \b
    Examples:
      headstart operators
      headstart operators show linear_fp8
    """
    if context.invoked_subcommand is None:
        context.invoke(list_operators, as_json=as_json)


@command.command("list")
@_output.json_option
def list_operators(as_json: bool) -> None:
    """List the operators.

    \b
    Example:
      headstart operators list --json
    """
    from schedules import describe
    from schedules.operator import operators

    known = [describe.summary(kind) for kind in operators().values()]
    if as_json:
        _output.echo_json(known)
        return
    rows = [(o["name"], o["summary"], ", ".join(p["name"] for p in o["parameters"])) for o in known]
    _output.table("Operators", ("name", "what it computes", "parameters"), rows, left=3)
    click.echo("headstart operators show NAME says how one is defined.")


@command.command("show")
@click.argument("name")
@click.option("--target", default="host", show_default=True, help="Chip whose spaces are listed.")
@_output.json_option
def show_operator(name: str, target: str, as_json: bool) -> None:
    """Show one operator: definition, parameters, examples and the spaces for them on a chip.

    \b
    Example:
      headstart operators show moe_gate --target graviton3
    """
    import targets
    from schedules import describe

    kind = describe.operator_named(name)
    shown = describe.details(kind, targets.resolve(target))
    if as_json:
        _output.echo_json(shown)
        return
    click.echo(f"{shown['name']}: {shown['summary']}\n\n{shown['definition'].replace('``', '')}\n")
    _output.table("Parameters", ("name", "type", "default", "one of"), map(_parameter, shown["parameters"]), left=4)
    if shown["rows"]:
        click.echo(f"Rows, which {shown['rows']} counts, need nothing of each other.")
    for example in shown["examples"]:
        click.echo(f"\nexample {example['label']}   workload {example['workload']}")
        click.echo("  " + "\n  ".join(map(_argument, example["arguments"])))
        click.echo(f"  {example['flops']} operations, {_output.size(example['bytes'])}")
        click.echo(f"  spaces on {shown['target']}: {', '.join(example['spaces']) or 'none'}")


def _parameter(parameter: dict[str, Any]) -> tuple[str, ...]:
    default = "" if parameter["default"] is None else str(parameter["default"])
    return parameter["name"], parameter["type"], default, ", ".join(parameter["choices"] or ())


def _argument(argument: dict[str, Any]) -> str:
    shape = ", ".join(map(str, argument["shape"]))
    return f"{argument['role']:<6}  {argument['name']}: {argument['dtype']}[{shape}]"
