"""``headstart claims``: what was claimed, how far it is trusted, and taking it back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from cli._moment import moment
from cli._output import echo_json, json_option, say, seconds
from cli._service import Connection, service_options
from targets.digest import canonical_json


@click.group()
def command() -> None:
    """List claims that you may see, show one with what was said of it, withdraw one of yours.

    \b
    Example:
      headstart claims list --release v5-preview --db https://race.example --token-file acme.token
    """


@command.command("list")
@click.option("--release", help="Only of this release, by name or id; `public` is for what belongs to none.")
@click.option("--vendor", help="Only of this vendor; for a vendor, its own unless --all is given.")
@click.option("--all", "everybody", is_flag=True, help="For a vendor: of everybody, as far as it may see them.")
@click.option(
    "--count", type=click.IntRange(1), default=100, show_default=True, help="At most so many, the latest first."
)
@service_options
@json_option
def list_(
    release: str | None, vendor: str | None, everybody: bool, count: int, connection: Connection, as_json: bool
) -> None:
    """List claims, the latest first: a vendor's own, and for others all that they may see.

    \b
    Example:
      headstart claims list --release v5-preview --count 20
    """
    from tuning_db.answers import ACCOUNT, CLAIMS
    from tuning_db.client import at

    found: list[dict[str, Any]] = []
    with connection.open() as client:
        if vendor is None and not everybody and connection.somebody:
            account = client.get(at("account"), ACCOUNT)
            vendor = account["name"] if account["role"] == "vendor" else None
        after = None
        while len(found) < count:
            query = {"release": release, "vendor": vendor, "after": after, "count": min(count - len(found), 500)}
            page = client.get(at("claims"), CLAIMS, **query)
            found += page["claims"]
            after = page["next"]
            if after is None or not page["claims"]:
                break
    if as_json:
        echo_json({"claims": found, "more": after is not None})
        return
    if not found:
        say("No claims.")
        return
    for row in found:
        # Not a table: ids are long, and to be copied.
        how = row["tier"] if row["state"] == "standing" else row["state"]
        say(f"{row['id']}  {how:<10}  {seconds(row['median']):>8}  {row['vendor']}  {moment(row['received'])[:-3]}")
        say(f"    {row['workload']} on {row['target']}" + (f", {row['reason']}" if row["reason"] else ""))
    if after is not None:
        say(f"These are the latest {len(found):,}; --count shows more.")


@command.command()
@click.argument("claim")
@service_options
@json_option
def show(claim: str, connection: Connection, as_json: bool) -> None:
    """Show CLAIM, by its id, with its schedule and what referees said of it.

    \b
    Example:
      headstart claims show t0197f3c2a1b4d2f6c1e0a9b8c7d6 --db https://race.example
    """
    from tuning_db.answers import CLAIM
    from tuning_db.client import at

    with connection.open() as client:
        answer = client.get(at("claims", claim), CLAIM)
    if as_json:
        echo_json(answer)
        return
    print_claim(answer)


@command.command()
@click.argument("claim")
@click.option("--reason", default="", help="Why, for who reads it later.")
@service_options
@json_option
def withdraw(claim: str, reason: str, connection: Connection, as_json: bool) -> None:
    """Withdraw CLAIM, one of yours, for good: it leads no more, and stays in the ledger. The rules say until when.

    \b
    Example:
      headstart claims withdraw t0197f3c2a1b4d2f6c1e0a9b8c7d6 --reason "timed on another chip"
    """
    from tuning_db.answers import JUDGED
    from tuning_db.client import at

    body = {"outcome": "withdrawn", "reason": reason}
    with connection.open() as client:
        answer = client.post(at("claims", claim, "verdicts"), body, JUDGED)
    if as_json:
        echo_json(answer)
        return
    say(f"claim {answer['id']} is {answer['state']}")


def print_claim(claim: Mapping[str, Any]) -> None:
    """A claim, a line for each thing that is known of it."""
    timing, schedule = claim["timing"], claim["schedule"]
    lines = {
        "claim": f"{claim['id']} of {claim['vendor']}, received {moment(claim['received'])} UTC",
        "release": claim["release"],
        "workload": claim["workload"],
        "target": claim["target"],
        "state": claim["state"] + (f": {claim['reason']}" if claim["reason"] else ""),
        "tier": claim["tier"],
        "time": f"{seconds(claim['median'])}, spread {seconds(claim['spread'])} over {len(claim['samples'])} samples",
        "schedule": f"{schedule['space']} v{schedule['version']} {canonical_json(schedule['config'])}",
        "": schedule["id"],
        "policy": f"{timing['cache']} cache, {timing['threads']} threads, {timing['clock']} clock",
        "toolchain": ", ".join(f"{name} {version}" for name, version in claim["versions"].items()),
        "machine": claim["machine"] or "unknown",
    }
    for name, value in lines.items():
        say(f"{name:<10} {value}")
    for verdict in claim.get("verdicts", ()):
        why = f": {verdict['reason']}" if verdict["reason"] else ""
        say(f"{'verdict':<10} {verdict['outcome']} by {verdict['judge']}, {moment(verdict['created'])} UTC{why}")
