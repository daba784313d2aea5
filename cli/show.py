"""``headstart show``: what an id stands for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from cli._output import echo_json, json_option, say, seconds
from cli._service import Connection, service_options
from targets.digest import canonical_json
from targets.errors import InputError

# Longer values are for --json.
WIDTH = 200
TIMES = ("median", "spread", "build_s")


@click.command("show")
@click.argument("id")
@click.option("--script", is_flag=True, help="Print the tensor program instead, scheduled where there is a schedule.")
@click.option("--workload", help="With --script and the id of a schedule: the workload to apply it to.")
@click.option("--target", help="With --script: the chip to schedule for; by default that of the trial, or host.")
@service_options
@json_option
def command(
    id: str, script: bool, workload: str | None, target: str | None, connection: Connection, as_json: bool
) -> None:
    """Show what ID stands for: a workload, schedule, trial, target, job, model, toolchain or policy.

    The first characters of an id are enough. A service, or a file with --as NAME, shows a claim by its trial, a release
    or a workload, by whole ids and as far as they are open to you.

    \b
    Example:
        headstart show t019a --script
        headstart show t0197f3c2a1b4d2f6c1e0a9b8c7d6 --db https://race.example
    """
    if connection.is_shared:
        if script or workload or target:
            raise InputError("--script, --workload and --target are for what was tuned here, in a file")
        _shared(id, connection, as_json)
        return
    from tuning_db.find import find
    from tuning_db.store import Store

    with Store.open(connection.path, create=False) as store:
        if script:
            from tuner.script import script_of

            text = script_of(store, id, workload, target)
            if as_json:
                echo_json({"id": id, "script": text})
            else:
                click.echo(text)
            return
        kind, row = find(store, id)
    if as_json:
        echo_json({"kind": kind, **row})
        return
    click.echo(f"{kind} {row.get('id') or row.get('fingerprint')}")
    _print(row, skip=("id", "fingerprint", "canonical"))


def _shared(id: str, connection: Connection, as_json: bool) -> None:
    """Show what an id stands for in a shared database; its first letter says what that is."""
    from cli.claims import print_claim
    from cli.releases import print_release
    from tuning_db.answers import CLAIM, RELEASE, WORKLOAD
    from tuning_db.client import at

    known = {
        "t": ("claim", "claims", CLAIM),
        "r": ("release", "releases", RELEASE),
        "w": ("workload", "workloads", WORKLOAD),
    }
    if id[:1] not in known:
        raise InputError(f"{id!r} is no id of a claim (t...), a release (r...) or a workload (w...)")
    kind, table, form = known[id[:1]]
    with connection.open() as client:
        row = client.get(at(table, id), form)
    if as_json:
        echo_json({"kind": kind, **row})
    elif kind == "claim":
        print_claim(row)
    elif kind == "release":
        print_release(row)
    else:
        say(f"workload {row['id']}")
        for line in row["canonical"].splitlines():
            say(f"  {line}")


def _print(row: Mapping[str, Any], indent: str = "  ", skip: tuple[str, ...] = ()) -> None:
    for name, value in row.items():
        if name in skip:
            continue
        if isinstance(value, list) and value and isinstance(value[0], dict):
            click.echo(f"{indent}{name}:")
            for at, item in enumerate(value):
                if at:
                    click.echo()
                _print(item, indent + "  ")
        else:
            click.echo(f"{indent}{name:<12} {_text(name, value)}")


def _text(name: str, value: Any) -> str:
    if name in TIMES:
        return "not timed" if value is None else seconds(value)
    if name in {"created", "first", "last", "started", "heartbeat", "used"} and isinstance(value, float):
        from datetime import datetime

        return f"{datetime.fromtimestamp(value):%Y-%m-%d %H:%M:%S}"
    if name == "samples":
        return ", ".join(map(seconds, value)) or "none"
    text = value if isinstance(value, str) else canonical_json(value)
    return text if len(text) <= WIDTH else f"{text[:WIDTH]}... ({len(text)} characters; --json has all)"
