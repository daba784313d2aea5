"""How jobs are shown: a table, a line of a log, what one waits for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from cli._moment import moment
from cli._output import CONTROL, console, progress_console, seconds
from targets.units import duration, percent
from tuning_db.jobs import short

if TYPE_CHECKING:
    from tuning_db.store import Store

BAR = 5
# Seconds after which what is shown of a job that runs is looked up again.
FRESH_S = 1.0

Row = Mapping[str, Any]


def grid(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], left: int) -> None:
    """Print a table without lines, for narrow terminals; the first ``left`` columns are text, the others figures."""
    shown = Table(title=Text(title), title_justify="left", header_style="bold", box=SIMPLE_HEAD)
    shown.padding, shown.pad_edge = (0, 1, 0, 0), False
    for at, column in enumerate(columns):
        shown.add_column(column, justify="left" if at < left else "right", overflow="fold", no_wrap=at >= left)
    for row in rows:
        shown.add_row(*(Text(CONTROL.sub("?", cell)) for cell in row))
    console.print(shown)


def print_jobs(title: str, jobs: Sequence[Row], now: float) -> None:
    """One row a job (``tuning_db.job_life.standing``)."""
    columns = ("job", "what", "state", "done", "spent", "trials", "best", "heartbeat")
    grid(title, columns, [_cells(job, now) for job in jobs], left=4)


def _cells(job: Row, now: float) -> tuple[str, ...]:
    beat = "-" if job["heartbeat"] is None else f"{duration(max(now - job['heartbeat'], 0))} ago"
    share = f", share {job['share']:g}" if job["in_queue"] and job["share"] != 1 else ""
    what = f"{what_of(job)}\non {job['chip'] or 'a chip'}{share}"
    counts = (str(job["trials"]), str(job["champions"]), beat)
    return short(job["id"]), what, state_of(job), done_of(job), spent_of(job), *counts


def what_of(job: Row) -> str:
    """The model and its step: ``deepseek-v4-flash, decode of 1, 16 tokens``."""
    model = name_of(job["model"] or "-")
    return model if not job["steps"] or model == "misses" else f"{model}, {step_of(job['steps'])}"


def name_of(model: str) -> str:
    """A model as people know it; of a long path, the end."""
    parts = PurePath(model).parts
    return model if len(parts) <= 2 else f".../{'/'.join(parts[-2:])}"


def step_of(steps: Sequence[Row]) -> str:
    """Steps that differ in their tokens: ``decode of 1, 16 tokens, ep 8``."""
    degrees = [f"{name} {steps[0][name]}" for name in ("tp", "ep") if steps[0][name] > 1]
    tokens = ", ".join(str(step["tokens"]) for step in steps)
    return ", ".join([f"{steps[0]['phase']} of {tokens} token{'' if tokens == '1' else 's'}", *degrees])


def state_of(job: Row) -> str:
    """The state, or that nobody runs it though it says so."""
    return "lost" if job["lost"] else str(job["state"])


def done_of(job: Row) -> str:
    """A bar and a percentage."""
    if job["progress"] is None:
        return "-"
    full = round(job["progress"] * BAR)
    return f"{'█' * full}{'░' * (BAR - full)} {percent(job['progress'])}"


def spent_of(job: Row) -> str:
    """The time it took, of that which it may take."""
    most = job["limits"]["seconds"]
    return duration(job["spent_s"]) + (f" of {duration(most)}" if most else "")


def said(line: Row) -> str:
    """A line of the log (``Store.job_log``) as people read it."""
    words = CONTROL.sub("?", _words(line["event"], line["data"]))
    return f"{moment(line['at'])}  {short(line['job'])}  {words}"


def _words(event: str, data: Row) -> str:
    if event == "began":
        return f"has its turn, in process {data['pid']} on {data['host']}"
    if event == "champion":
        return f"new best: {data['operator']} {data['label']} {seconds(data['seconds'])}"
    if event == "failure":
        return f"not tuned: {data['workload']}: {data['reason']}"
    if event == "lost":
        last = moment(data["heartbeat"]) if data["heartbeat"] else "never"
        return f"whoever ran it is gone: process {data['pid']} on {data['host']}, last heard of {last}"
    if event == "trouble":
        return f"cannot begin: {data['reason']}; again in {duration(data['again_s'])}"
    if event == "device":
        return f"{data['machine']} {data['device']} was {data['state']}: {data['detail']}"
    if event == "note":
        return str(data["text"])
    if event == "plan":
        return f"is about {len(data['floors'])} workloads"
    known = {
        "queued": "waits for its first turn",
        "started": "runs by itself",
        "waits": "made room for others, waits for its next turn",
        "stopped": "the night is over for it, waits for the next",
        "resumed": "waits for its turn again",
    }
    return known.get(event, event) + (f": {data['reason']}" if data.get("reason") else "")


@contextmanager
def watching(store: Store, quiet: bool, job: str | None = None) -> Iterator[Callable[[Row, object], None]]:
    """New lines of the log as they come, and below them how far the job is that is worked on.

    Args:
        store: the database.
        quiet: show nothing.
        job: id; show the lines of this one only.

    Yields:
        What to call, often, with the row of the job that is worked on and with whatever happened, None for a turn.
    """
    if quiet:
        yield lambda row, event: None
        return
    seen, shown = store.value("SELECT max(seq) FROM job_log") or 0, 0.0
    columns = (TextColumn("{task.description}"), BarColumn(20), TextColumn("{task.percentage:.0f}%"))
    with Progress(*columns, console=progress_console, transient=True, disable=not progress_console.is_terminal) as bar:
        line = bar.add_task("", total=1.0)

        def look(row: Row, event: object) -> None:
            nonlocal seen, shown
            if event is not None and time.monotonic() - shown < FRESH_S:
                return
            shown = time.monotonic()
            for new in store.job_log(job, after=seen):
                seen = new["seq"]
                progress_console.print(Text(said(new)), soft_wrap=True)
            if progress_console.is_terminal:
                description, done = _now(store, row["id"])
                bar.update(line, description=description, completed=done)

        yield look


def _now(store: Store, job: str) -> tuple[str, float]:
    """What there is to say of a job that runs, and how much of it is done."""
    from tuning_db.job_life import standing

    now, last = standing(store, store.job(job), time.time()), store.last_trial(job)
    told = [f"{what_of(now)}: {state_of(now)}", spent_of(now), f"{now['trials']} trials"]
    if last is not None:
        told.append(
            f"{last['operator']} {last['label']} {seconds(last['median']) if last['median'] else last['status']}"
        )
    return CONTROL.sub("?", escape(", ".join(told))), now["progress"] or 0.0
