"""``headstart best``: the champion of a workload on a chip, of a local database or of a service."""

from __future__ import annotations

import statistics
from datetime import datetime
from typing import TYPE_CHECKING

import click

from cli._output import echo_json, json_option, seconds
from cli._service import Connection, service_options
from targets.digest import canonical_json
from targets.errors import HeadstartError
from targets.units import times

if TYPE_CHECKING:
    from tuner.best import Best


@click.command("best")
@click.argument("workload")
@click.option("--target", default="host", show_default=True, help="Chip: a name or a fingerprint.")
@service_options
@json_option
def command(workload: str, target: str, connection: Connection, as_json: bool) -> None:
    """Show the fastest right schedule known for WORKLOAD on exactly this chip; exit with 1 where there is none.

    WORKLOAD is an id, its first characters, or an operator with its parameters. In a file that is what was tuned here.
    A service, or a file with --as NAME, has what was claimed, as far as it is open to you; ids are whole there.

    \b
    Example:
        headstart best linear:m=16,n=4096,k=4096,dtype=bfloat16,out=bfloat16 --target host
        headstart best linear:m=16,n=4096,k=4096 --target h100 --db https://race.example
    """
    if connection.is_shared:
        _claimed(workload, target, connection, as_json)
        return
    from tuner.best import best
    from tuning_db.store import Store

    with Store.open(connection.path, create=False) as store:
        found = best(store, workload, target)
    if as_json:
        echo_json({"champions": [each.to_json() for each in found]})
        return
    for at, each in enumerate(found):
        if at:
            click.echo()
        _print(each)


def _claimed(workload: str, target: str, connection: Connection, as_json: bool) -> None:
    """Show what a shared database has for them."""
    from cli.claims import print_claim
    from tuner.best import named
    from tuning_db.answers import CHAMPIONS
    from tuning_db.client import ServiceError, at

    id, chip = named(workload, target)
    with connection.open() as client:
        try:
            answer = client.get(at("champions"), CHAMPIONS, workload=id, target=chip)
        except ServiceError as error:
            if error.status != 404:
                raise
            raise HeadstartError(f"no claim on {id} for {target} ({chip}) that is open to you") from None
    if as_json:
        echo_json(answer)
        return
    for at_, claim in enumerate(answer["champions"]):
        if at_:
            click.echo()
        print_claim(claim)


def _print(best: Best) -> None:
    trial, policy = best.trial, best.policy
    lines = {
        "workload": f"{best.workload['operator']} {best.workload['label']} ({trial.key.workload})",
        "target": f"{best.target} ({trial.key.target})",
        "time": _time(best),
        "default": f"{seconds(best.default_seconds)}, speed-up {times(best.speedup)}" if best.speedup else "not timed",
        "schedule": f"{best.schedule.space} v{best.schedule.version} {canonical_json(dict(best.schedule.config))}",
        "": best.schedule.id,
        "weights": _weights(best),
        "policy": f"{policy['cache']} cache, {policy['threads']} threads, {policy['clock']} clock",
        "toolchain": ", ".join(f"{name} {version}" for name, version in best.toolchain.items()),
        "trial": f"{trial.id}, by {trial.author or 'unknown'} on {trial.machine or 'unknown'}, "
        f"{datetime.fromtimestamp(trial.created):%Y-%m-%d %H:%M}",
        "evidence": _evidence(best),
    }
    for name, value in lines.items():
        click.echo(f"{name:<10} {value}")


def _time(best: Best) -> str:
    """How long it takes, or why nobody knows."""
    trial = best.trial
    if trial.untimed:
        return f"not timed: {trial.untimed} stood in for the chip, where it gave right outputs (tier {best.tier})"
    return f"{seconds(trial.median)}, spread {seconds(trial.spread)} over {len(trial.samples)} samples"


def _weights(best: Best) -> str:
    """Whether the schedule lays them out anew, and how long that took, once, when they were loaded."""
    prepared = best.trial.evidence.get("prepare_s")
    return f"laid out anew in {seconds(prepared)}, once, at load" if prepared else "as the model stores them"


def _evidence(best: Best) -> str:
    """What the champion beat, and by how much."""
    ratios, incumbent = best.trial.evidence.get("ratios"), best.trial.evidence.get("incumbent")
    if by := best.trial.evidence.get("preferred"):
        return f"preferred to {incumbent} by a guess ({by}), not by a time"
    if not ratios:
        return "the first right schedule of this workload" if not incumbent else f"{incumbent} no longer ran"
    wins, middle = sum(ratio < 1 for ratio in ratios), statistics.median(ratios)
    return f"faster than {incumbent} in {wins} of {len(ratios)} interleaved pairs, median ratio of times {middle:.3f}"
