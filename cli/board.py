"""``headstart board``: who is ahead in a release, how ready the chips are, how the race went."""

from __future__ import annotations

import click

from cli._boards import show_board, show_headstart, show_readiness, show_timeline
from cli._output import echo_json, json_option
from cli._service import Connection, service_options

VIEWS = ("board", "readiness", "timeline", "headstart")


@click.command()
@click.argument("release")
@click.option(
    "--view",
    type=click.Choice(VIEWS),
    default="board",
    show_default=True,
    help="What each vendor has; operators by chips; who led from when; what being early was worth.",
)
@click.option("--target", help="Only this chip, by name or fingerprint.")
@service_options
@json_option
def command(release: str, view: str, target: str | None, connection: Connection, as_json: bool) -> None:
    """Show who is ahead in RELEASE, by name or id, as far as you may know; `public` is for what belongs to none.

    \b
    Example:
      headstart board v5-preview --db race.db --as acme
      headstart board v5-preview --view readiness --target h100 --db https://race.example --token-file lab.token
    """
    from dataclasses import asdict

    from tuning_db.board.answers import reader
    from tuning_db.board.records import Board, HeadStart, Readiness, Timeline
    from tuning_db.client import at

    kind = {"board": Board, "readiness": Readiness, "timeline": Timeline, "headstart": HeadStart}[view]
    with connection.open() as client:
        found = client.get(at("releases", release, view), reader(kind), target=target)
    if as_json:
        echo_json(asdict(found))  # type: ignore[call-overload]
        return
    {"board": show_board, "readiness": show_readiness, "timeline": show_timeline, "headstart": show_headstart}[view](
        found
    )
