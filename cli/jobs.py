"""``headstart jobs``: tune overnight: a queue of models and chips, whoever runs it, and what came of it."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli._interrupt import interruptible
from cli._jobs import print_jobs, said, watching, what_of
from cli._limits import Duration, limit_options
from cli._moment import MOMENT, moment
from cli._options import cache_option, db_option
from cli._output import echo_json, json_option, say
from cli._step import steps_options
from targets.errors import HeadstartError
from tuning_db.jobs import OPEN, short

if TYPE_CHECKING:
    from tuner.frontend.model import Step

# Jobs that ended, and are listed without being asked for.
ENDED = 20
# Seconds between two looks at the database.
POLL_S = 1.0

jobs_argument = click.argument("jobs", nargs=-1, required=True)


@click.group()
def command() -> None:
    """Tune several models and chips in one night: queue jobs, run them, watch them, read what came of it.

    Jobs are called by the first or last characters of their ids, as `list` shows them.

    \b
    Example:
      headstart jobs queue deepseek-v4-flash --ep 8 --for 4h --share 2
      headstart jobs queue deepseek-v3.2 --tokens 1,16 --for 2h
      headstart jobs run --for 9h
      headstart jobs report
    """


@command.command()
@click.argument("model")
@steps_options
@click.option("--target", default="host", show_default=True, help="Chip to tune for.")
@click.option("--share", type=float, default=1.0, show_default=True, help="How much time it gets beside other jobs.")
@limit_options
@click.option("--ray", help="Run its trials on this Ray cluster.")
@click.option("--skip-unsupported", is_flag=True, help="Go on without the parts of a file that cannot be read.")
@cache_option
@db_option
@json_option
def queue(
    *,
    model: str,
    steps: list[Step],
    target: str,
    share: float,
    length: float | None,
    trials: int | None,
    within: float | None,
    ray: str | None,
    skip_unsupported: bool,
    cache: str | None,
    db: Path,
    as_json: bool,
) -> None:
    """Queue the tuning of MODEL, which is as `headstart tune` takes it, for `headstart jobs run` to do.

    The limits count over all nights: with --for 4h it is done when it was run for four hours. That it can be met is
    looked at now: that the model can be read, and that this machine has the chip.

    \b
    Example:
      headstart jobs queue deepseek-v4-flash --phase decode --tokens 16 --ep 8 --for 4h --share 2
    """
    from tuner.nights.request import Request
    from tuning_db.job_life import standing
    from tuning_db.store import Store

    kept = Request(model, tuple(steps), target, cache, length, trials, within, skip_unsupported, ray).checked(db)
    with Store.open(db) as store:
        job = standing(store, store.job(store.queue_job(kept, share)), time.time())
        waiting = len(store.jobs("queued"))
    if as_json:
        echo_json(job)
        return
    others = "no other waits" if waiting == 1 else f"{waiting} wait with it"
    say(f"job {short(job['id'])}: {what_of(job)} on {job['chip']}, share {share:g}; {others}")
    say("It is done by `headstart jobs run`.", err=True)


@command.command()
@click.option("--for", "length", type=Duration(), help="How long the night is; until all jobs are done unless said.")
@click.option("--slice", "slice_s", type=Duration(), default="5m", show_default=True, help="How long a turn is.")
@db_option
@json_option
def run(length: float | None, slice_s: float, db: Path, as_json: bool) -> None:
    """Run the jobs that wait, in turns by their shares, until all are done or the night is over.

    One process runs the jobs of a database. End it as you like, or let the power fail: every trial so far is kept, and
    the next run takes up what this one was at. Pause, resume and cancel jobs from another terminal.

    \b
    Example:
      headstart jobs run --for 9h
    """
    from tuner.nights.runner import Runner
    from tuning_db.job_life import standing
    from tuning_db.store import Store

    begun = time.time()
    with Store.open(db) as store, watching(store, as_json) as listener:
        runner = Runner(store, length, slice_s, listener)
        try:
            with interruptible(runner.stop):
                runner.run()
        except KeyboardInterrupt:
            runner.stop()
        rows = [row for row in store.jobs() if row["state"] in OPEN or (row["heartbeat"] or 0) >= begun]
        jobs = [standing(store, row, time.time()) for row in rows]
    if as_json:
        echo_json({"jobs": jobs, "stopped": runner.stopped})
    else:
        print_jobs(str(db), jobs, time.time())
        say("What came of it: headstart jobs report", err=True)
    if runner.stopped:
        raise click.exceptions.Exit(130)


@command.command("list")
@click.option("--all", "every", is_flag=True, help=f"Also those that ended long ago, not just the last {ENDED}.")
@db_option
@json_option
def list_(every: bool, db: Path, as_json: bool) -> None:
    """List jobs: those of the queue, and what `headstart tune` does or did.

    A job that is said to run while nobody runs it is `lost`: the next `headstart jobs run` takes it up.

    \b
    Example:
      headstart jobs list
    """
    from tuning_db.job_life import standing
    from tuning_db.store import Store

    with Store.open(db, create=False) as store:
        rows = store.jobs()
        ended = [row["id"] for row in rows if row["state"] not in OPEN]
        hidden = set() if every else set(ended[:-ENDED])
        jobs = [standing(store, row, time.time()) for row in rows if row["id"] not in hidden]
    if as_json:
        echo_json({"jobs": jobs})
    elif not jobs:
        say(f"{db} has no jobs; `headstart jobs queue MODEL --for 4h` makes one")
    else:
        print_jobs(str(db), jobs, time.time())
        if hidden:
            say(f"and {len(hidden)} that ended before these; --all lists them")


@command.command()
@click.argument("job", required=False)
@db_option
@json_option
def attach(job: str | None, db: Path, as_json: bool) -> None:
    """Watch JOB, or the one that runs now, until it ends. Ctrl-C ends the watching and not the job.

    With --json nothing is shown until then, and the job is printed as it is at the end.

    \b
    Example:
      headstart jobs attach
    """
    from tuning_db.job_life import standing
    from tuning_db.store import Store

    with Store.open(db, create=False) as store:
        if job is None:
            running = store.jobs("running")
            if not running:
                raise HeadstartError(f"no job of {db} runs now; `headstart jobs list` lists them")
            job = running[-1]["id"]
        id = store.job(job)["id"]
        try:
            with watching(store, as_json, id) as look:
                while (row := store.job(id))["state"] in OPEN:
                    look(row, None)
                    time.sleep(POLL_S)
        except KeyboardInterrupt:
            click.echo("The job goes on.", err=True)
        found = standing(store, store.job(id), time.time())
    if as_json:
        echo_json(found)
    else:
        print_jobs(str(db), [found], time.time())
    if found["state"] == "failed":
        raise click.exceptions.Exit(1)


@command.command()
@jobs_argument
@db_option
@json_option
def pause(jobs: tuple[str, ...], db: Path, as_json: bool) -> None:
    """Keep JOBS from being run until they are resumed; one that runs ends with the trial that it is at.

    \b
    Example:
      headstart jobs pause 3fa9c1
    """
    _change("pause_job", jobs, db, as_json)


@command.command()
@jobs_argument
@db_option
@json_option
def resume(jobs: tuple[str, ...], db: Path, as_json: bool) -> None:
    """Let JOBS be run again that were paused, or that failed.

    \b
    Example:
      headstart jobs resume 3fa9c1
    """
    _change("resume_job", jobs, db, as_json)


@command.command()
@jobs_argument
@db_option
@json_option
def cancel(jobs: tuple[str, ...], db: Path, as_json: bool) -> None:
    """End JOBS for good; their trials and champions stay. One that runs ends with the trial that it is at.

    \b
    Example:
      headstart jobs cancel 3fa9c1
    """
    _change("cancel_job", jobs, db, as_json)


@command.command()
@click.argument("job", required=False)
@click.option("--follow", is_flag=True, help="Go on with what happens from now on, until the job ends.")
@db_option
@json_option
def logs(job: str | None, follow: bool, db: Path, as_json: bool) -> None:
    """Show what happened to JOB, or to all: turns, new champions, what could not be tuned, losses of power.

    With --json and --follow one JSON document a line.

    \b
    Example:
      headstart jobs logs 3fa9c1 --follow
    """
    from tuning_db.store import Store

    with Store.open(db, create=False) as store:
        id = store.job(job)["id"] if job else None
        if as_json and not follow:
            echo_json({"log": store.job_log(id)})
            return
        seen, ended = 0, not follow
        with suppress(KeyboardInterrupt):
            while True:
                ended = ended or (id is not None and store.job(id)["state"] not in OPEN)
                for line in store.job_log(id, after=seen):
                    seen = line["seq"]
                    say(json.dumps(line) if as_json else said(line))
                if ended:
                    return
                time.sleep(POLL_S)


@command.command()
@click.argument("jobs", nargs=-1)
@click.option("--since", type=MOMENT, default="-24h", show_default=True, help="From when on: a moment, or a span back.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write it as an HTML page, too.")
@db_option
@json_option
def report(jobs: tuple[str, ...], since: float, output: Path | None, db: Path, as_json: bool) -> None:
    """Say what became of JOBS, or of all: what got faster, by how much, what was spent, what to look at.

    \b
    Example:
      headstart jobs report --since -10h -o morning.html
    """
    from cli._night import print_night
    from tuner.nights.report import night_of
    from tuning_db.store import Store

    with Store.open(db, create=False) as store:
        ids = [store.job(job)["id"] for job in jobs]
        night = night_of(store, since, time.time(), ids)
    if not night.spent:
        raise HeadstartError(f"no job of {db} was run since {moment(since)}; --since looks further back")
    if output is not None:
        from tuner.nights.page import render
        from tuner.report.page import write

        write(output, render(night))
    if as_json:
        echo_json(night.to_json() | {"report": str(output) if output else None})
        return
    print_night(night)
    if output is not None:
        say(f"As a page: {output}")


def _change(how: str, jobs: tuple[str, ...], db: Path, as_json: bool) -> None:
    """Change the state of all of these jobs or of none."""
    from tuning_db.job_life import standing
    from tuning_db.store import Store

    with Store.open(db, create=False) as store:
        ids = [store.job(job)["id"] for job in jobs]
        with store.transaction():
            for id in dict.fromkeys(ids):
                getattr(store, how)(id)
        found = [standing(store, store.job(id), time.time()) for id in dict.fromkeys(ids)]
    if as_json:
        echo_json({"jobs": found})
        return
    for job in found:
        say(f"job {short(job['id'])} is {job['state']}: {what_of(job)}")
