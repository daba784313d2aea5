"""``headstart releases``: models that are not public yet, who is invited when, and who is ahead."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from cli._moment import MOMENT, SPAN_OF_TIME, UNITS, moment
from cli._output import echo_json, json_option, say, seconds, table
from cli._service import Connection, service_options
from targets.errors import InputError


@click.group()
def command() -> None:
    """Make releases and invite to them; see those that are open to you, and who is ahead.

    \b
    Example:
      headstart releases list --db https://race.example --token-file acme.token
    """


@command.command("list")
@service_options
@json_option
def list_(connection: Connection, as_json: bool) -> None:
    """List the releases that are open to you, the next launch first.

    \b
    Example:
      headstart releases list --db https://race.example
    """
    from tuning_db.answers import RELEASES
    from tuning_db.client import at

    with connection.open() as client:
        answer = client.get(at("releases"), RELEASES)
    if as_json:
        echo_json(answer)
        return
    rows = [
        (
            row["name"],
            row["publisher"],
            moment(row["launch"]),
            "sealed" if row["rules"]["sealed"] else "open",
            row["id"],
        )
        for row in answer["releases"]
    ]
    if not rows:
        say("No release is open to you.")
        return
    table("Releases", ("name", "publisher", "launch (UTC)", "race", "id"), rows, left=5)


@command.command()
@click.argument("release")
@service_options
@json_option
def show(release: str, connection: Connection, as_json: bool) -> None:
    """Show RELEASE, by name or id: its rules, its models and their operators.

    With --json the text of each workload is there too.

    \b
    Example:
      headstart releases show v5-preview --db https://race.example --token-file acme.token
    """
    from tuning_db.answers import RELEASE
    from tuning_db.client import at

    with connection.open() as client:
        answer = client.get(at("releases", release), RELEASE)
    if as_json:
        echo_json(answer)
        return
    print_release(answer)
    for model in answer["models"]:
        step = " ".join(f"{name}={value}" for name, value in model["step"].items())
        rows = [
            (op["name"], op["operator"], f"{op['calls']:,}", op.get("workload") or "not tunable") for op in model["ops"]
        ]
        table(f"{model['name']}: {step}", ("op", "operator", "calls", "workload"), rows, left=2)


@command.command()
@click.argument("name")
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@click.option(
    "--launch",
    type=MOMENT,
    required=True,
    metavar="TIME",
    help="When it opens for everybody: 2026-07-01T09:00 in UTC, or +30d.",
)
@click.option(
    "--sealed/--open",
    default=True,
    show_default=True,
    help="Whether rivals see nothing of each other until then, or ranks and times.",
)
@click.option(
    "--withdraw",
    metavar="SPAN|never",
    default="7d",
    show_default=True,
    help="How long a vendor may withdraw a claim: 12h, 7d; never is for ever.",
)
@click.option(
    "--object",
    "object_",
    metavar="SPAN|never",
    default="14d",
    show_default=True,
    help="How long after the launch referees may refuse one.",
)
@click.option(
    "--phase",
    "phases",
    type=click.Choice(["decode", "prefill"]),
    multiple=True,
    help="Which step; decode unless said. Twice for both.",
)
@click.option("--tokens", type=int, help="Tokens in the step, over all sequences.")
@click.option("--batch", type=int, help="Sequences in the step.")
@click.option("--kv-len", type=int, help="Tokens attention sees.")
@click.option("--tp", type=int, default=1, show_default=True, help="Degree of tensor parallelism.")
@click.option("--ep", type=int, default=1, show_default=True, help="Degree of expert parallelism.")
@service_options
@json_option
def create(
    name: str,
    models: tuple[str, ...],
    launch: float,
    sealed: bool,
    withdraw: str,
    object_: str,
    phases: tuple[str, ...],
    connection: Connection,
    as_json: bool,
    **step: Any,
) -> None:
    """Make a release called NAME of each MODEL: a name of the catalogue, or a config.json, ONNX or torch.export file.

    What is sent are operators with their shapes, and never weights. Nobody but you sees it before you invite them.

    \b
    Example:
      headstart releases create v5-preview ./config.json --launch 2026-07-01T09:00 --phase decode --phase prefill
    """
    from tuner.frontend.load import load_model, step_for
    from tuner.release import release_models
    from tuning_db.answers import CREATED
    from tuning_db.client import at

    rules = {
        "sealed": sealed,
        "withdraw_s": _deadline(withdraw, "--withdraw"),
        "object_s": _deadline(object_, "--object"),
    }
    loaded = [
        load_model(model, step_for(model, phase=phase, **step)) for model in models for phase in phases or ("decode",)
    ]
    body = {"name": name, "launch": launch, "rules": rules, **release_models(loaded)}
    with connection.open() as client:
        answer = client.post(at("releases"), body, CREATED, again=False)
    if as_json:
        echo_json(answer)
        return
    print_release(answer)
    ops = sum(len(model["ops"]) for model in body["models"])
    say(f"{len(loaded)} models, {ops} operators, {len(body['workloads'])} workloads to tune.")
    say(f"Let somebody in: headstart releases invite {name} ACCOUNT --opens TIME")


@command.command()
@click.argument("release")
@click.option(
    "--to",
    "local",
    type=click.Path(path_type=Path),
    default="headstart.db",
    show_default=True,
    help="Local database to keep the models in; it is made where there is none.",
)
@service_options
@json_option
def fetch(release: str, local: Path, connection: Connection, as_json: bool) -> None:
    """Fetch the models of RELEASE into a local database, to tune them by name.

    \b
    Example:
      headstart releases fetch v5-preview --to v5.db --db https://race.example --token-file acme.token
    """
    from tuner.frontend.stored import store_model
    from tuner.release import models_of_release
    from tuning_db.answers import RELEASE
    from tuning_db.client import at
    from tuning_db.store import Store

    with connection.open() as client:
        models = models_of_release(client.get(at("releases", release), RELEASE))
    with Store.open(local) as store, store.transaction():
        kept = [(model.name, *store_model(store, model)) for model in models]
    if as_json:
        echo_json({"path": str(local), "models": [{"id": id, "name": n, "workloads": w} for n, id, w in kept]})
        return
    for name, _, workloads in kept:
        say(f"{name}: {len(workloads)} workloads kept in {local}")
        say(f"  headstart tune {shlex.quote(name)} --db {shlex.quote(str(local))} --for 8h")


@command.command()
@click.argument("release")
@click.argument("invited", metavar="ACCOUNT")
@click.option(
    "--opens", type=MOMENT, required=True, metavar="TIME", help="From when on: 2026-06-01T09:00 in UTC, +2d or now."
)
@click.option("--target", help="Only for this chip: a name of the catalogue, or a fingerprint.")
@service_options
@json_option
def invite(release: str, invited: str, opens: float, target: str | None, connection: Connection, as_json: bool) -> None:
    """Open your RELEASE for ACCOUNT, a vendor or a referee, when a time comes; once more changes the time.

    \b
    Example:
      headstart releases invite v5-preview acme --opens 2026-06-01T09:00 --target h100
    """
    from tuning_db.answers import INVITED
    from tuning_db.client import at

    body: dict[str, Any] = {"account": invited, "opens": opens}
    if target is not None:
        body["target"] = _fingerprint(target)
    with connection.open() as client:
        answer = client.post(at("releases", release, "invitations"), body, INVITED)
    if as_json:
        echo_json(answer)
        return
    chip = f" on {answer['target']}" if answer["target"] else ""
    say(f"{release} opens for {answer['account']}{chip} at {moment(answer['opens'])} UTC")


@command.command()
@click.argument("release")
@service_options
@json_option
def openings(release: str, connection: Connection, as_json: bool) -> None:
    """List who is invited to your RELEASE, and from when on.

    \b
    Example:
      headstart releases openings v5-preview --db https://race.example --token-file lab.token
    """
    from tuning_db.answers import OPENINGS
    from tuning_db.client import at

    with connection.open() as client:
        answer = client.get(at("releases", release, "openings"), OPENINGS)
    if as_json:
        echo_json(answer)
        return
    rows = [(row["name"], row["role"], row["target"] or "all", moment(row["opens"])) for row in answer["openings"]]
    table(f"Openings of {release}", ("account", "role", "target", "opens (UTC)"), rows, left=4)


@command.command()
@click.argument("release")
@service_options
@json_option
def standings(release: str, connection: Connection, as_json: bool) -> None:
    """Show each vendor's leading claim for each workload of RELEASE, best first, as far as you may know of them.

    \b
    Example:
      headstart releases standings v5-preview --db https://race.example
    """
    from tuning_db.answers import RELEASE, STANDINGS
    from tuning_db.client import at

    with connection.open() as client:
        answer = client.get(at("releases", release, "standings"), STANDINGS)
        if as_json:
            echo_json(answer)
            return
        models = client.get(at("releases", release), RELEASE)["models"]
    names = {op.get("workload"): op["name"] for model in models for op in reversed(model["ops"])}
    rows = [
        (
            f"{names.get(row['workload'], '')} {row['workload']}".strip(),
            row["target"],
            row["vendor"],
            row["tier"],
            seconds(row["median"]),
            seconds(row["spread"]),
        )
        for row in answer["standings"]
    ]
    if not rows:
        say(f"Nothing of {release} that you may know of is claimed yet.")
        return
    table(f"Standings of {release}", ("workload", "target", "vendor", "tier", "time", "spread"), rows, left=4)


def print_release(release: Mapping[str, Any]) -> None:
    """What a release is and by which rules it is raced for, a line each."""
    rules = release["rules"]
    say(f"release {release['name']} of {release['publisher']} ({release['id']})")
    say(f"  launch    {moment(release['launch'])} UTC")
    secret = "sealed: rivals see nothing of each other until then"
    say(f"  race      {secret if rules['sealed'] else 'open: rivals see ranks and times, and no schedules'}")
    say(f"  withdraw  {_said(rules['withdraw_s'])} after a claim was received")
    say(f"  object    {_said(rules['object_s'])} after the launch, or after a later claim was received")


def _said(span: float | None) -> str:
    if span is None:
        return "at any time"
    return f"within {span / UNITS['d']:g} days" if span >= UNITS["d"] else f"within {span:g} s"


def _deadline(text: str, option: str) -> float | None:
    if text == "never":
        return None
    try:
        return SPAN_OF_TIME.convert(text, None, None)
    except click.BadParameter as error:
        raise InputError(f"{option}: {error.message}") from None


def _fingerprint(target: str) -> str:
    """Of a chip of the catalogue by its name; anything else is one already."""
    from targets import catalogue

    return catalogue.target(target).fingerprint if target in catalogue.specs() else target
