"""``headstart misses``: shapes that bundles lacked: shown, told to a database, and fetched to be tuned."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli._output import echo_json, json_option, say
from cli._service import Connection, service_options, url_options
from targets.digest import canonical_json
from targets.errors import HeadstartError, InputError

if TYPE_CHECKING:
    from headstart_runtime.misses import MissFile
    from tuning_db.misses import Missed

files_argument = click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))


@click.group()
def command() -> None:
    """Show what a deployment had no kernel for, tell a database of it, fetch it from there to tune it.

    \b
    Example:
      headstart misses push misses.json --db https://race.example --token-file user.token
      headstart tune misses --for 8h
    """


@command.command()
@files_argument
@json_option
def show(files: tuple[Path, ...], as_json: bool) -> None:
    """Show the misses in FILES, which programs write that use a bundle, and the workloads that they are of.

    \b
    Example:
      headstart misses show misses.json
    """
    found = [(path, *_read(path)) for path in files]
    if as_json:
        echo_json({"files": [_json(path, file, misses) for path, file, misses in found]})
        return
    for path, file, misses in found:
        say(f"{path}: {_count(misses)}, source {file.id}")
        _print(misses)


@command.command()
@files_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
@service_options
@json_option
def push(files: tuple[Path, ...], yes: bool, connection: Connection, as_json: bool) -> None:
    """Tell a database of the misses in FILES, after showing all that would be sent and asking.

    A service takes a token with the scope misses. Whatever was told of a file before is not counted again: tell of it
    as often as you like.

    \b
    Example:
      headstart misses push misses.json --db https://race.example --token-file user.token
      headstart misses push misses.json --db headstart.db --yes
    """
    from tuning_db.store import Store
    from tuning_db.telling import tell, told

    found = [(path, *_read(path)) for path in files]
    wanted = [one for one in found if one[2]]
    click.echo(f"To {connection.where}, and nothing else:" if wanted else "There is nothing to tell.", err=as_json)
    for path, file, misses in wanted:
        click.echo(f"of {path}, with the source {told(file.id, misses)['source']}:", err=as_json)
        for miss in misses:
            click.echo(f"  {canonical_json(miss.to_json())}", err=as_json)
    if wanted and not yes and not click.confirm("Send this?", err=as_json):
        raise HeadstartError("nothing was sent")
    if wanted and connection.is_shared:
        with connection.open() as client:
            for _, file, misses in wanted:
                tell(client, file.id, misses)
    elif wanted:
        with Store.open(connection.path) as store, store.transaction():
            for _, file, misses in wanted:
                store.tell_misses(file.id, misses, time.time())
    if as_json:
        echo_json({"told": [_json(path, file, misses) for path, file, misses in wanted]})
    elif wanted:
        click.echo(f"{connection.where} was told of {_count([miss for _, _, misses in wanted for miss in misses])}.")


@command.command("list")
@click.option("--target", help="Only on this chip: a name or a fingerprint.")
@service_options
@json_option
def list_(target: str | None, connection: Connection, as_json: bool) -> None:
    """List the misses in a database, what was missed most first: all for its operator, for others what they told.

    \b
    Example:
      headstart misses list --target host
    """
    from tuning_db.store import Store
    from tuning_db.telling import ask

    chip = _fingerprint(target)
    if connection.is_shared:
        with connection.open() as client:
            misses = ask(client, chip)
    else:
        with Store.open(connection.path, create=False) as store:
            misses = store.misses(target=chip)
    if as_json:
        echo_json({"misses": [miss.to_json() for miss in misses]})
        return
    say(f"{connection.where}: {_count(misses)}")
    _print(misses)


@command.command()
@click.option("--target", default="host", show_default=True, help="Chip: a name or a fingerprint.")
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    default="headstart.db",
    show_default=True,
    help="Database file to keep them in.",
)
@url_options
@json_option
def fetch(target: str, into: Path, connection: Connection, as_json: bool) -> None:
    """Fetch the misses on a chip from a service into a file, in the place of those that were fetched before.

    An operator's token fetches those of everybody; `headstart accounts token NAME --scope misses` makes one that is for
    nothing else.

    \b
    Example:
      headstart misses fetch --db https://race.example --token-file tuner.token && headstart tune misses --for 8h
    """
    from tuning_db.store import Store
    from tuning_db.telling import ask

    if not connection.is_url:
        raise InputError(f"{connection.where} is a file, whose misses are tuned there: give --db the URL of a service")
    with connection.open() as client:
        misses = ask(client, _fingerprint(target))
    with Store.open(into) as store:
        store.replace_misses(connection.where, misses, time.time())
    if as_json:
        echo_json({"path": str(into), "misses": [miss.to_json() for miss in misses]})
        return
    say(f"{into}: {_count(misses)} from {connection.where}")
    _print(misses)


def _read(path: Path) -> tuple[MissFile, list[Missed]]:
    """A file of misses, and what they come to; what is left out is said."""
    from tuner.missed import missed, read_misses

    file = read_misses(path)
    return file, missed(file, _left_out(path))


def _left_out(path: Path) -> Callable[[str], None]:
    return lambda line: click.echo(f"{path}: {line}", err=True)


def _fingerprint(target: str | None) -> str | None:
    from targets import resolve
    from tuning_db.misses import is_fingerprint

    return target if target is None or is_fingerprint(target) else resolve(target).fingerprint


def _count(misses: Sequence[Missed]) -> str:
    if not misses:
        return "no misses"
    times = sum(miss.count for miss in misses)
    return f"{len(misses):,} workload{'' if len(misses) == 1 else 's'}, missed {times:,} times"


def _json(path: Path, file: MissFile, misses: Sequence[Missed]) -> dict[str, object]:
    return {"path": str(path), "source": file.id, "misses": [miss.to_json() for miss in misses]}


def _print(misses: Sequence[Missed]) -> None:
    """A line for each: ids are long, and to be copied."""
    for miss in misses:
        given = ",".join(f"{name}={_spelled(value)}" for name, value in miss.params.items())
        say(f"{miss.count:>9,}  {miss.workload} on {miss.target}  {miss.operator}:{given}")


def _spelled(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
