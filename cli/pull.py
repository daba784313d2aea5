"""``headstart pull``: the fastest right kernels for a chip, as one directory that is pinned by a lock file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cli._options import cache_option
from cli._output import json_option
from cli._pull import directory_option, lock_option, pulling, show_pulled, source_of, trust_options
from cli._service import Connection, source_options
from cli._step import given_steps_options
from targets.errors import InputError


@click.command("pull")
@click.argument("model", required=False)
@given_steps_options
@click.option("--target", default="host", show_default=True, help="Chip: a name, or a fingerprint.")
@source_options
@directory_option(needed=True)
@click.option(
    "--tier",
    type=click.Choice(["claimed", "replayed", "reproduced"]),
    default="reproduced",
    show_default=True,
    help="Least trust in a schedule: its vendor's word, found right by a referee, or timed again by one.",
)
@cache_option
@click.option("--toolchain", metavar="ID", help="Built by this toolchain; by this machine's unless said.")
@lock_option
@click.option("--locked", is_flag=True, help="Take exactly what the lock file pins, or fail.")
@click.option("--offline", is_flag=True, help="Ask nobody and build nothing; take what was pulled before.")
@trust_options
@json_option
def command(
    *,
    model: str | None,
    given: dict[str, Any],
    target: str,
    connection: Connection,
    release: str,
    output: Path,
    tier: str,
    cache: str | None,
    toolchain: str | None,
    lock: Path,
    locked: bool,
    offline: bool,
    root: Path | None,
    prebuilt: bool,
    as_json: bool,
) -> None:
    """Bring the fastest right kernels of MODEL for a chip into the directory OUTPUT, and pin them in a lock file.

    A service may have them built for exactly this chip, toolchain and policy; if not, and from a database, they are
    built here, run, and compared with the references before they are placed. OUTPUT is the old bundle or the new one at
    any moment, and a pull that broke off goes on where it was. With --locked the lock file says what is wanted, and
    MODEL and the options that choose are left out.

    \b
    Example:
        headstart pull deepseek-v4-flash --from https://race.example --release v4 -o v4-flash.bundle
        headstart pull deepseek-v4-flash --tokens 1,16,128 --from headstart.db -o v4-flash.bundle
        headstart pull --locked -o v4-flash.bundle
    """
    from tuner.wishing import check_chip, wish_for
    from tuning_db.deploy.deployment import Deployment
    from tuning_db.deploy.lock import needed_lock

    if locked:
        pinned = needed_lock(lock)
        check_chip(pinned, target, lock)
        connection, release = connection.at(pinned.origin.where), pinned.origin.release
    elif model is None:
        raise InputError("which model: headstart pull MODEL, or --locked for what the lock file says")
    with pulling(source_of(connection, release, root, offline), prebuilt) as (puller, _):
        deployment = Deployment(puller.cache, lock, output)
        if model is None or locked:
            pulled = puller.reproduce(deployment)
        else:
            wish = wish_for(connection.where, model, given, target, tier, toolchain, cache)
            pulled = puller.pull(deployment, wish)
    show_pulled(pulled, lock, as_json)
