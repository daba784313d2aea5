"""What ``pull``, ``update`` and ``rollback`` share: where to, what is said on the way, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from cli._families import families_json, print_families
from cli._output import echo_json, progress_console, say, size
from cli._service import Connection

if TYPE_CHECKING:
    from headstart_runtime.row_plan import BundleFamily
    from tuner.pulling import Pulled, Puller, Source

F = TypeVar("F", bound=Callable[..., Any])


def lock_option(function: F) -> F:
    """``--lock FILE``, as ``lock``."""
    return click.option(
        "--lock",
        type=click.Path(path_type=Path),
        default="headstart.lock",
        show_default=True,
        help="Lock file: what is pinned.",
    )(function)


def directory_option(needed: bool) -> Callable[[F], F]:
    """``-o DIR``, as ``output``; None where it need not be said and is not."""
    where = "Directory of the bundle." if needed else "Directory of the bundle: where the lock file last had it."
    return click.option("-o", "--output", type=click.Path(path_type=Path), required=needed, help=where)


def trust_options(function: F) -> F:
    """``--root`` and ``--prebuilt``."""
    prebuilt = click.option("--prebuilt", is_flag=True, help="Take a bundle as it was built there; build none here.")
    root = click.option(
        "--root",
        type=click.Path(path_type=Path),
        help="Root metadata of the repository, from somebody you trust: where trust in its signatures starts.",
    )
    return root(prebuilt(function))


def source_of(connection: Connection, release: str, root: Path | None, offline: bool) -> Source:
    """Where to pull from."""
    from tuner.pulling import Source
    from tuning_db.files import read_small
    from tuning_db.repository.metadata import MAX_ROOT

    data = read_small(root, MAX_ROOT) if root else None
    return Source(connection.where, release, connection.open, data, offline)


class Screen:
    """What a pull is at and how fast bytes come, on the terminal, while there is anything to show."""

    def __init__(self) -> None:
        columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(True), TransferSpeedColumn()
        hidden = not progress_console.is_terminal
        self._progress = Progress(*columns, console=progress_console, transient=True, disable=hidden)
        self._work = self._progress.add_task("", total=None)

    def expected(self, more: int) -> None:
        """There are so many more bytes to come."""
        self._progress.start()
        total = (self._progress.tasks[0].total or 0) + more
        self._progress.update(self._work, description="Fetching", total=total)

    def heard(self, count: int) -> None:
        """So many bytes came."""
        self._progress.advance(self._work, count)

    def doing(self, what: str) -> None:
        """It is at something else."""
        self._progress.start()
        self._progress.update(self._work, description=escape(what))

    def stop(self) -> None:
        """Leave the terminal to others."""
        self._progress.stop()


@contextmanager
def pulling(source: Source, prebuilt: bool) -> Iterator[tuple[Puller, Screen]]:
    """A puller, and where it shows what it is at."""
    from targets.host import cache_folder
    from tuner.pulling import Puller
    from tuning_db.deploy.cache import Cache
    from tuning_db.deploy.trust import Told

    screen = Screen()
    told = Told(lambda line: say(line, err=True), screen.heard, screen.expected, screen.doing)
    try:
        yield Puller(source, Cache(cache_folder()), told, prebuilt), screen
    finally:
        screen.stop()


def show_pulled(pulled: Pulled, lock_path: Path, as_json: bool) -> None:
    """What came of it."""
    lock, traffic, selection = pulled.lock, pulled.traffic, pulled.lock.selection
    default: dict[str, BundleFamily | None] = {
        kernel.names[0]: selection.family_of(kernel) for kernel in selection.kernels if not kernel.candidates
    }
    if as_json:
        echo_json(
            {
                "path": str(pulled.directory),
                "lock": str(lock_path),
                "changed": pulled.changed,
                "digest": lock.bundle.bundle,
                "made": lock.made,
                "model": selection.model,
                "target": {"fingerprint": selection.target, "name": selection.target_name},
                "kernels": len(selection.kernels),
                "untuned": list(default),
                "missing": dict(selection.missing),
                "families": families_json(selection.families),
                "requests": traffic.requests,
                "bytes_received": traffic.received,
                "unchanged_answers": traffic.unchanged,
            }
        )
        return
    went = f" {traffic.requests} requests, {size(traffic.received)} received." if traffic.requests else ""
    if not pulled.changed:
        nothing = " Nothing new there." if traffic.unchanged else ""
        say(f"{_shown(pulled.directory)} is up to date: bundle {lock.bundle.bundle}.{nothing}{went}")
        return
    made = "built there" if lock.made == "prebuilt" else "built here"
    count = len(selection.kernels)
    say(f"{_shown(pulled.directory)}: {count} kernels of {selection.model} for {selection.target_name}, {made}.{went}")
    say(f"Bundle {lock.bundle.bundle}, pinned in {lock_path}.")
    print_families(selection.families)
    if alone := [name for name, family in default.items() if family is None]:
        say(f"Nothing is trusted as far as {lock.tier} for {', '.join(alone)}: default schedule.")
    if some := [name for name, family in default.items() if family is not None]:
        say(f"Default schedule for some numbers of rows: {', '.join(some)}.")
    if selection.missing:
        say(f"Not in Headstart yet: {', '.join(selection.missing)}")


def _shown(path: Path) -> str:
    """A path as somebody in this folder would type it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
