"""``headstart worker``: turn this machine into a measurer of a Ray cluster, for its own chip."""

from __future__ import annotations

import click

from cli._interrupt import interruptible


@click.command("worker")
@click.option("--ray", "address", metavar="ADDRESS", required=True, help="HOST:PORT of the head of the Ray cluster.")
@click.option("--target", default="host", show_default=True, help="Chip that this machine measures for.")
@click.option("--build", "builders", type=click.IntRange(min=0), help="Schedules that it builds at once for others.")
def command(address: str, target: str, builders: int | None) -> None:
    """Join a Ray cluster as a node that measures on this machine's chip, until Ctrl-C.

    Every device of the chip that is in this machine takes one measurement at a time. Jobs are started elsewhere, with
    `headstart tune --ray ADDRESS`; both must have the same Headstart with the same TVM. By default nothing is built
    here where the chip is the CPU, since that would disturb the measurements, and as much as there are cores where it
    is not. The head of a cluster is started with `ray start --head`.

    \b
    Example:
        headstart worker --ray 10.0.0.7:6379
    """
    from targets import resolve
    from tuner.cluster.node import Node

    chip = resolve(target)
    with Node(address, chip, builders) as node, interruptible():
        what = f"{len(node.devices)} device{'s' if len(node.devices) > 1 else ''}: {', '.join(node.devices)}"
        click.echo(f"{chip.name} ({chip.fingerprint}) measures for the cluster at {address}, {what}. Ctrl-C ends it.")
        try:
            node.wait()
        except KeyboardInterrupt:
            click.echo("Leaving the cluster; what was measured is kept where the job runs.", err=True)
