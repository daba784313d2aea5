"""``headstart runtime``: the package that runs bundles, for machines that have no Headstart."""

from __future__ import annotations

from pathlib import Path

import click

from cli._output import echo_json, json_option


@click.command("runtime")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Directory to make.")
@json_option
def command(output: Path, as_json: bool) -> None:
    """Write the package headstart_runtime, which loads bundles, into the directory OUTPUT.

    It is Python alone and needs the packages apache-tvm-ffi and numpy. Put the directory on sys.path, or pip install
    it. A copy that is there is replaced.

    \b
    Example:
        headstart runtime -o runtime && pip install ./runtime
    """
    from tuning_db.runtime_copy import write_runtime

    files = write_runtime(output)
    if as_json:
        echo_json({"path": str(output), "files": list(files)})
        return
    # Without a slash pip would look for a package of that name elsewhere.
    where = output if output.is_absolute() else f"./{output}"
    click.echo(f"{output}: {len(files)} files; pip install {where}, or put it on PYTHONPATH")
