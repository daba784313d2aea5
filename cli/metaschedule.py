"""``headstart metaschedule``: champions for TVM's own MetaSchedule, and its schedules tried here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli._interrupt import interruptible
from cli._options import cache_option, db_option
from cli._output import echo_json, json_option, progress_console, say
from targets.errors import InputError

if TYPE_CHECKING:
    from tuner.job import Event
    from tuner.metaschedule.reading import Refusal
    from tuner.metaschedule.writing import Written

# Lines that are refused are shown up to so many.
SHOWN = 20
FORMS = ("trace", "program", "")


@click.group()
def command() -> None:
    """Exchange schedules with MetaSchedule, the tuner that is part of TVM, by way of its JSON database.

    \b
    Example:
      headstart metaschedule export tuned
      headstart metaschedule import their-work-dir --most 8
    """


@command.command("export")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--target", default="host", show_default=True, help="Chip whose champions are written.")
@cache_option
@db_option
@json_option
def export(folder: Path, target: str, cache: str | None, db: Path, as_json: bool) -> None:
    """Write the champions on a chip into FOLDER as a database that TVM alone can apply.

    Of each workload it has the program, as TVM's own JSON, and the trace that makes the champion of it. Champions to
    which no trace leads are in a database of finished programs beside it. What belongs to a release that is not
    launched yet is left out.

    \b
    Example:
      headstart metaschedule export tuned --db night.db
    """
    from targets import resolve
    from tuner.metaschedule.writing import write
    from tuning_db.store import Store

    chip = resolve(target)
    with Store.open(db, create=False) as store, progress_console.status("Writing …"):
        found = write(store, chip, folder, cache)
    if as_json:
        echo_json({"path": str(folder), "champions": [_champion(one) for one in found]})
        return
    say(f"{folder}: {len(found)} champions for {chip.name}")
    kinds: dict[tuple[str, str], list[str]] = {}
    for one in found:
        kinds.setdefault((one.form, one.reason), []).append(f"{one.champion['operator']} {one.champion['label']}")
    for (form, reason), named in sorted(kinds.items(), key=lambda kind: FORMS.index(kind[0][0])):
        how = f"as {form}s" if form else "left out"
        say(f"{len(named)} {how}{f', since {reason}' if reason else ''}: {'; '.join(named)}")


@command.command("import")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--name", help="What to call the model that its workloads are kept as; as the folder unless said.")
@click.option(
    "--most",
    type=click.IntRange(min=1),
    default=16,
    show_default=True,
    help="Schedules to try of each workload, those first that are said to be fastest.",
)
@click.option("--target", default="host", show_default=True, help="Chip to try them on; it must be in this machine.")
@cache_option
@db_option
@json_option
def import_(folder: Path, name: str | None, most: int, target: str, cache: str | None, db: Path, as_json: bool) -> None:
    """Try the schedules of the MetaSchedule database in FOLDER on this machine, and keep every trial.

    Each is checked like anything that a stranger sent, built, compared with its program and timed: what its database
    says of times only decides what is tried first. Lines that are refused are named. The workloads are kept as a model,
    so that `headstart tune NAME` goes on from there.

    \b
    Example:
      headstart metaschedule import their-work-dir --name theirs
      headstart tune theirs --for 10m
    """
    from targets import resolve
    from tuner.metaschedule.reading import read
    from tuner.metaschedule.taking import model_of, trying
    from tuner.policy import policy_for
    from tuner.summary import summarise
    from tuning_db.store import Store

    chip = resolve(target)
    if chip != resolve("host"):
        raise InputError(f"target {target} is not the chip of this machine; its schedules can only be timed there")
    with progress_console.status(f"Reading {folder} …"):
        found = read(folder, chip, most)
        model = model_of(found, name or folder.resolve().name, folder)
    policy = policy_for(model.step.phase, chip, cache)
    with Store.open(db) as store, progress_console.status("Trying …") as status:

        def listen(event: Event) -> None:
            status.update(f"Tried {event.task.tried} of {event.task.workload.label}")

        with trying(store, model, found, policy, chip, listen) as job, interruptible(job.stop):
            job.run()
    summary = summarise(model, job.tasks)
    if as_json:
        refused = [vars(refusal) for refusal in found.refused]
        echo_json(summary.to_json() | {"database": str(db), "failures": job.failures, "refused": refused})
    else:
        from cli._summary import print_summary

        print_summary(summary, str(db), [f"headstart tune {model.name} --for 10m"])
    _say_refused(found.refused)
    if job.interrupted:
        click.echo("Stopped early; every trial so far is kept.", err=True)
        raise click.exceptions.Exit(130)


def _champion(one: Written) -> dict[str, Any]:
    row = one.champion
    named = {field: row[field] for field in ("workload", "operator", "label", "trial", "space", "median")}
    return {**named, "form": one.form or None, "reason": one.reason or None}


def _say_refused(refused: Sequence[Refusal]) -> None:
    for refusal in refused[:SHOWN]:
        click.echo(f"refused: {refusal}", err=True)
    if len(refused) > SHOWN:
        click.echo(f"and {len(refused) - SHOWN:,} lines more were refused; --json has all", err=True)
