"""``headstart bundle``: compile the champions of a model into a directory that a program can load."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli._families import families_json, print_families
from cli._options import cache_option, db_option
from cli._output import echo_json, json_option, progress_console, seconds, table
from cli._step import steps_options
from targets.units import times

if TYPE_CHECKING:
    from headstart_runtime.manifest import Manifest
    from tuner.frontend.model import Step


@click.group("bundle")
def command() -> None:
    """Build, check and show bundles: compiled kernels with a manifest and digests.

    \b
    Example:
        headstart bundle build deepseek-v4-flash --tokens 16 -o v4-flash.bundle
    """


@command.command("build")
@click.argument("model")
@steps_options
@click.option("--target", default="host", show_default=True, help="Chip to build for.")
@click.option("--layouts", type=click.IntRange(1, 8), default=1, show_default=True, help="Copies of weights at most.")
@click.option("--skip-unsupported", is_flag=True, help="Go on without the parts of a file that cannot be read.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="Directory to make; a bundle is replaced."
)
@cache_option
@db_option
@json_option
def build(
    model: str,
    steps: list[Step],
    target: str,
    layouts: int,
    skip_unsupported: bool,
    output: Path,
    cache: str | None,
    db: Path,
    as_json: bool,
) -> None:
    """Compile the champion of every operator of MODEL into the directory OUTPUT.

    An operator that has not been tuned for this chip, toolchain and policy is compiled with its default schedule,
    and the manifest says so. Linking needs a C or C++ compiler.
    With several numbers of tokens, operators whose rows need nothing of each other take any number up to the most, by
    kernels for those and for others that were measured; --layouts allows each to keep its weights in several layouts.

    \b
    Examples:
        headstart bundle build deepseek-v4-flash --phase decode --tokens 16 --db headstart.db -o v4-flash.bundle
        headstart bundle build deepseek-v4-flash --tokens 1,16,128 -o v4-flash.bundle
    """
    from targets import resolve
    from tuner.compile import build_bundle
    from tuner.frontend.load import load_model
    from tuner.row_selecting import select_rows
    from tuning_db.store import Store

    chip = resolve(target)
    loaded = [load_model(model, step, skip_unsupported, db, chip) for step in steps]
    with Store.open(db, create=False) as store, progress_console.status("Planning …"):
        selected = select_rows(store, loaded, chip, cache, layouts=layouts)
    with progress_console.status("Compiling …") as status:
        built = build_bundle(
            selected.selection,
            chip,
            output,
            lambda workload: status.update(f"Compiling {workload.operator} {workload.label}"),
        )
    if as_json:
        echo_json({"path": str(built.path), "digest": built.digest, **_counts(built.manifest)})
        return
    click.echo(f"{built.path}: {len(built.manifest.kernels)} kernels for {chip.name}, digest {built.digest}")
    _print_gaps(built.manifest)
    print_families(built.manifest.families)
    for family in selected.families:
        for line in family.lacks():
            click.echo(line)
    if layouts == 1 and any(family.slower for family in selected.families):
        click.echo("With --layouts 2 it keeps some weights twice, which may mend what is slower.")


@command.command("verify")
@click.argument("path", metavar="DIR", type=click.Path(path_type=Path))
@json_option
def verify(path: Path, as_json: bool) -> None:
    """Check every byte of the bundle in DIR against its digests, without running any of it.

    \b
    Example:
        headstart bundle verify v4-flash.bundle
    """
    from headstart_runtime import bundle

    manifest, digest = bundle.verify(path)
    if as_json:
        echo_json({"path": str(path), "digest": digest, **_counts(manifest)})
        return
    click.echo(f"{path} is whole: {len(manifest.kernels)} kernels for {manifest.target.name}, digest {digest}")


@command.command("show")
@click.argument("path", metavar="DIR", type=click.Path(path_type=Path))
@json_option
def show(path: Path, as_json: bool) -> None:
    """Show what the bundle in DIR holds: each kernel with its arrays and its measured time.

    \b
    Example:
        headstart bundle show v4-flash.bundle
    """
    from headstart_runtime import bundle

    manifest, digest = bundle.verify(path)
    if as_json:
        echo_json({"digest": digest, **manifest.to_json()})
        return
    rows = [
        (
            ", ".join(kernel.names),
            f"{kernel.operator} {kernel.label}",
            kernel.workload,
            seconds(kernel.seconds),
            times(kernel.default_seconds / kernel.seconds) if kernel.seconds and kernel.default_seconds else "-",
        )
        for kernel in manifest.kernels
    ]
    step = ", ".join(f"{name} {value}" for name, value in manifest.model.step.items())
    table(f"{manifest.model.name} ({step})", ("name", "kernel", "workload", "time", "speed-up"), rows, left=3)
    versions = ", ".join(f"{name} {version}" for name, version in manifest.toolchain.versions.items())
    click.echo(f"For {manifest.target.name} ({manifest.target.fingerprint}), {manifest.policy.threads} threads.")
    click.echo(f"Times: {manifest.policy.cache} cache, {versions}. Digest {digest}")
    _print_gaps(manifest)


@command.command("cost")
@click.argument("path", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--runs", type=click.IntRange(1, 100), default=5, show_default=True, help="Processes to take medians of.")
@click.option("--torch", is_flag=True, help="Import torch first, and call with its tensors too.")
@json_option
def cost(path: Path, runs: int, torch: bool, as_json: bool) -> None:
    """Measure what it costs to load the bundle in DIR and to call its kernels.

    Everything is measured in fresh processes, and calls are of the smallest kernel. torch is kept out of them unless
    --torch is said; where it is installed, tvm-ffi imports it, which takes seconds.

    \b
    Example:
        headstart bundle cost v4-flash.bundle
    """
    from headstart_runtime.cost import measure

    with progress_console.status("Measuring …"):
        found = measure(path, runs, torch)
    if as_json:
        echo_json(found)
        return
    steps = [(name, f"{value * 1e3:.1f} ms") for name, value in found["seconds"].items()]
    table(f"From nothing to the end of the first call, median of {runs}", ("step", "time"), steps)
    memory = [(name, f"{value / 2**20:.1f} MiB") for name, value in found["bytes"].items()]
    table("Memory", ("of", "resident"), memory)
    calls = [(name, f"{value * 1e6:.2f} us") for name, value in found["calls"].items()]
    table(f"One call of {found['kernel']}", ("way", "time"), calls)


class RowCounts(click.ParamType[tuple[int, ...]]):
    """Numbers and ranges with commas: ``1-32,64``."""

    name = "rows"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """The numbers, each once, ascending."""
        found: set[int] = set()
        for part in str(value).split(","):
            first, _, last = part.partition("-")
            if not first.isdecimal() or not (last or first).isdecimal() or len(last or first) > 6:
                self.fail(f"{value!r} is not numbers and ranges with commas, like 1-32,64", param, ctx)
            found.update(range(int(first), int(last or first) + 1))
        return tuple(sorted(found))


@command.command("rows")
@click.argument("path", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--family", "names", multiple=True, help="Name of an operator; may be repeated. [default: all]")
@click.option("--rows", default="1-256", type=RowCounts(), show_default="1-256", help="Which numbers of rows.")
@click.option("--rounds", type=click.IntRange(min=3), default=7, show_default=True, help="Turns of both, at most.")
@json_option
def rows(path: Path, names: tuple[str, ...], rows: tuple[int, ...], rounds: int, as_json: bool) -> None:
    """Time the plans of the bundle in DIR for any number of rows against the default schedule for just so many.

    Both are compiled kernels, called the same way, in turn, with warm caches, on this machine, which must be idle.

    \b
    Example:
        headstart bundle rows v4-flash.bundle --family wq_b --rows 1-64
    """
    from headstart_runtime import bundle
    from tuner.bench.rows import bench_rows

    with progress_console.status("Loading …") as status:
        loaded = bundle.load(path)
        results = bench_rows(loaded, names, rows, rounds, lambda name, count: status.update(f"{name}, {count} rows"))
    if as_json:
        target, versions = loaded.manifest.target, dict(loaded.manifest.toolchain.versions)
        setting = {"target": {"name": target.name, "model": target.model}, "toolchain": versions}
        echo_json({**setting, "digest": loaded.digest, "families": [result.to_json() for result in results]})
        return
    lines = [
        (
            f"{result.name}: {result.operator} {result.label}",
            ", ".join(map(str, result.kernels)) + ", any" * bool(result.any),
            times(result.geomean),
            f"{times(result.worst.speedup)} at {result.worst.rows}",
            f"{len(result.worse)} of {len(result.rows)}",
        )
        for result in results
    ]
    head = ("family", "kernels", "mean speed-up", "least", "default better")
    table(f"Over the default schedule for each number of rows, on {loaded.manifest.target.name}", head, lines, left=2)
    for result in results:
        for one in result.rows:
            if one.wrong:
                click.echo(f"{result.name} at {one.rows} rows: wrong output: {one.wrong}")


def _counts(manifest: Manifest) -> dict[str, Any]:
    """How much of the model a bundle covers."""
    return {
        "kernels": len(manifest.kernels),
        "untuned": [kernel.workload for kernel in manifest.untuned],
        "missing": dict(manifest.missing),
        "families": families_json(manifest.families),
    }


def _print_gaps(manifest: Manifest) -> None:
    """Say which operators are not what a user of the bundle may expect."""
    if manifest.untuned:
        names = ", ".join(name for kernel in manifest.untuned for name in kernel.names)
        count = f"{len(manifest.untuned)} of {len(manifest.kernels)} kernels"
        click.echo(
            f"{count} have no champion for this chip, toolchain and policy, and run the default schedule: {names}"
        )
    if manifest.missing:
        click.echo(f"Not in Headstart yet: {', '.join(manifest.missing)}")
