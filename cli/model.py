"""``headstart model``: the cost model, how good it is, and searches replayed on recordings."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli._options import db_option
from cli._output import console, echo_json, json_option, progress_console, seconds, table
from targets.errors import InputError
from targets.units import times

if TYPE_CHECKING:
    from tuner.evaluate import Quality

kind_option = click.option("--kind", default="llvm", show_default=True, help="Kind of target, in TVM's words.")


@click.group()
def command() -> None:
    """Train, judge and try out the cost model that chooses what to measure.

    (The models whose operators are tuned are those of `headstart models`.)

    \b
    Example:
      headstart model eval --db headstart.db
    """


@command.command("eval")
@kind_option
@db_option
@json_option
def eval_(kind: str, db: Path, as_json: bool) -> None:
    """Find out how well the model ranks schedules of workloads that it was not trained on.

    Each workload of the database is left out once (of more than ten, a tenth at a time). Figures are means over
    workloads: Spearman's correlation of predicted and measured times, and regrets, the time of the model's favourite,
    and of the best of its eight favourites, over the best time known; in brackets what picking by chance gives.

    \b
    Example:
      headstart model eval --json
    """
    from tuner.cost_model import all_examples
    from tuner.evaluate import hold_out, summarise
    from tuning_db.store import Store

    with Store.open(db, create=False) as store, progress_console.status("Training and ranking …"):
        held = hold_out(all_examples(store, kind))
    rows = summarise(held)
    if as_json:
        found = {"quality": [row.to_json() for row in rows], "workloads": [asdict(each) for each in held]}
        echo_json({"path": str(db), "kind": kind, **found})
    elif rows:
        _print_quality(rows, f"Cost model on workloads it has not seen, {db}")
    else:
        click.echo(f"{db}: no two workloads of kind {kind} with ten good trials each of one space")


@command.command()
@kind_option
@db_option
@json_option
def train(kind: str, db: Path, as_json: bool) -> None:
    """Train the model on every trial in the database and keep it there, with what `eval` says of it.

    Tuning does that by itself; this is for a database that was merged from others.

    \b
    Example:
      headstart db import night.jsonl && headstart model train
    """
    from tuner.cost_model import CostModel, all_examples
    from tuner.evaluate import hold_out, metrics
    from tuning_db.store import Store

    model = CostModel()
    with Store.open(db, create=False) as store, progress_console.status("Training …"):
        examples = all_examples(store, kind)
        model.fit(examples)
        model.save(store, kind, metrics(hold_out(examples)))
    if as_json:
        echo_json({"path": str(db), "kind": kind, "trials": model.spaces})
    else:
        learnt = ", ".join(f"{space} ({trials:,} trials)" for space, trials in model.spaces.items())
        click.echo(f"{db}: trained {learnt or 'nothing: no space has enough trials'}")


@command.command("list")
@kind_option
@db_option
@json_option
def list_(kind: str, db: Path, as_json: bool) -> None:
    """List the models that the database keeps: the latest of each space.

    \b
    Example:
      headstart model list
    """
    from schedules.plugin_spaces import spaces_anywhere
    from tuner.cost_model import CostModel
    from tuning_db.store import Store

    with Store.open(db, create=False) as store:
        kept = store.cost_models(kind)
        used = CostModel.load(store, kind, spaces_anywhere()).spaces
    found = [row | {"bytes": len(row.pop("blob")), "used": name in used} for name, row in kept.items()]
    if as_json:
        echo_json({"path": str(db), "models": found})
        return
    columns = ("space", "trials", "trained", "correlation", "first", "best of 8", "size", "used")
    table(f"Cost models, {db}", columns, map(_kept, found))


@command.command()
@click.argument("workload")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="File to write.")
@click.option("--count", type=click.IntRange(min=2), default=240, show_default=True, help="Schedules to time.")
@click.option("--cache", type=click.Choice(["cold", "warm"]), default="cold", show_default=True, help="Cache policy.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of what is drawn.")
@json_option
def record(workload: str, output: Path, count: int, cache: str, seed: int, as_json: bool) -> None:
    """Time many schedules of WORKLOAD, an operator with its parameters, and write them to a file for `replay`.

    Where the file is there already, all its schedules are timed once more, and their samples added.

    \b
    Example:
      headstart model record linear:m=16,n=1536,k=4096 -o linear.jsonl
    """
    import numpy as np

    from targets import resolve
    from tuner import recording
    from tuner.best import parse_operator
    from tuner.local_executor import LocalExecutor
    from tuner.toolchain import toolchain
    from tuning_db.records import Policy

    made, chip, rng = parse_operator(workload), resolve("host"), np.random.default_rng(seed)
    policy = Policy(cache, chip.cores)
    if output.exists():
        taken = recording.read(output)
        now = (made, chip.fingerprint, policy, toolchain(chip))
        if (taken.workload, taken.target.fingerprint, taken.policy, taken.toolchain) != now:
            raise InputError(f"{output} is of another workload, chip, policy or toolchain; give another file")
        schedules = list(taken.outcomes)
    else:
        taken = recording.Recording(made, chip, policy, toolchain(chip))
        schedules = recording.drawn(made, chip, count, rng)
    rng = np.random.default_rng([seed, len(taken.outcomes)])
    with LocalExecutor(chip, policy) as executor, progress_console.status(f"Timing {len(schedules)} schedules …"):
        taken = recording.take(taken, executor.devices()[0], schedules, rng)
    recording.write(output, taken)
    failed = sum(not outcome.samples for outcome in taken.outcomes.values())
    if as_json:
        echo_json({"path": str(output), "schedules": len(taken.outcomes), "failed": failed, "best": taken.best_s})
    else:
        best = seconds(taken.best_s)
        click.echo(f"{output}: {len(taken.outcomes)} schedules, {failed} of them failed, best {best}")


@command.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--trials", type=click.IntRange(min=2), default=64, show_default=True, help="Trials of a search.")
@click.option("--seeds", type=click.IntRange(min=1), default=5, show_default=True, help="Searches of each strategy.")
@click.option("--strategy", "names", multiple=True, help="Only this strategy; may be given several times.")
@json_option
def replay(files: tuple[Path, ...], trials: int, seeds: int, names: tuple[str, ...], as_json: bool) -> None:
    """Compare search strategies on recordings, without measuring: trials until within 5 % of the best recorded time.

    With several FILES, the strategy `filled database` searches each one knowing the trials of the others.

    \b
    Example:
      headstart model replay recordings/*.jsonl --seeds 10
    """
    from tuner import recording
    from tuner.replay import FILLED, STRATEGIES, compare_strategies

    known = (*STRATEGIES, FILLED)
    if unknown := sorted(set(names) - set(known)):
        raise InputError(f"no strategy {unknown[0]!r}; there are {', '.join(known)}")
    recordings = [recording.read(path) for path in files]
    with progress_console.status("Searching …"):
        found = compare_strategies(recordings, trials, seeds, names or known)
    if as_json:
        echo_json({"trials": trials, "comparisons": [each.to_json() for each in found]})
        return
    columns = ("strategy", "median trials", "quartiles", "simulated", "arrived", "first", "best of 8", "of 32")
    for label in dict.fromkeys(each.workload for each in found):
        part = [each for each in found if each.workload == label]
        rows = [
            (
                each.strategy,
                f"{each.needed:.0f}",
                f"{each.low:.0f} to {each.high:.0f}",
                seconds(each.to_json()["needed_s"]),
                f"{each.arrived:.0%}",
                times(each.first),
                times(each.few),
                times(each.many),
            )
            for each in part
        ]
        table(f"{label}: {part[0].schedules} schedules, {part[0].runs} searches each", columns, rows)


def _print_quality(rows: list[Quality], title: str) -> None:
    columns = ("space", "operator", "workloads", "trials", "correlation", "first", "best of 8", "worst first")
    cells = [
        (
            row.space,
            row.operator,
            str(row.workloads),
            f"{row.trials:,}",
            f"{row.correlation:.2f}",
            f"{times(row.first)} ({times(row.chance_first)})",
            f"{times(row.few)} ({times(row.chance_few)})",
            times(row.worst),
        )
        for row in rows
    ]
    table(title, columns, cells, left=2)
    console.print("first, best of 8: times over the best known time; in brackets, by chance")


def _kept(row: dict[str, Any]) -> tuple[str, ...]:
    measured, made = row["metrics"], datetime.fromtimestamp(row["created"])
    figures = ["-"] * 3
    if "correlation" in measured:
        figures = [f"{measured['correlation']:.2f}", times(measured["first"]), times(measured["few"])]
    return (
        row["space"],
        f"{row['trained_on']:,}",
        f"{made:%Y-%m-%d %H:%M}",
        *figures,
        f"{row['bytes']:,}",
        "yes" if row["used"] else "no",
    )
