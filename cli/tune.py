"""``headstart tune``: search good schedules for the operators of a model."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from cli._interrupt import interruptible
from cli._moment import UNITS
from cli._options import cache_option, db_option
from cli._output import echo_json, json_option, progress_console, seconds
from cli._step import step_options
from targets.errors import InputError

if TYPE_CHECKING:
    from tuner.frontend.model import Step
    from tuner.job import Event
    from tuner.task import Task


class Duration(click.ParamType[float]):
    """A length of time: ``90s``, ``3m``, ``1.5h``; a bare number is seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds, more than none."""
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", str(value).strip())
        if match is None:
            self.fail(f"{value!r} is not a length of time; write 90s, 3m or 1.5h", param, ctx)
        length = float(match[1]) * UNITS[match[2] or "s"]
        if length <= 0:
            self.fail("must be more than nothing; write 90s, 3m or 1.5h", param, ctx)
        return length


class Percent(click.ParamType[float]):
    """A share: ``5%``; a bare number is a percentage too."""

    name = "percent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The fraction, more than nothing."""
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%?", str(value).strip())
        if match is None or float(match[1]) <= 0:
            self.fail(f"{value!r} is not a percentage of more than nothing; write 5%", param, ctx)
        return float(match[1]) / 100


@click.command("tune")
@click.argument("model")
@step_options
@click.option("--target", default="host", show_default=True, help="Chip to tune for; it must be in this machine.")
@click.option("--for", "length", type=Duration(), help="Stop after this long, e.g. 90s, 3m, 8h.")
@click.option("--trials", type=click.IntRange(min=1), help="Stop after this many trials of each workload.")
@click.option("--until-within", "within", type=Percent(), help="Stop with what is this near its roofline, e.g. 5%.")
@click.option("--seed", type=int, help="Seed of the search, to repeat one.")
@click.option("--skip-unsupported", is_flag=True, help="Go on without the parts of a file that cannot be read.")
@cache_option
@db_option
@json_option
def command(
    *,
    model: str,
    step: Step,
    target: str,
    length: float | None,
    trials: int | None,
    within: float | None,
    seed: int | None,
    skip_unsupported: bool,
    cache: str | None,
    db: Path,
    as_json: bool,
) -> None:
    """Tune the operators of MODEL on this machine and keep every trial.

    MODEL is a name of the catalogue, a Hugging Face config.json, an ONNX file, a torch.export program (.pt2), the
    name of a model that was imported into the database, or `misses`: what deployments told the database that they have
    no kernel for on this chip, weighed by how often they missed it.
    The limits --for, --trials and --until-within work alone or together; whichever is reached first ends it.
    Press Ctrl-C whenever you like: what was found is kept, and the same command carries on from there.

    \b
    Example:
        headstart tune deepseek-v4-flash --phase decode --tokens 16 --for 3m
    """
    from targets import resolve
    from tuner.executor import LocalExecutor
    from tuner.frontend.load import load_model
    from tuner.frontend.missed import waiting_misses
    from tuner.job import Budget, Job
    from tuner.summary import summarise
    from tuner.tasks import model_tasks, policy_for
    from tuning_db.store import Store

    if length is None and trials is None and within is None:
        raise InputError("say when to stop: --for 3m, --trials 64, --until-within 5%, or several of them")
    chip = resolve(target)
    if chip != resolve("host"):
        raise InputError(f"target {target} is not the chip of this machine; tuning for another is not possible yet")
    loaded = load_model(
        model, step, skip_unsupported, db, chip, untuned=True, say=lambda line: click.echo(line, err=True)
    )
    policy = policy_for(loaded.step.phase, chip, cache)
    with Store.open(db) as store:
        with progress_console.status(f"Looking at {chip.name} and {loaded.name} …"):
            tasks = model_tasks(store, loaded, chip, policy)
        budget = Budget(length, trials, within)
        with LocalExecutor(chip, policy) as executor, _watch(tasks, length, as_json) as listener:
            job = Job(store, executor, tasks, budget, listener=listener, seed=seed)
            with interruptible(job.stop):
                job.run()
        summary = summarise(loaded, tasks)
        waiting = waiting_misses(store, chip)
    if as_json:
        echo_json(summary.to_json() | {"database": str(db), "job": job.id, "failures": job.failures, "misses": waiting})
    else:
        from cli._summary import print_summary

        print_summary(summary, str(db), _next_commands(model, loaded.step, cache, db, tasks))
    if waiting:
        what = "1 workload waits" if waiting == 1 else f"{waiting} workloads wait"
        click.echo(f"{what} that deployments missed on this chip: headstart tune misses", err=True)
    for workload, reason in job.failures.items():
        click.echo(f"not tuned: {workload}: {reason}", err=True)
    if job.interrupted:
        click.echo("Stopped early; every trial so far is kept. The same command carries on from here.", err=True)
        raise click.exceptions.Exit(130)


@contextmanager
def _watch(tasks: list[Task], length: float | None, quiet: bool) -> Iterator[Any]:
    """A progress line: time or trials spent, trials made, what was found last."""
    if quiet or not progress_console.is_terminal:
        yield lambda event: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=progress_console, transient=True) as progress:
        line = progress.add_task("starting", total=length)
        made = 0

        def listen(event: Event) -> None:
            nonlocal made
            made += 1
            tuned = sum(task.champion_s is not None for task in tasks)
            what = f"{event.task.workload.operator} {event.task.workload.label}"
            found = seconds(event.outcome.median) if event.outcome.median else event.outcome.status.value
            mark = " [green]best so far[/]" if event.crowned else ""
            description = f"{tuned}/{len(tasks)} workloads, {made} trials; {what}: {found}{mark}"
            spent = progress.tasks[0].elapsed
            progress.update(line, description=description, completed=spent if length else 0)

        yield listen


def _next_commands(model: str, step: Step, cache: str | None, db: Path, tasks: list[Task]) -> list[str]:
    """What to try after tuning, for the same step."""
    from tuner.frontend.missed import NAME as MISSES

    given = {"phase": step.phase, "tokens": step.tokens, "batch": step.batch, "kv-len": step.kv_len}
    given |= {name: degree for name, degree in (("tp", step.tp), ("ep", step.ep)) if degree > 1}
    words = [shlex.quote(model)]
    words += [f"--{name} {value}" for name, value in given.items() if model != MISSES]
    words += [f"--cache {cache}"] if cache else []
    at = "" if str(db) == "headstart.db" else f" --db {shlex.quote(str(db))}"
    where = " ".join(words)
    commands = [f"headstart report {where}{at}", f"headstart bundle build {where}{at} -o bundle"]
    if tasks:
        commands.insert(0, f"headstart best {tasks[0].workload.id}{at}")
    return commands
