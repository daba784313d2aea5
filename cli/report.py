"""``headstart report``: one page on what tuning a model came to."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli._options import cache_option, db_option
from cli._output import echo_json, json_option, size
from cli._step import step_options
from targets.errors import HeadstartError

if TYPE_CHECKING:
    from tuner.frontend.model import Step


@click.command("report")
@click.argument("model")
@step_options
@click.option("--target", default="host", show_default=True, help="Chip that it was tuned for.")
@click.option("--skip-unsupported", is_flag=True, help="Go on without the parts of a file that cannot be read.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default="headstart-report.html",
    show_default=True,
    help="File to write.",
)
@cache_option
@db_option
@json_option
def command(
    model: str,
    step: Step,
    target: str,
    skip_unsupported: bool,
    output: Path,
    cache: str | None,
    db: Path,
    as_json: bool,
) -> None:
    """Write what tuning MODEL came to as one HTML file: table, tuning curves, roofline plot.

    The file needs no network and no other file. MODEL and the step are those that were tuned.

    \b
    Example:
        headstart report deepseek-v4-flash --phase decode --tokens 16 -o flash.html
    """
    from targets import resolve
    from tuner.frontend.load import load_model
    from tuner.report import gather
    from tuner.report.page import render, write
    from tuning_db.store import Store

    chip = resolve(target)
    with Store.open(db, create=False) as store:
        report = gather(store, load_model(model, step, skip_unsupported, db, chip), chip, cache)
    if not report.every_trial:
        raise HeadstartError(
            f"nothing is measured yet in {db} for {report.model.name}, {report.model.step.phase} with "
            f"{report.model.step.tokens} tokens, on {chip.name} with this toolchain; run `headstart tune` first"
        )
    length = write(output, render(report, time.time()))
    if as_json:
        echo_json(report.summary.to_json() | {"report": str(output), "database": str(db)})
        return
    untimed = f" and {len(report.summary.untimed)} not timed" if report.summary.untimed else ""
    measured = f"{len(report.summary.measured)}{untimed} of {len(report.summary.rows)} workloads"
    click.echo(f"{output}: {measured}, {size(length)}")
