"""``headstart tune``: search good schedules for the operators of a model."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli._interrupt import interruptible
from cli._limits import limit_options
from cli._options import cache_option, db_option, ray_option
from cli._output import echo_json, json_option, progress_console
from cli._step import steps_options
from cli._watching import device_table, watching
from targets.errors import InputError

if TYPE_CHECKING:
    from targets import Target
    from tuner.frontend.model import Step
    from tuner.job import Job
    from tuner.task import Task


@click.command("tune")
@click.argument("model")
@steps_options
@click.option("--target", default="host", show_default=True, help="Chip to tune for: of this machine, or emulated.")
@ray_option
@limit_options
@click.option("--seed", type=int, help="Seed of the search, to repeat one.")
@click.option("--skip-unsupported", is_flag=True, help="Go on without the parts of a file that cannot be read.")
@cache_option
@db_option
@json_option
def command(
    *,
    model: str,
    steps: list[Step],
    target: str,
    ray: str | None,
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
    With several numbers of tokens each is tuned, and then, for operators whose rows need nothing of each other, what is
    best is timed at others between them, where a bundle for any number gains most by it.
    With --ray the trials run on every node of a Ray cluster that has the chip, while other nodes build; see
    `headstart worker` and docs/cluster.md.
    Press Ctrl-C whenever you like: what was found is kept, and the same command carries on from there.

    \b
    Examples:
        headstart tune deepseek-v4-flash --phase decode --tokens 16 --for 3m
        headstart tune deepseek-v4-flash --tokens 1,16,128 --for 2h
        headstart tune deepseek-v4-flash --ray 10.0.0.7:6379 --for 8h
    """
    from tuner.backends import devices, is_untimed
    from tuner.executors import chip_for, executor_for
    from tuner.frontend.load import load_model
    from tuner.frontend.missed import waiting_misses
    from tuner.job import Budget
    from tuner.nights.plan import plan_of
    from tuner.policy import policy_for
    from tuner.row_job import job_for
    from tuner.summary import summarise
    from tuner.tasks import step_tasks
    from tuning_db.store import Store

    if length is None and trials is None and within is None:
        raise InputError("say when to stop: --for 3m, --trials 64, --until-within 5%, or several of them")
    chip = chip_for(target, ray)
    if ray is None:
        devices(chip)  # says what is missing where nothing here can run kernels for it
    if within is not None and length is None and trials is None and is_untimed(chip):
        raise InputError(f"--until-within needs times, and here {chip.name} is emulated: say --for or --trials")
    loaded = [
        load_model(model, step, skip_unsupported, db, chip, untuned=True, say=lambda line: click.echo(line, err=True))
        for step in steps
    ]
    policy = policy_for(loaded[0].step.phase, chip, cache)
    with Store.open(db) as store:
        with progress_console.status(f"Looking at {chip.name} and {loaded[0].name} …"):
            by_step = step_tasks(store, loaded, chip, policy)
        tasks = list({task.workload.id: task for step in by_step for task in step}.values())
        budget = Budget(length, trials, within)
        asked = {"model": model, "chip": chip.name, "plan": plan_of(loaded, tasks)}
        with executor_for(chip, policy, ray) as executor, watching(tasks, executor, length, as_json) as listener:
            job = job_for(store, executor, tasks, budget, loaded, listener=listener, seed=seed, asked=asked)
            with interruptible(job.stop):
                job.run()
            did = executor.status()
        summaries = [summarise(one, tasks) for one, tasks in zip(loaded, by_step, strict=True)]
        waiting = waiting_misses(store, chip)
    if as_json:
        told = [summary.to_json() for summary in summaries]
        found = told[0] if len(told) == 1 else {"steps": told}
        found |= {"database": str(db), "job": job.id, "failures": job.failures, "misses": waiting}
        echo_json(found | ({"devices": [device.to_json() for device in did]} if did else {}))
    elif not tasks:
        click.echo(f"{loaded[0].name}: nothing to tune on {chip.name}")
    else:
        from cli._summary import print_summary

        for summary in summaries[:-1]:
            print_summary(summary, str(db), [])
        print_summary(
            summaries[-1], str(db), _next_commands(model, [one.step for one in loaded], cache, db, chip, tasks)
        )
    if did and not as_json:
        progress_console.print(device_table(did))
    _tell_the_rest(job, waiting)


def _tell_the_rest(job: Job, waiting: int) -> None:
    """What is not a result, on standard error; leaves with 130 where the job was interrupted."""
    if waiting:
        what = "1 workload waits" if waiting == 1 else f"{waiting} workloads wait"
        click.echo(f"{what} that deployments missed on this chip: headstart tune misses", err=True)
    for workload, reason in job.failures.items():
        click.echo(f"not tuned: {workload}: {reason}", err=True)
    if job.interrupted:
        click.echo("Stopped early; every trial so far is kept. The same command carries on from here.", err=True)
        raise click.exceptions.Exit(130)


def _next_commands(
    model: str, steps: list[Step], cache: str | None, db: Path, chip: Target, tasks: list[Task]
) -> list[str]:
    """What to try after tuning, for the same steps."""
    from tuner.backends import is_host, is_untimed
    from tuner.frontend.missed import NAME as MISSES
    from tuner.link import linkable

    step = steps[-1]
    given: dict[str, Any] = {"phase": step.phase, "tokens": step.tokens, "batch": step.batch, "kv-len": step.kv_len}
    given |= {name: degree for name, degree in (("tp", step.tp), ("ep", step.ep)) if degree > 1}
    at = "" if is_host(chip) else f" --target {chip.name}"
    at += "" if str(db) == "headstart.db" else f" --db {shlex.quote(str(db))}"

    def where(options: dict[str, Any]) -> str:
        words = [shlex.quote(model), *(f"--{name} {value}" for name, value in options.items() if model != MISSES)]
        return " ".join([*words, *([f"--cache {cache}"] if cache else [])]) + at

    several = given
    if len(steps) > 1:
        # Each step has sequences of its own.
        tokens = ",".join(str(one.tokens) for one in steps)
        several = {name: tokens if name == "tokens" else value for name, value in given.items() if name != "batch"}
    commands = [f"headstart report {where(given)}"]
    if linkable(chip) and not is_untimed(chip):
        commands.append(f"headstart bundle build {where(several)} -o bundle")
    if tasks:
        commands.insert(0, f"headstart best {tasks[0].workload.id}{at}")
    return commands
