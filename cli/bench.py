"""``headstart bench``: whether Headstart is worth it on this machine."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from cli._interrupt import interruptible
from cli._limits import Duration
from cli._output import echo_json, json_option, progress_console, table
from targets.errors import HeadstartError, InputError, MissingExtra

if TYPE_CHECKING:
    from targets import Target
    from tuner.bench.cases import Case
    from tuner.bench.result import Result
    from tuner.bench.run import Progress as Where
    from tuner.bench.run import Settings


NAMES = "default, numpy, torch, compile, max-autotune, metaschedule"


@click.command("bench")
@click.argument("workloads", nargs=-1)
@click.option("--peers", help=f"Who takes part, with commas, or all: {NAMES}. [default: all but metaschedule]")
@click.option("--db", type=click.Path(path_type=Path), help="Database with champions; trials are kept there.")
@click.option("--trials", type=click.IntRange(min=1), help="Tune each workload first. [default: 64, or the champion]")
@click.option("--for", "length", type=Duration(), help="Tune each workload first, for so long at most, e.g. 30s.")
@click.option("--seeds", type=click.IntRange(min=2), help="Compare so many searches, each with its seed, alone.")
@click.option("--rounds", type=click.IntRange(min=2), default=5, show_default=True, help="Turns that everybody has.")
@click.option("--block", "block_s", type=Duration(), default="0.3s", show_default=True, help="How long a turn is.")
@click.option("--cache", type=click.Choice(["cold", "warm"]), help="Cold or warm caches, whatever the workload says.")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write a page with plots to this file.")
@click.option("--list", "listing", is_flag=True, help="List suites and workloads.")
@json_option
def command(
    *,
    workloads: tuple[str, ...],
    peers: str | None,
    db: Path | None,
    trials: int | None,
    length: float | None,
    seeds: int | None,
    rounds: int,
    block_s: float,
    cache: str | None,
    html: Path | None,
    listing: bool,
    as_json: bool,
) -> None:
    """Compare Headstart's kernels with numpy, torch and MetaSchedule on this machine, in turns.

    WORKLOADS are names of suites or of workloads (--list shows them), ids of workloads in --db, or an operator with
    parameters, as OPERATOR KEY=VALUE ...; without any the suite "quick" is run. Each peer has a process of its own, one
    is awake at a time, and ratios are of times taken within seconds of each other.

    \b
    Example:
        headstart bench
        headstart bench decode --html bench.html
        headstart bench linear m=4 n=4096 k=4096 dtype=bfloat16 out=bfloat16 --peers all
    """
    from targets import resolve
    from tuner.bench.lineup import USUAL, chosen
    from tuner.bench.run import Settings
    from tuner.bench.tuned import Search

    if listing:
        _list(as_json)
        return
    if seeds and (peers or db):
        raise InputError("--seeds compares searches from nothing: it goes with neither --peers nor --db")
    if html is not None:
        _check_page(html)
    cases = _cases(workloads or ("quick",), db, cache)
    search = Search(db, trials, length)
    settings = Settings(chosen(peers or ",".join(USUAL)), search, seeds or 1, rounds, block_s)
    chip = resolve("host")
    with _watch(as_json) as listener:
        result, interrupted = _run(chip, settings, cases, listener)
    if html is not None and result.cases:
        from tuner.bench.page import render
        from tuner.report.page import write

        write(html, render(result, time.time()))
    if as_json:
        echo_json(result.to_json())
    elif result.cases:
        from cli._bench import print_result

        print_result(result)
        _say_more(workloads, peers, seeds, html, result)
    if interrupted:
        click.echo("Stopped early; what was complete is shown.", err=True)
        raise click.exceptions.Exit(130)
    if not result.cases:
        raise HeadstartError(next(iter(result.skipped.values()), "nothing was compared"))


def _list(as_json: bool) -> None:
    """Print the workloads that have names."""
    from tuner.bench.cases import suites

    cases = [(suite, case) for suite, found in suites().items() for case in found]
    if as_json:
        echo_json([{"suite": suite, **vars(case), "params": dict(case.params)} for suite, case in cases])
        return
    rows = [
        (suite, case.name, case.operator, " ".join(f"{key}={value}" for key, value in case.params.items()), case.cache)
        for suite, case in cases
    ]
    table("Workloads", ("suite", "name", "operator", "parameters", "cache"), rows, left=5)


def _check_page(path: Path) -> None:
    """Find out before minutes are spent whether the page can be written.

    Raises:
        MissingExtra: what draws it is not installed.
        InputError: there is no such folder.
    """
    if any(importlib.util.find_spec(name) is None for name in ("jinja2", "matplotlib")):
        raise MissingExtra("the page of a benchmark", "report")
    if not path.absolute().parent.is_dir():
        raise InputError(f"{path} cannot be written: there is no folder {path.parent}")


def _cases(words: tuple[str, ...], db: Path | None, cache: str | None) -> list[Case]:
    from tuner.bench.cases import select
    from tuning_db.store import Store

    if db is None or not db.exists():
        return select(words, None, cache)
    with Store.open(db, create=False) as store:
        return select(words, store, cache)


def _run(chip: Target, settings: Settings, cases: list[Case], listener: Callable[[Where], None]) -> tuple[Result, bool]:
    """Run until it is done or somebody has had enough; every process is gone afterwards."""
    from tuner.bench.run import Benchmark

    done = []
    with interruptible(), Benchmark(chip, settings, listener) as benchmark:
        try:
            for case in benchmark.run(cases):
                done.append(case)
            interrupted = False
        except KeyboardInterrupt:
            interrupted = True
        return benchmark.result(done), interrupted


def _say_more(words: tuple[str, ...], peers: str | None, seeds: int | None, html: Path | None, result: Result) -> None:
    """What was left out, and where more is."""
    from tuner.bench.result import within_noise

    if seeds:
        for case in result.cases:
            again = case.ratio("again")
            for name in [peer.name for peer in case.peers if peer.name.startswith("seed")]:
                verdict = "within" if within_noise(case.ratio(name), again) else "outside"
                click.echo(f"{case.name}: {name} is {verdict} the noise, which is what the same schedule differs by")
        return
    if not words:
        click.echo("Left out: the suites decode, prefill, fp8 and small (headstart bench --list).")
    if not peers:
        click.echo("Left out: stock MetaSchedule, which takes minutes a workload (--peers all).")
    if html is not None:
        click.echo(f"Page: {html}")


@contextmanager
def _watch(quiet: bool) -> Iterator[Callable[[Where], None]]:
    """A progress line: which workload, and what is done with it."""
    if quiet or not progress_console.is_terminal:
        yield lambda where: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=progress_console, transient=True) as progress:
        line = progress.add_task("starting", total=None)

        def listen(where: Where) -> None:
            description = f"{where.at}/{where.of} {where.case}: {where.doing}" if where.case else where.doing
            progress.update(line, description=description, completed=max(0, where.at - 1), total=where.of)

        yield listen
