"""``headstart referee``: judge what vendors claim."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from cli._interrupt import interruptible
from cli._output import console, echo_json, json_option, progress_console, table
from cli._service import Connection, service_options
from targets.errors import InputError

if TYPE_CHECKING:
    from tuner.referee.docket import Claimed
    from tuner.referee.loop import Judged

COLOURS = {"reproduced": "green", "replayed": "cyan", "unjudged": "yellow", "refused": "red"}


@click.command()
@service_options
@click.option("--target", default="host", show_default=True, help="Chip whose claims to judge; it need not be here.")
@click.option("--once", is_flag=True, help="Judge what is pending, and end.")
@click.option("--watch", type=click.FloatRange(min=0.1), metavar="SECONDS", help="Look for more, this often.")
@click.option("--again", is_flag=True, help="Judge also what you have judged before.")
@click.option("--check", "only_check", is_flag=True, help="Try what holds the sandbox together here, and end.")
@click.option("--unsafe-no-sandbox", is_flag=True, help="Run what vendors sent as you, without any sandbox.")
@json_option
def command(
    connection: Connection,
    target: str,
    once: bool,
    watch: float | None,
    again: bool,
    only_check: bool,
    unsafe_no_sandbox: bool,
    as_json: bool,
) -> None:
    """Judge what vendors claim: build it in a sandbox, check its outputs on secret inputs, time it, send the verdict.

    Takes the account of a referee that the release was opened for. With --json it prints a line for each verdict. With
    --check it exits with 1 where something does not hold.

    \b
    Example:
      headstart referee --check
      headstart referee --db https://race.example --token-file judge.token --once
      headstart referee --db race.db --as judge --watch 60 --json
    """
    if only_check:
        _check(as_json)
        return
    if once == (watch is not None):
        raise InputError("say --once or --watch SECONDS")
    from targets import resolve
    from tuner.referee.docket import require_judgeable
    from tuner.referee.loop import Referee, require_sandbox

    chip = resolve(target)
    require_judgeable(chip)
    if unsafe_no_sandbox:
        click.echo("warning: what vendors sent runs as you, with your files and your network", err=True)
    else:
        require_sandbox()
    counts: dict[str, int] = {}
    with connection.open() as client, interruptible(), progress_console.status("asks what is pending") as status:

        def say(claimed: Claimed, what: str) -> None:
            shape = f"{claimed.workload['operator']} {claimed.workload['label']}"
            status.update(f"{what} {claimed.id} of {claimed.vendor}: {shape}")

        since = time.time() if again else 0.0
        referee = Referee(client, chip.fingerprint, confined=not unsafe_no_sandbox, since=since, say=say)
        try:
            for judged in referee.once() if once else referee.watch(watch or 0.0):
                counts[judged.ruling.outcome.value] = counts.get(judged.ruling.outcome.value, 0) + 1
                _print(judged, as_json)
                status.update("asks what is pending")
        except KeyboardInterrupt:
            pass
    if not as_json:
        listed = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
        console.print(f"{sum(counts.values())} judged{': ' if listed else ''}{listed}")


def _print(judged: Judged, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(judged.to_json(), allow_nan=False))
        return
    from rich.text import Text

    claimed, outcome = judged.claimed, judged.ruling.outcome.value
    line = Text.assemble(
        (f"{outcome:<10}", COLOURS.get(outcome, "")),
        f" {claimed.id}  {claimed.vendor}  {claimed.workload['operator']} {claimed.workload['label']}"
        f"  {judged.seconds:.1f} s\n",
        (f"           {judged.ruling.reason}", "dim"),
        (f"\n           not taken: {judged.untaken}" if judged.untaken else "", "red"),
    )
    console.print(line, soft_wrap=True)


def _check(as_json: bool) -> None:
    from tuner.referee.probes import check

    layers, found = check()
    held = all(one.holds for one in found)
    if as_json:
        answer: dict[str, Any] = {"holds": held, "layers": layers, "probes": [vars(one) for one in found]}
        echo_json(answer)
    else:
        table("Layers", ("layer", "in force"), [(name, "yes" if there else "no") for name, there in layers.items()])
        rows = [(one.name, "yes" if one.holds else "NO", one.how) for one in found]
        table("Tried inside", ("what must hold", "holds", "what happened"), rows)
    sys.exit(0 if held else 1)
