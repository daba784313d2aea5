"""``headstart accounts``: who may use a shared database, and the tokens that let them in."""

from __future__ import annotations

import time
from pathlib import Path

import click

from cli._moment import moment
from cli._options import db_option
from cli._output import echo_json, json_option, table


@click.group()
def command() -> None:
    """Make accounts in a database that is served, and give out and revoke their tokens.

    \b
    Example:
      headstart accounts add acme vendor --db race.db
      headstart accounts token acme --days 30 --db race.db
    """


@command.command()
@click.argument("name")
@click.argument("role", type=click.Choice(["operator", "publisher", "vendor", "referee", "deployer"]))
@db_option
@json_option
def add(name: str, role: str, db: Path, as_json: bool) -> None:
    """Make an account called NAME; the database is made where there is none.

    \b
    Example:
      headstart accounts add acme vendor
    """
    from tuning_db.store import Store

    with Store.open(db) as store:
        account = store.add_account(name, role, time.time())
    if as_json:
        echo_json({"id": account.id, "name": account.name, "role": account.role})
        return
    article = "an" if account.role.startswith("o") else "a"
    click.echo(f"{account.name}: {article} {account.role}, id {account.id}")


@command.command("list")
@db_option
@json_option
def list_(db: Path, as_json: bool) -> None:
    """List the accounts, with their tokens as far as those may be shown.

    \b
    Example:
      headstart accounts list --json
    """
    from tuning_db.store import Store

    with Store.open(db, create=False) as store:
        found = [{**row, "tokens": store.tokens(store.account(row["id"]))} for row in store.accounts()]
    if as_json:
        echo_json({"accounts": found})
        return
    now = time.time()
    rows = [
        (
            row["name"],
            row["role"],
            moment(row["created"]),
            "closed" if row["closed"] is not None and row["closed"] <= now else "open",
            ", ".join(token["id"] for token in row["tokens"] if token["revoked"] is None and token["expires"] > now),
        )
        for row in found
    ]
    table("Accounts", ("name", "role", "since (UTC)", "state", "valid tokens"), rows, left=5)


@command.command()
@click.argument("name")
@click.option(
    "--days", type=click.FloatRange(0, min_open=True), default=90, show_default=True, help="How long it lives."
)
@click.option("--scope", "scopes", multiple=True, help="What it may do; all that the role may unless said.")
@db_option
@json_option
def token(name: str, days: float, scopes: tuple[str, ...], db: Path, as_json: bool) -> None:
    """Issue a token for the account NAME. It is shown once and not kept.

    \b
    Example:
      headstart accounts token acme --days 30 --scope read
    """
    from tuning_db.store import Store

    with Store.open(db, create=False) as store:
        now = time.time()
        id, secret = store.issue_token(store.account(name), now, days * 86400, scopes or None)
    if as_json:
        echo_json({"id": id, "token": secret, "expires": now + days * 86400})
        return
    click.echo(f"token {id}, until {moment(now + days * 86400)} UTC:", err=True)
    click.echo(secret)


@command.command()
@click.argument("token_id", metavar="TOKEN")
@db_option
def revoke(token_id: str, db: Path) -> None:
    """Revoke the token with the id TOKEN, from now on.

    \b
    Example:
      headstart accounts revoke k0197f3c2a1b4d2f6c1e0a9b8c7d6
    """
    from tuning_db.store import Store

    with Store.open(db, create=False) as store:
        store.revoke_token(token_id, time.time())
    click.echo(f"token {token_id} opens nothing any more")


@command.command()
@click.argument("name")
@db_option
def close(name: str, db: Path) -> None:
    """Close the account NAME: none of its tokens opens anything from now on. What it did stays.

    \b
    Example:
      headstart accounts close acme
    """
    from tuning_db.store import Store

    with Store.open(db, create=False) as store:
        store.close_account(name, time.time())
    click.echo(f"{name} is closed")


class _Amount(click.ParamType):
    """A number, or the word ``default``."""

    name = "number"

    def __init__(self, kind: type[int] | type[float]) -> None:
        self.kind = kind

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        """The number, or the word."""
        if value == "default":
            return value
        try:
            return self.kind(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number nor 'default'", param, ctx)


@command.command()
@click.argument("name")
@click.option("--requests", type=_Amount(float), help="Requests a second.")
@click.option("--claims", type=_Amount(int), help="Claims in 24 hours.")
@click.option("--bytes", type=_Amount(int), help="Bytes of submissions in 24 hours.")
@click.option("--misses", type=_Amount(int), help="Misses that are kept of it.")
@click.option("--uploads", type=_Amount(int), help="Bytes of files of repositories in 24 hours.")
@db_option
@json_option
def quota(name: str, db: Path, as_json: bool, **wanted: float | str | None) -> None:
    """Let the account NAME do more or less than others, and show what it may do and what it sent.

    What is not said stays; `default` goes back to what `headstart serve` lets everybody do. It counts from the next
    request on.

    \b
    Example:
      headstart accounts quota acme
      headstart accounts quota acme --claims 100000 --requests default
    """
    from tuning_db.store import Store

    changed = {what: None if value == "default" else value for what, value in wanted.items() if value is not None}
    with Store.open(db, create=False) as store:
        account = store.account(name)
        may = store.set_quota(account, **changed) if changed else store.own_quota(account.id)  # type: ignore[arg-type]
        now = time.time()
        kept = {"misses": store.kept_misses(account.id), "uploads": store.uploads(account.id, now)}
        sent = store.sent(account.id, now) | kept
    if as_json:
        echo_json({"account": account.name, "quota": vars(may), "sent": sent})
        return
    rows = [
        (what, "default" if value is None else f"{value:,}", f"{sent[what]:,}" if what in sent else "")
        for what, value in vars(may).items()
    ]
    named = {
        "requests": "requests a second",
        "claims": "claims in 24 hours",
        "bytes": "bytes in 24 hours",
        "misses": "misses kept",
        "uploads": "bytes of files in 24 hours",
    }
    table(account.name, ("what", "at most", "sent"), [(named[what], *rest) for what, *rest in rows])
