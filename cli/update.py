"""``headstart update``: what would get faster since the lock file was written, and then to have it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli._output import echo_json, json_option, say, seconds, table
from cli._pull import directory_option, lock_option, pulling, show_pulled, source_of, trust_options
from cli._service import Connection, identity_options
from targets.units import times

if TYPE_CHECKING:
    from tuning_db.deploy.changes import Changes
    from tuning_db.selection import Selection


@click.command("update")
@directory_option(needed=False)
@lock_option
@identity_options
@trust_options
@click.option("--yes", is_flag=True, help="Take it without asking.")
@json_option
def command(
    output: Path | None,
    lock: Path,
    connection: Connection,
    root: Path | None,
    prebuilt: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Show which kernels would get faster than those the lock file pins, and by how much, then take them if you say so.

    Times are those of the trials, each as it was measured where it ran; a step of the model is the sum over its calls.
    With --json nothing is taken unless --yes is given.

    \b
    Example:
        headstart update
        headstart update --yes --json
    """
    from tuner.wishing import wish_again
    from tuning_db.deploy.deployment import Deployment
    from tuning_db.deploy.lock import needed_lock

    pinned = needed_lock(lock)
    source = source_of(connection.at(pinned.origin.where), pinned.origin.release, root, False)
    with pulling(source, prebuilt) as (puller, screen):
        deployment = Deployment(puller.cache, lock, output)
        directory = deployment.directory
        with puller.plan(deployment, wish_again(pinned)) as (plan, opened):
            changes, new = puller.changes(deployment, plan), not puller.is_pinned(deployment, plan)
            screen.stop()
            if new and not as_json:
                _show(changes, pinned.selection, plan.selection)
            faster = changes.speedup is None or changes.speedup >= 1
            take = not new or yes or (not as_json and click.confirm("Take it?", default=faster))
            if take:
                pulled = puller.take(deployment, plan, opened)
    if as_json:
        echo_json({"path": str(directory), "new": new, "taken": new and take, **changes.to_json()})
    elif take:
        show_pulled(pulled, lock, False)


def _show(changes: Changes, was: Selection, to: Selection) -> None:
    """The kernels that change, and what that is for a step."""
    if not changes.kernels:
        plans = was.families != to.families
        say("The same kernels, by other plans." if plans else "The same schedules; the bundle was built anew.")
        return
    rows = []
    for change in changes.kernels:
        kernel, (before, after) = change.kernel, change.seconds
        rows.append(
            (
                ", ".join(kernel.names),
                f"{kernel.operator} {kernel.label}",
                str(kernel.calls),
                seconds(before),
                seconds(after),
                times(change.speedup),
                change.used,
            )
        )
    columns = ("name", "kernel", "calls", "now", "then", "speed-up", "tier")
    table(f"What changes for {to.model}", columns, rows, left=2)
    now, then = seconds(changes.step_before), seconds(changes.step_after)
    known = f"{changes.timed} of {changes.of} kernels are timed"
    what = "All numbers of rows that have a kernel, together" if to.families else "A step"
    say(f"{what}: {now} now, {then} then, {times(changes.speedup)} as fast; {known}.")
