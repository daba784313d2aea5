"""``headstart db``: look after the database."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO, Any

import click

from cli._options import db_option
from cli._output import echo_json, json_option, size, table
from cli._service import Connection, url_options


@click.group()
def command() -> None:
    """Count, check, copy and merge databases.

    \b
    Example:
      headstart db stats
      headstart db check --db night.db
    """


@command.command()
@db_option
@json_option
def stats(db: Path, as_json: bool) -> None:
    """Count what is in a database.

    \b
    Example:
      headstart db stats --json
    """
    from tuning_db.statistics import statistics
    from tuning_db.store import Store

    with Store.open(db, create=False) as store:
        found = statistics(store)
    if as_json:
        echo_json(found)
        return
    counts = [(name, f"{count:,}") for name, count in found.items() if isinstance(count, int) and name != "bytes"]
    table(f"{db}, {size(found['bytes'])}", ("what", "count"), [(name.replace("_", " "), n) for name, n in counts])
    if found["by_status"]:
        table("Trials by status", ("status", "trials"), [(s, f"{n:,}") for s, n in found["by_status"].items()])
    if found["targets"]:
        rows = [(t["name"], t["fingerprint"], f"{t['trials']:,}", f"{t['champions']:,}") for t in found["targets"]]
        table("Targets", ("target", "fingerprint", "trials", "champions"), rows, left=2)


@command.command()
@db_option
@json_option
def check(db: Path, as_json: bool) -> None:
    """Look for damage and contradictions; exit with 1 where there are any.

    \b
    Example:
      headstart db check && headstart db backup night.db
    """
    from tuning_db.check import check as look_over
    from tuning_db.store import Store

    with Store.open(db, create=False) as store:
        findings = look_over(store)
    if as_json:
        echo_json({"path": str(db), "findings": [finding._asdict() for finding in findings]})
    else:
        for finding in findings:
            click.echo(f"{finding.where}: {finding.problem}")
        click.echo(f"{db}: {len(findings)} findings" if findings else f"{db}: nothing wrong")
    sys.exit(1 if findings else 0)


@command.command()
@click.argument("copy", type=click.Path(path_type=Path))
@url_options
@json_option
def backup(copy: Path, connection: Connection, as_json: bool) -> None:
    """Copy the database to COPY, also while it is in use; that of a service takes a token with the scope admin.

    \b
    Example:
      headstart db backup headstart-2026-07-01.db
      headstart db backup race-2026-07-01.db --db https://race.example --token-file root.token
    """
    from tuning_db.backup import backup as copy_to
    from tuning_db.backup import fetch

    if connection.is_url:
        with connection.open() as client:
            written = fetch(client, copy)
    else:
        written = copy_to(connection.path, copy)
    if as_json:
        echo_json({"path": str(copy), "bytes": written})
    else:
        click.echo(f"{copy}: {size(written)}")


@command.command("export")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@db_option
@json_option
def export_(file: Path, db: Path, as_json: bool) -> None:
    """Write what is worth sharing to FILE as JSON lines; - is standard output.

    What belongs to a release that is not launched yet is left out.

    \b
    Example:
      headstart db export night.jsonl
      headstart db export - | gzip > night.jsonl.gz
    """
    from tuning_db.exchange import export, export_file
    from tuning_db.store import Store

    with Store.open(db, create=False) as store:
        if str(file) == "-":
            export(store, sys.stdout.buffer)
        else:
            _moved(export_file(store, file), file, as_json, "written")


@command.command("import")
@click.argument("file", type=click.File("rb"))
@db_option
@json_option
def import_(file: IO[bytes], db: Path, as_json: bool) -> None:
    """Add the records of FILE, an export, all of them or none; - is standard input.

    A champion that is here already stays.

    \b
    Example:
      headstart db import night.jsonl --db all.db
      gunzip -c night.jsonl.gz | headstart db import -
    """
    from tuning_db.exchange import import_into

    added = import_into(db, file, click.format_filename(file.name))
    _moved(added, db, as_json, "new")


def _moved(counts: dict[str, int], where: Path, as_json: bool, verb: str) -> None:
    """Say how many records of each kind went where."""
    if as_json:
        answer: dict[str, Any] = {"path": str(where), verb: counts}
        echo_json(answer)
    else:
        click.echo(f"{where}: {', '.join(f'{count:,} {kind}' for kind, count in counts.items())} {verb}")
