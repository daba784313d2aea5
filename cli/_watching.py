"""What a person sees while a job runs: a line of progress and, in a cluster, what each device does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from cli._output import CONTROL, progress_console, seconds

if TYPE_CHECKING:
    from tuner.executor import DeviceStatus, Executor
    from tuner.task import Task
    from tuner.visit import Event

COLOURS = {"measuring": "green", "ready": "cyan", "starting": "yellow", "lost": "red", "refused": "red"}
# Devices that are shown, those that do something first.
MOST = 24


@contextmanager
def watching(
    tasks: Sequence[Task], executor: Executor, length: float | None, quiet: bool
) -> Iterator[Callable[[Event], None]]:
    """A job is shown while it runs; what is given is to be told of each trial.

    Args:
        length: seconds of the job, where it has a limit of time.
        quiet: show nothing, as where nobody looks.
    """
    if quiet or not progress_console.is_terminal:
        yield lambda event: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    progress = Progress(*columns, console=progress_console)
    line = progress.add_task("starting", total=length)
    made = 0

    def listen(event: Event) -> None:
        nonlocal made
        made += 1
        tuned = sum(task.champion is not None for task in tasks)
        what = f"{event.task.workload.operator} {event.task.workload.label}"
        status = event.outcome.status.value
        found = seconds(event.outcome.median) if event.outcome.median else "right" if status == "ok" else status
        mark = " [green]best so far[/]" if event.crowned else ""
        description = f"{tuned}/{len(tasks)} workloads, {made} trials; {escape(what)}: {found}{mark}"
        spent = progress.tasks[0].elapsed
        progress.update(line, description=description, completed=spent if length else 0)

    shown = _Shown(progress, executor.status)
    with Live(shown, console=progress_console, transient=True, refresh_per_second=4):
        yield listen


class _Shown:
    """The line, under the table of devices where there is one; made anew each time it is drawn."""

    def __init__(self, progress: Progress, status: Callable[[], Sequence[DeviceStatus]]) -> None:
        self.progress, self.status = progress, status

    def __rich__(self) -> RenderableType:
        places = self.status()
        return Group(device_table(places), self.progress) if places else self.progress


def device_table(places: Sequence[DeviceStatus]) -> Table:
    """What each device of a cluster does, or did."""
    table = Table(header_style="bold", box=None)
    for column in ("node", "device", "state"):
        table.add_column(column, no_wrap=True)
    for column in ("trials", "measuring"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("at", overflow="ellipsis", no_wrap=True, ratio=1)
    ordered = sorted(places, key=lambda place: place.state != "measuring")
    for place in ordered[:MOST]:
        state = f"[{COLOURS[place.state]}]{place.state}[/]"
        cells = [escape(CONTROL.sub("?", text)) for text in (place.machine, place.device, place.detail)]
        table.add_row(*cells[:2], state, str(place.trials), f"{place.utilisation:.0%}", cells[2])
    if len(places) > MOST:
        table.add_row(f"and {len(places) - MOST} more", "", "", "", "", "")
    return table
