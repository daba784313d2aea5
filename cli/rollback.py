"""``headstart rollback``: the bundle and the lock file that were there before."""

from __future__ import annotations

from pathlib import Path

import click

from cli._output import json_option
from cli._pull import directory_option, lock_option, pulling, show_pulled, source_of
from cli._service import Connection


@click.command("rollback")
@directory_option(needed=False)
@lock_option
@json_option
def command(output: Path | None, lock: Path, as_json: bool) -> None:
    """Put back the bundle that was there before the last pull or update, and the lock file with it.

    It needs no connection and no compiler: what this machine deployed before is in its cache. Once more goes back once
    more; a pull or an update goes forward again.

    \b
    Example:
        headstart rollback
    """
    from tuning_db.deploy.deployment import Deployment

    with pulling(source_of(Connection(""), "", None, True), True) as (puller, _):
        deployment = Deployment(puller.cache, lock, output)
        pulled = puller.back(deployment, deployment.before())
    show_pulled(pulled, lock, as_json)
